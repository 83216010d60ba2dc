"""The mode `train`: one model per task and fold, tested, and asked for predictions; each of these is one atomic step.

Steps find the model of an earlier step in the task struct alone, so it does not matter whether that step ran in this
process, before an interruption, or in another project.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.models.train_mode import check_monitor, read_mode, training_name
from mml.core.scripts import factories
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.exceptions import MMLError, MMLMisconfigurationException
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.utils import atomic_write
from mml.report.figures import MOST_CLASSES, curves_svg, matrix_svg
from mml.report.training import show_training

if TYPE_CHECKING:
    from mml.core.data_loading.lightning_datamodule import MultiTaskDataModule
    from mml.core.models.lightning_single_frame import SingleFrameLightningModule
    from mml.core.models.training import Trainer

logger = logging.getLogger(__name__)

SUBROUTINES = ["train", "test", "predict"]
# What a model is used with, not only trained: these groups are those of its pipeline, not of the run that uses it.
MODEL_GROUPS = ("arch", "augmentations", "preprocessing", "loss")
# How a model was made, kept beside it as its pipeline.
PIPELINE_GROUPS = (
    *MODEL_GROUPS,
    "optimizer",
    "lr_scheduler",
    "metrics",
    "trainer",
    "sampling",
    "callbacks",
    "tune",
    "mode",
)


# What a training depends on: these groups, and keys of others.
_TRAINED_WITH = (
    "arch",
    "optimizer",
    "lr_scheduler",
    "loss",
    "metrics",
    "trainer",
    "~trainer.limit_test_batches",
    "~trainer.limit_predict_batches",
    "sampling",
    "augmentations",
    "preprocessing",
    "callbacks",
    "tune",
    "mode.monitor",
    "mode.direction",
    "mode.keep",
)
# What using a model depends on, besides the training that made it.
_USED_WITH = (
    "arch",
    "loss",
    "metrics",
    "trainer",
    "~trainer.max_epochs",
    "~trainer.gradient_clip_val",
    "~trainer.accumulate_grad_batches",
    "~trainer.check_val_every_n_epoch",
    "~trainer.limit_train_batches",
    "~trainer.limit_val_batches",
    "sampling",
    "augmentations",
    "preprocessing",
    "callbacks",
    "reuse.models",
)
# Command -> dotted keys and groups; a subclass whose steps read other keys overrides `step_config`.
STEP_KEYS = {
    "train_fold": _TRAINED_WITH,
    "test_fold": (*_USED_WITH, "~trainer.limit_predict_batches"),
    "predict_fold": (*_USED_WITH, "~trainer.limit_test_batches", "mode.predict"),
}


class TrainScheduler(AbstractBaseScheduler):
    """Trains, tests and predicts, fold by fold."""

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, available_subroutines=SUBROUTINES)
        self.mode = read_mode(cfg)

    def create_routine(self) -> None:
        """Plan the subroutines for every fold of every task.

        Raises:
            MMLMisconfigurationException: no task, a task that can't be trained, a fold or model that is not there, or
                settings that do not fit.
        """
        if not self.task_list:
            msg = "Nothing to train: name a task, e.g. `mml train task=digits`. `mml info` lists the tasks there are."
            raise MMLMisconfigurationException(msg)
        folds = {name: self.mode.folds(name, self.fm.task_index.counts(name).folds) for name in self.task_list}
        headers = [self.fm.task_index.header(name) for name in self.task_list]
        check_monitor(self.mode, headers, self.cfg.get("metrics") or {})
        self._check_models(folds)
        commands = {"train": self.train_fold, "test": self.test_fold, "predict": self.predict_fold}
        for task in self.task_list:
            for fold in folds[task]:
                # Folds don't need one another. Test and prediction both add to the record of a model, so they can't
                # be done at the same time.
                before: tuple[int, ...] = ()
                for name in self.subroutines:
                    before = (self.add_step(commands[name], task, fold, after=before, resources=self._resources()),)

    def _resources(self) -> dict[str, Any] | None:
        """Return what a step needs, as far as the config says; `auto` leaves it to where it runs."""
        accelerator = OmegaConf.select(self.cfg, "trainer.accelerator", default="auto")
        return {"cpu": {"gpus": 0}, "gpu": {"gpus": 1}, "cuda": {"gpus": 1}}.get(str(accelerator))

    def step_config(self, command: str) -> Sequence[str] | None:
        """Return the keys that a command depends on.

        Of a subclass, which may use others, nothing is known: if it knows, it returns those of `STEP_KEYS` and its own.
        """
        return STEP_KEYS.get(command) if type(self) is TrainScheduler else None

    def train_fold(self, task: str, fold: int) -> None:
        """Train a model with one fold held out, and attach its record to the task.

        Raises:
            MMLError: the loss is not finite any more, or memory ran out.
        """
        from mml.core.models import fitting

        struct = self.get_struct(task)
        model, datamodule = self.create_model(struct), self.create_datamodule(struct, fold)
        trainer = self.create_trainer(metrics_callback=True, name=training_name(task, fold))
        self.lightning_tune(trainer, model, datamodule)
        fitted = fitting.fit(trainer, model, datamodule, self.mode)
        storage = ModelStorage(
            task=task,
            fold=fold,
            parameters=self.fm.construct_saving_path(model.model, "parameters", task_name=task),
            pipeline=self._store_pipeline(struct, fold, {**model.overrides, "batch_size": datamodule.batch_size}),
            performance=fitted.performance,
            training_time=round(fitted.seconds, 3),
            created=datetime.now(UTC),
            metrics=fitted.metrics,
        )
        model.model.save_checkpoint(storage.parameters)
        name = f"curves_fold_{fold}"
        self._store_json(struct, name, {"task": task, "fold": fold, "epochs": fitted.history})
        shown = list(dict.fromkeys(("loss", self.mode.metric, "accuracy")))
        self._store_figure(struct, name, curves_svg(f"{task}, fold {fold}", fitted.history, shown))
        storage.store(self.fm.construct_saving_path(storage, "models", task_name=task), self.fm.roots)
        struct.models.append(storage)

    def test_fold(self, task: str, fold: int) -> None:
        """Measure the model of a fold on the test samples, and add the metrics to its record."""
        from mml.core.models import fitting

        struct = self.get_struct(task)
        storage = self._trained(struct, fold)
        if not struct.description.test_samples:
            logger.warning("Task %s has no test samples: its model of fold %d is not tested.", task, fold)
            return
        cfg = self._config_of(storage)
        model = self._load(cfg, struct, storage)
        values = fitting.test(self._quiet_trainer(cfg), model, self._datamodule(cfg, struct, fold))
        for matrix in model.confusion.values():
            classes = [struct.idx_to_class[index] for index in range(struct.num_classes)]
            content = {"task": task, "fold": fold, "split": "test", "classes": classes, "matrix": matrix}
            self._store_json(struct, f"confusion_fold_{fold}", content)
            if len(classes) <= MOST_CLASSES:
                figure = matrix_svg(f"{task}, fold {fold}, test", classes, matrix)
                self._store_figure(struct, f"confusion_fold_{fold}", figure)
        earlier = [entry for entry in storage.metrics if entry.get("split") != DataSplit.TEST]
        self._update(struct, storage, metrics=[*earlier, {"split": DataSplit.TEST.value, **values}])

    def predict_fold(self, task: str, fold: int) -> None:
        """Write what the model of a fold predicts for the splits of `mode.predict`, and add the files to its record."""
        from mml.core.models import fitting
        from mml.core.models.outcomes import write_predictions

        struct = self.get_struct(task)
        storage = self._trained(struct, fold)
        cfg = self._config_of(storage)
        model, datamodule = self._load(cfg, struct, storage), self._datamodule(cfg, struct, fold)
        written = {}
        for split in self.mode.predict:
            if not _has_samples(struct, split):
                logger.warning("Task %s has no %s samples to predict.", task, split)
                continue
            batches = fitting.predict(self._quiet_trainer(cfg), model, datamodule, split)
            name = f"{split}_fold_{fold}.csv"
            written[split.value] = self.fm.construct_saving_path(None, "predictions", task_name=task, file_name=name)
            write_predictions(written[split.value], struct, batches)
        self._update(struct, storage, predictions={**storage.predictions, **written})

    def before_finishing_hook(self) -> None:
        """Return the mean of the monitored value over tasks and folds; of the test metric if nothing was trained."""
        found = [self._value(storage) for storage in self._outcome()]
        values = [value for value in found if value is not None]
        self.return_value = sum(values) / len(values) if values else None

    def report(self) -> None:
        """Show a table with the metrics, time and files of every task and fold."""
        lines = [
            {
                "task": storage.task,
                "fold": storage.fold,
                "monitored": storage.performance,
                "test": _test_metrics(storage),
                "seconds": storage.training_time,
                "files": self._files(storage),
            }
            for storage in self._outcome()
        ]
        show_training(lines, monitor=self.mode.monitor, value=self.return_value, folder=self.fm.proj_path)

    def _outcome(self) -> list[ModelStorage]:
        """Return the models of this run as the task structs have them, in the order of the plan."""
        pairs = dict.fromkeys((str(task), int(fold)) for task, fold in self.params)
        return [self._trained(self.get_struct(task), fold) for task, fold in pairs]

    def _value(self, storage: ModelStorage) -> float | None:
        if "train" in self.subroutines:
            return storage.performance
        return _test_metrics(storage).get(self.mode.metric, storage.performance)

    def _files(self, storage: ModelStorage) -> dict[str, Path]:
        """Return what there is of a model: kind -> file."""
        paths = self.get_struct(storage.task).paths
        named = {"weights": storage.parameters, "pipeline": storage.pipeline, "record": storage.storage}
        for kind in ("curves", "confusion"):
            named[kind] = paths.get(f"{kind}_fold_{storage.fold}")
            named[f"{kind} (plot)"] = paths.get(f"{kind}_fold_{storage.fold}_plot")
        named |= {f"predictions ({split})": path for split, path in storage.predictions.items()}
        return {kind: path for kind, path in named.items() if path is not None}

    def _check_models(self, folds: dict[str, list[int]]) -> None:
        """Refuse what would fail in a later step: settings that do not fit a task, or models that are not there."""
        if not self.subroutines:
            msg = f"mode.subroutines is empty, so there is nothing to do. Choose from: {', '.join(SUBROUTINES)}."
            raise MMLMisconfigurationException(msg)
        if "train" in self.subroutines:
            factories.check_model(self.cfg, [self.fm.load_struct(task, with_reuse=False) for task in folds])
            return
        for task, held_out in folds.items():
            for fold in held_out:
                self._trained(self.get_struct(task), fold)

    def _trained(self, struct: TaskStruct, fold: int) -> ModelStorage:
        """Return the newest model of a fold.

        Raises:
            MMLMisconfigurationException: there is none; says how to get one.
        """
        models = [storage for storage in struct.models if storage.fold == fold]
        if models:
            return models[-1]
        others = sorted({storage.fold for storage in struct.models})
        hint = f" There are models of fold {', '.join(map(str, others))}: use mode.fold." if others else ""
        msg = (
            f"There is no model of task '{struct.name}' and fold {fold}. Train one (mode.subroutines=[train,test]), or "
            f"take that of an earlier project with reuse.models=<project>.{hint}"
        )
        raise MMLMisconfigurationException(msg)

    def _quiet_trainer(self, cfg: DictConfig) -> "Trainer":
        """Return a trainer for a config that keeps and logs nothing."""
        return factories.create_trainer(cfg, fm=self.fm, progress=self.progress, seed=self.step_seed)

    def _datamodule(self, cfg: DictConfig, struct: TaskStruct, fold: int) -> "MultiTaskDataModule":
        return factories.create_datamodule(cfg, [struct], fold, self.step_seed, self.progress)

    def _config_of(self, storage: ModelStorage) -> DictConfig:
        """Return this run's config with the groups that a trained model was made with."""
        cfg = self.cfg.copy()
        OmegaConf.set_struct(cfg, False)
        pipeline = _load_pipeline(storage.pipeline) if storage.pipeline else cfg
        for group in MODEL_GROUPS:
            if cfg.get(group) is not None and not OmegaConf.is_dict(pipeline.get(group)):
                raise _damaged_pipeline(storage.pipeline, f"it has no `{group}`")
            if group in pipeline:
                cfg[group] = pipeline[group]
        # The weights come from the record, and nothing is trained.
        for key, value in (("pretrained", False), ("checkpoint", None)):
            if key in cfg.arch:
                cfg.arch[key] = value
        cfg.mode.keep, cfg.logging.tensorboard = "last", False
        return cfg

    def _load(self, cfg: DictConfig, struct: TaskStruct, storage: ModelStorage) -> "SingleFrameLightningModule":
        model = factories.create_model(cfg, [struct])
        model.model.load_checkpoint(storage.parameters)
        return model

    def _store_pipeline(self, struct: TaskStruct, fold: int, tuned: dict[str, Any]) -> Path:
        groups = {name: self.cfg[name] for name in PIPELINE_GROUPS if self.cfg.get(name) is not None}
        plain = {name: OmegaConf.to_container(group, resolve=True) for name, group in groups.items()}
        pipeline = OmegaConf.create({"task": struct.name, "fold": fold, "seed": self.seed, **plain})
        for name, key in (("lr", "optimizer.lr"), ("batch_size", "sampling.batch_size")):
            if name in tuned:
                OmegaConf.update(pipeline, key, tuned[name])
        path = self.fm.construct_saving_path(None, "pipeline", task_name=struct.name)
        with atomic_write(path, "w") as file:
            file.write(OmegaConf.to_yaml(pipeline))
        return path

    def _store_json(self, struct: TaskStruct, name: str, content: dict[str, Any]) -> None:
        from mml.core.models.outcomes import write_json

        path = self.fm.construct_saving_path(None, "metrics", task_name=struct.name, file_name=f"{name}.json")
        write_json(path, content)
        struct.paths[name] = path

    def _store_figure(self, struct: TaskStruct, name: str, figure: str) -> None:
        path = self.fm.construct_saving_path(None, "plots", task_name=struct.name, file_name=f"{name}.svg")
        with atomic_write(path, "w") as file:
            file.write(figure)
        struct.paths[f"{name}_plot"] = path

    def _update(self, struct: TaskStruct, storage: ModelStorage, **changes: Any) -> None:
        """Put a changed copy of a record in its place; one of another project, or of the run forked, stays as it is."""
        changed = msgspec.structs.replace(storage, **changes)
        path = storage.storage if storage.storage and self._may_replace(storage.storage) else None
        if path is not None:
            self.fm.prepare_replacement(path)
        changed.store(path or self.fm.construct_saving_path(changed, "models", task_name=struct.name), self.fm.roots)
        struct.models[struct.models.index(storage)] = changed

    def _may_replace(self, path: Path) -> bool:
        return self.fm.owns(path) if self.cfg.get("fork") else path.is_relative_to(self.fm.proj_path)


def _test_metrics(storage: ModelStorage) -> dict[str, Any]:
    tested = [entry for entry in storage.metrics if entry.get("split") == DataSplit.TEST]
    return {name: value for entry in tested for name, value in entry.items() if name != "split"}


def _load_pipeline(path: Path) -> Any:
    try:
        pipeline = OmegaConf.load(path)
    except (OSError, YAMLError, ValueError) as error:
        raise _damaged_pipeline(path, error) from error
    if not OmegaConf.is_dict(pipeline):
        raise _damaged_pipeline(path, "it holds no mapping")
    return pipeline


def _damaged_pipeline(path: Path | None, fault: object) -> MMLError:
    msg = f"The pipeline {path}, which says how to build a model, can't be read: {fault}. Train the model again."
    return MMLError(msg)


def _has_samples(struct: TaskStruct, split: DataSplit) -> bool:
    description = struct.description
    tables = {DataSplit.TEST: description.test_samples, DataSplit.UNLABELED: description.unlabeled_samples}
    return bool(tables.get(split, description.train_samples))
