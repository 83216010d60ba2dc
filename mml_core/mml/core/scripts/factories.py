"""Factories: what the base scheduler's create_* methods call. What they need is imported when it is made."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.models.kinds import direction
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.signals import SignalGuard

if TYPE_CHECKING:
    import lightning

    from mml.core.data_loading.lightning_datamodule import MultiTaskDataModule
    from mml.core.models.lightning_single_frame import SingleFrameLightningModule
    from mml.core.models.resuming import KeepGoing
    from mml.core.models.training import Trainer


def create_trainer(  # noqa: PLR0913 # the public way to a trainer; all but the config by keyword, most with a default
    cfg: DictConfig,
    *,
    fm: MMLFileManager,
    progress: RunProgress,
    seed: int,
    monitor: str | None = None,
    metrics_callback: bool = False,
    name: str | None = None,
    folder: Path | None = None,
    guard: SignalGuard | None = None,
) -> "Trainer":
    """Return a trainer as the groups `trainer`, `callbacks` and `logging` describe it.

    Args:
        cfg: the composed config.
        fm: gives the paths of checkpoints.
        progress: shows epochs and batches.
        seed: of the step; every epoch is seeded from it and its number.
        monitor: metric that decides which epoch is kept; by default `mode.monitor`. Without one, or with
            `mode.keep=last`, the model just has the weights of the last epoch.
        metrics_callback: whether the metrics of each epoch are collected in `trainer.history`.
        name: of the training in TensorBoard and temporary files, one file name; by default made of the seed.
        folder: for the checkpoints of this training; one that was interrupted goes on from those that are there, and
            with TensorBoard's curves. None: no checkpoints are taken, and what is there for TensorBoard is replaced.
        guard: knows of signals, which then wait for the end of a batch.

    Raises:
        MMLMisconfigurationException: a setting that Lightning or this machine does not know.
    """
    from mml.core.models import training
    from mml.core.models.callbacks import EpochSeed, MetricHistory
    from mml.core.models.progress_callback import LightningProgress

    name = name or f"training_{seed}"
    watched = monitor or OmegaConf.select(cfg, "mode.monitor", default=None)
    improving = _improving(cfg, watched or "val/loss")
    callbacks = training.build_callbacks(cfg.get("callbacks"), watched or "val/loss", improving)
    if watched and OmegaConf.select(cfg, "mode.keep", default="best") != "last":
        callbacks.append(training.keep_best(watched, improving, _best_path(fm, name, folder), callbacks))
    callbacks += [MetricHistory()] if metrics_callback else []
    keeper = _keeper(cfg, folder, guard) if folder else None
    return training.build_trainer(
        cfg,
        callbacks=[EpochSeed(seed), *callbacks, LightningProgress(progress)],
        root=fm.temp_path,
        logger=training.tensorboard_logger(cfg, fm.log_path, name, keeper.logged_steps if keeper else None),
        keeper=keeper,
    )


def _improving(cfg: DictConfig, metric: str) -> str:
    """Return whether the watched metric gets better as it grows (`"max"`) or shrinks (`"min"`)."""
    wanted = OmegaConf.select(cfg, "mode.direction", default="auto")
    return direction(metric) if wanted == "auto" else str(wanted)


def _best_path(fm: MMLFileManager, name: str, folder: Path | None) -> Path:
    """Return the file for the weights of the best epoch, which a training that can go on keeps with its checkpoints."""
    file_name = "best.ckpt"
    if folder is not None:
        return folder / file_name
    return fm.construct_saving_path(None, "checkpoints", task_name=name, file_name=file_name)


def _keeper(cfg: DictConfig, folder: Path, guard: SignalGuard | None) -> "KeepGoing":
    """Return what takes checkpoints, and knows where the training was interrupted."""
    from mml.core.models.resuming import KeepGoing
    from mml.core.models.training import checkpoint_minutes

    keeper = KeepGoing(folder, checkpoint_minutes(cfg), guard)
    keeper.look()
    return keeper


def create_model(cfg: DictConfig, structs: Sequence[TaskStruct]) -> "SingleFrameLightningModule":
    """Return the model that `arch`, `loss`, `optimizer`, `lr_scheduler` and `metrics` describe, a head for each task.

    Raises:
        UnknownNameError: a timm model that does not exist.
        MissingWeightsError: pretrained weights that are neither here nor within reach.
        MMLMisconfigurationException: a setting that does not fit the tasks.
    """
    from mml.core.data_loading.preprocessing import image_shape
    from mml.core.models.assembly import build_backbone, build_recipe
    from mml.core.models.lightning_single_frame import SingleFrameLightningModule

    tasks = list(structs)
    channels, height, width = image_shape(tasks, cfg)
    recipe = build_recipe(cfg)
    model = build_backbone(cfg.arch, in_chans=channels, image_size=(height, width))
    return SingleFrameLightningModule(tasks, model, recipe)


def check_model(cfg: DictConfig, structs: Sequence[TaskStruct]) -> None:
    """Refuse settings with which no training of these tasks could begin, before a run is started with them.

    Raises:
        MMLMisconfigurationException: see `create_model` and `create_trainer`; also if the optimizer refuses its keys.
    """
    from mml.core.models import training
    from mml.core.models.assembly import build_recipe
    from mml.core.models.lightning_single_frame import Objective
    from mml.core.models.optimization import build_optimizer

    recipe = build_recipe(cfg)
    for struct in structs:
        Objective(struct, recipe)
    build_optimizer(recipe.optimizer, create_model(cfg, structs[:1]), {})
    callbacks = training.build_callbacks(cfg.get("callbacks"), recipe.monitor, direction(recipe.monitor))
    training.build_trainer(cfg, callbacks=callbacks, root=Path())
    create_datamodule(cfg, structs[:1]).check()


def create_datamodule(
    cfg: DictConfig,
    structs: Sequence[TaskStruct],
    fold: int = 0,
    seed: int | None = None,
    progress: RunProgress | None = None,
) -> "MultiTaskDataModule":
    """Return the data of tasks, with one fold held out for validation.

    Args:
        cfg: the composed config; `sampling`, `augmentations` and `preprocessing` are read.
        structs: the tasks.
        fold: the fold held out.
        seed: of the order of samples and of augmentations; by default the config's.
        progress: shows the decoding of images that are kept decoded.

    Raises:
        MMLMisconfigurationException: a task has no such fold, or a setting can't be used.
    """
    from mml.core.data_loading.lightning_datamodule import MultiTaskDataModule

    seed = int(cfg.seed) if seed is None else seed
    return MultiTaskDataModule(cfg, list(structs), fold, seed=seed, progress=progress)


def lightning_tune(
    cfg: DictConfig,
    trainer: "lightning.Trainer",
    model: "SingleFrameLightningModule",
    datamodule: "MultiTaskDataModule",
) -> dict[str, Any]:
    """Look for a batch size and a learning rate as `tune` asks for, and set them in data module and model.

    Returns:
        What was found: `batch_size` and `lr`, each only if it was looked for.
    """
    from mml.core.models.tuning import tune_once

    return tune_once(cfg.get("tune") or {}, trainer, model, datamodule)
