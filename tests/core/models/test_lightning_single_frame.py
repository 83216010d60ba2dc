import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from omegaconf import DictConfig, OmegaConf
from torch.optim import SGD
from torch.utils.data import DataLoader
from torchmetrics import MeanAbsoluteError
from torchmetrics.classification import MulticlassAccuracy, MultilabelAccuracy

from mml.core.data_loading.task_attributes import TaskType
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.models.lightning_single_frame import Recipe, SingleFrameLightningModule
from mml.core.models.losses import BinaryCrossEntropyLoss, CrossEntropyLoss, MSELoss
from mml.core.models.optimization import one_cycle
from mml.core.models.tiny import TinyModel
from mml.core.models.training import Trainer, build_trainer
from mml.core.scripts.exceptions import MMLError, MMLMisconfigurationException
from tests.support.tasks import make_struct

CLASSES = {"accuracy": partial(MulticlassAccuracy, average="micro")}
SGD_STEP = partial(SGD, lr=0.125)


def module(*structs: TaskStruct, **changes: Any) -> SingleFrameLightningModule:
    recipe = Recipe(CrossEntropyLoss, SGD_STEP, None, CLASSES, "val/accuracy")._replace(**changes)
    return SingleFrameLightningModule(list(structs), TinyModel(in_chans=1, image_size=(8, 8), width=2), recipe)


def trainer(**settings: Any) -> Trainer:
    cfg = OmegaConf.create({"trainer": {"accelerator": "cpu", "max_epochs": 1, "log_every_n_steps": 1, **settings}})
    assert isinstance(cfg, DictConfig)
    return build_trainer(cfg, callbacks=[], root=Path())


def batch(*tasks: str, size: int = 4, value: float | None = None) -> dict[str, Any]:
    images = torch.rand(size, 1, 8, 8) if value is None else torch.full((size, 1, 8, 8), value)
    ids = [f"s{number}" for number in range(size)]
    return {task: {"image": images, "class": torch.arange(size) % 3, "sample_id": ids} for task in tasks}


def loader(*batches: dict[str, Any]) -> DataLoader[Any]:
    return DataLoader(list(batches), batch_size=None)  # type: ignore[arg-type] # a list is a dataset, too


@pytest.fixture
def struct(tmp_path: Path) -> TaskStruct:
    return make_struct(tmp_path, "one", per_class=1)


@pytest.fixture
def other(tmp_path: Path) -> TaskStruct:
    return make_struct(tmp_path, "v1.5", per_class=1)


def test_every_task_gets_a_head(struct: TaskStruct, other: TaskStruct) -> None:
    logits = module(struct, other)(torch.rand(2, 1, 8, 8))
    assert {task: tuple(values.shape) for task, values in logits.items()} == {"one": (2, 3), "v1.5": (2, 3)}


def test_one_task_is_logged_without_its_name(struct: TaskStruct) -> None:
    run = trainer()
    run.fit(module(struct), loader(batch("one"), batch("one")), loader(batch("one")))
    assert set(run.callback_metrics) == {"train/loss", "train/accuracy", "val/loss", "val/accuracy"}


def test_several_tasks_are_logged_by_name_and_as_their_mean(struct: TaskStruct, other: TaskStruct) -> None:
    run = trainer()
    run.fit(module(struct, other), loader(batch("one", "v1.5")), loader(batch("one"), batch("v1.5", size=2)))
    logged = {name: float(value) for name, value in run.callback_metrics.items()}
    for name in ("val/loss", "val/accuracy", "train/loss"):
        phase, metric = name.split("/")
        assert logged[name] == pytest.approx((logged[f"{phase}/one/{metric}"] + logged[f"{phase}/v1.5/{metric}"]) / 2)


def test_logged_values_are_those_of_the_whole_epoch(struct: TaskStruct) -> None:
    batches = [batch("one", size=6), batch("one", size=2)]
    model = module(struct, optimizer=partial(SGD, lr=0.0))
    run = trainer()
    run.validate(model, loader(*batches), verbose=False)
    with torch.no_grad():
        logits = [model.eval()(part["one"]["image"])["one"] for part in batches]
    target = torch.cat([part["one"]["class"] for part in batches])
    loss = torch.nn.functional.cross_entropy(torch.cat(logits), target)
    accuracy = (torch.cat(logits).argmax(1) == target).float().mean()
    assert float(run.callback_metrics["val/loss"]) == pytest.approx(float(loss), rel=1e-5)
    assert float(run.callback_metrics["val/accuracy"]) == pytest.approx(float(accuracy))


def test_the_loss_of_a_batch_is_the_sum_over_tasks(struct: TaskStruct, other: TaskStruct) -> None:
    model = module(struct, other)
    both = batch("one", "v1.5")
    with torch.no_grad():
        alone = [float(model.training_step({task: both[task]}, 0)) for task in both]
        assert float(model.training_step(both, 0)) == pytest.approx(sum(alone), rel=1e-4)


def test_each_epoch_is_counted_by_itself(struct: TaskStruct) -> None:
    model = module(struct, optimizer=partial(SGD, lr=0.0))
    run = trainer(max_epochs=2)
    run.fit(model, loader(batch("one", value=0.5)))
    assert len(model._objectives["one"].trained._losses) == 1


def test_several_loaders_can_be_judged(struct: TaskStruct, other: TaskStruct) -> None:
    run = trainer()
    run.validate(module(struct, other), [loader(batch("one")), loader(batch("v1.5"))], verbose=False)
    assert "val/accuracy" in run.callback_metrics


def test_a_test_leaves_confusion_matrices_and_a_validation_none(struct: TaskStruct) -> None:
    model = module(struct)
    trainer().validate(model, loader(batch("one")), verbose=False)
    assert model.confusion == {}
    for _ in range(2):
        trainer().test(model, loader(batch("one", size=6)), verbose=False)
        assert [sum(row) for row in model.confusion["one"]] == [2, 2, 2]


def test_predictions_have_ids_probabilities_and_known_targets(struct: TaskStruct) -> None:
    unknown = {"one": {key: value for key, value in batch("one", size=2)["one"].items() if key != "class"}}
    found = trainer().predict(module(struct), loader(batch("one", size=3), unknown))
    assert found is not None
    first, second = (part["one"] for part in found)
    assert first["sample_id"] == ["s0", "s1", "s2"]
    torch.testing.assert_close(first["scores"].sum(dim=1), torch.ones(3))
    assert first["target"].tolist() == [0, 1, 2]
    assert "target" not in second


def test_labels_are_learnt(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "one", per_class=1, task_type=TaskType.MULTILABEL_CLASSIFICATION)
    model = module(struct, loss=BinaryCrossEntropyLoss, metrics={"accuracy": MultilabelAccuracy})
    sample = {"image": torch.rand(4, 1, 8, 8), "classes": torch.ones(4, 3), "sample_id": list("abcd")}
    run = trainer()
    run.fit(model, loader({"one": sample}), loader({"one": sample}))
    run.test(model, loader({"one": sample}), verbose=False)
    assert set(run.callback_metrics) == {"test/loss", "test/accuracy"}
    assert model.confusion == {}


def test_values_are_learnt(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "one", per_class=1, task_type=TaskType.REGRESSION)
    model = module(struct, loss=MSELoss, metrics={"mae": MeanAbsoluteError}, monitor="val/mae")
    sample = {"image": torch.rand(4, 1, 8, 8), "value": torch.rand(4), "sample_id": list("abcd")}
    run = trainer()
    run.fit(model, loader({"one": sample}), loader({"one": sample}))
    assert set(run.callback_metrics) == {"train/loss", "val/loss", "val/mae"}


def test_a_loss_that_is_no_number_stops_the_training(struct: TaskStruct) -> None:
    batches = [batch("one"), batch("one", value=math.nan)]
    with pytest.raises(MMLError, match=r"task 'one' became nan in epoch 0, batch 1"):
        trainer().fit(module(struct), loader(*batches))


def test_loss_and_metrics_have_to_fit_the_task(tmp_path: Path, struct: TaskStruct) -> None:
    values = make_struct(tmp_path, "values", per_class=1, task_type=TaskType.REGRESSION)
    with pytest.raises(MMLMisconfigurationException, match="loss=mse"):
        module(values)
    with pytest.raises(MMLMisconfigurationException, match="metrics=classification"):
        module(struct, metrics={"labels": MultilabelAccuracy})


def test_the_learning_rate_is_the_optimizers_until_it_is_set(struct: TaskStruct) -> None:
    model = module(struct)
    assert model.lr == 0.125
    model.lr = 0.5
    assert model.lr == 0.5
    assert model.configure_optimizers().param_groups[0]["lr"] == 0.5


def test_an_optimizer_without_own_rate_is_said_to_have_a_usual_one(struct: TaskStruct) -> None:
    assert module(struct, optimizer=SGD).lr == 1e-3


@pytest.mark.parametrize(("clip", "fused"), [(0.5, False), (None, True)])
def test_scaled_gradients_can_be_clipped(struct: TaskStruct, clip: float | None, fused: bool) -> None:
    model = module(struct, optimizer=partial(SGD, lr=0.125, fused=True))
    run = trainer(gradient_clip_val=clip)
    run.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    run.fit(model, loader(batch("one")), loader(batch("one")))
    assert run.optimizers[0].param_groups[0]["fused"] == fused


def test_the_schedule_spans_the_whole_training(struct: TaskStruct) -> None:
    run = trainer(max_epochs=3)
    run.fit(module(struct, schedule=one_cycle), loader(batch("one"), batch("one")))
    config = run.lr_scheduler_configs[0]
    assert config.scheduler.total_steps == 6
    assert config.interval == "step"


@pytest.mark.filterwarnings("ignore:`max_epochs` was not set")
def test_a_schedule_needs_an_end(struct: TaskStruct) -> None:
    endless = trainer(max_epochs=-1, max_time="00:00:01:00")
    with pytest.raises(MMLMisconfigurationException, match="set trainer.max_epochs, or lr_scheduler=none"):
        endless.fit(module(struct, schedule=one_cycle), loader(batch("one")))
