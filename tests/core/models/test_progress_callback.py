import io
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console

from mml.core.data_loading.lightning_datamodule import MultiTaskDataModule
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.models import progress_callback
from mml.core.models.progress_callback import LightningProgress, batch_length, metrics_text
from mml.core.models.resuming import KeepGoing
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.progress_views import ProgressTask, View
from tests.support.plain_training import plain_trainer
from tests.support.tasks import data_config, make_struct

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]


class Model(LightningModule):
    """Logs what a training logs, and fails when told."""

    def __init__(self, fail_in: str = "") -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.fail_in = fail_in

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.fail_in == "train":
            raise RuntimeError("told to")
        return self.weight.sum() * 0 + 0.25

    def on_train_epoch_end(self) -> None:
        self.log("train/loss", 0.5 / (1 + self.current_epoch))

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        if self.fail_in == "val":
            raise RuntimeError("told to")

    def on_validation_epoch_end(self) -> None:
        self.log("val/accuracy", 0.875)
        self.log("val/shapes/accuracy", 0.1)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        pass

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> torch.Tensor:
        return torch.zeros(1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Record(View):
    """Notes which bars were opened and closed, and their last state."""

    def __init__(self) -> None:
        self.opened_bars: list[ProgressTask] = []
        self.closed_bars: list[ProgressTask] = []
        self.infos: list[str] = []

    def opened(self, task: ProgressTask) -> None:
        self.opened_bars.append(task)

    def changed(self, task: ProgressTask) -> None:
        self.infos.append(task.info)

    def closed(self, task: ProgressTask) -> None:
        self.closed_bars.append(task)

    def states(self) -> list[tuple[str, str, int]]:
        return [(bar.description, bar.count(), bar.depth) for bar in self.opened_bars]


@pytest.fixture
def struct(tmp_path: Path) -> TaskStruct:
    return make_struct(tmp_path, "shapes", per_class=10)


@pytest.fixture
def datamodule(struct: TaskStruct) -> MultiTaskDataModule:
    cfg = data_config()
    cfg.sampling.update({"batch_size": 8, "num_workers": 0})
    return MultiTaskDataModule(cfg, [struct])


def trainer_for(progress: RunProgress, **options: Any) -> Trainer:
    return Trainer(
        **{"max_epochs": 2, "num_sanity_val_steps": 0, **options},
        callbacks=[LightningProgress(progress)],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def recorded() -> tuple[RunProgress, Record]:
    progress = RunProgress()
    record = Record()
    progress._view = record
    return progress, record


def test_epochs_hold_the_batches_of_training_and_validation(datamodule: MultiTaskDataModule) -> None:
    progress, record = recorded()
    trainer_for(progress).fit(Model(), datamodule=datamodule)
    assert record.states() == [
        ("epoch", "2/2", 0),
        ("train", "3/3", 1),
        ("validate", "1/1", 1),
        ("train", "3/3", 1),
        ("validate", "1/1", 1),
    ]
    assert set(record.closed_bars) == set(record.opened_bars)


class Crash(BaseException):
    """Stands for the end of a process."""


class CrashAt(Callback):
    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step == self.batch:
            raise Crash


def test_an_epoch_that_goes_on_shows_what_was_done_before(datamodule: MultiTaskDataModule, tmp_path: Path) -> None:
    with pytest.raises(Crash):
        plain_trainer(tmp_path, [CrashAt(6)], KeepGoing(tmp_path, 0, None)).fit(Model(), datamodule=datamodule)
    progress, record = recorded()
    keeper = KeepGoing(tmp_path, 0, None)
    keeper.look()
    trainer = plain_trainer(tmp_path, [LightningProgress(progress)], keeper)
    trainer.fit(Model(), datamodule=datamodule)
    assert record.states() == [
        ("epoch", "3/3", 0),
        ("train", "3/3", 1),  # its last batch alone was trained here
        ("validate", "1/1", 1),
        ("train", "3/3", 1),
        ("validate", "1/1", 1),
    ]


def test_a_line_tells_the_metrics_of_its_own_epoch_and_the_speed(datamodule: MultiTaskDataModule) -> None:
    progress, record = recorded()
    trainer_for(progress).fit(Model(), datamodule=datamodule)
    lines = [info for info in record.infos if "val/accuracy" in info]
    pattern = r"train/loss {}  val/accuracy 0\.875  [\d,]+ images/s"
    assert len(lines) == 2
    for line, loss in zip(lines, ("0.5", "0.25"), strict=True):
        assert re.fullmatch(pattern.format(loss), line), line


def test_the_bar_of_batches_tells_the_loss_and_counts_images(
    datamodule: MultiTaskDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_callback, "LOOK_SECONDS", 0)
    progress, record = recorded()
    trainer_for(progress, max_epochs=1).fit(Model(), datamodule=datamodule)
    bar = record.opened_bars[1]
    assert (bar.info, bar.unit, bar.scale) == ("loss 0.25", "images", 8)


def test_the_loss_is_looked_at_a_few_times_a_second_at_most(
    datamodule: MultiTaskDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_callback, "LOOK_SECONDS", 3600)
    progress, record = recorded()
    trainer_for(progress).fit(Model(), datamodule=datamodule)
    assert len([info for info in record.infos if info == "loss 0.25"]) <= 2


def test_no_epoch_is_counted_before_it_is_over(
    datamodule: MultiTaskDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_callback, "LOOK_SECONDS", 0)
    progress, record = recorded()
    with pytest.raises(RuntimeError, match="told to"):
        trainer_for(progress).fit(Model(fail_in="val"), datamodule=datamodule)
    assert record.opened_bars[0].count() == "0/2"
    assert record.opened_bars[0].completed == 0.75


@pytest.mark.parametrize("phase", ["train", "val"])
def test_all_bars_go_when_an_error_flies_through(datamodule: MultiTaskDataModule, phase: str) -> None:
    progress, record = recorded()
    with pytest.raises(RuntimeError, match="told to"):
        trainer_for(progress).fit(Model(fail_in=phase), datamodule=datamodule)
    assert record.opened_bars
    assert set(record.closed_bars) == set(record.opened_bars)
    assert progress._open == []


def test_test_and_predict_have_a_bar_of_their_own(datamodule: MultiTaskDataModule) -> None:
    progress, record = recorded()
    trainer = trainer_for(progress)
    trainer.test(Model(), datamodule=datamodule, verbose=False)
    trainer.predict(Model(), datamodule=datamodule)
    trainer.validate(Model(), datamodule=datamodule, verbose=False)
    assert record.states() == [("test", "2/2", 0), ("predict", "2/2", 0), ("validate", "1/1", 0)]
    assert set(record.closed_bars) == set(record.opened_bars)


def test_the_sanity_check_before_a_training_is_not_shown(datamodule: MultiTaskDataModule) -> None:
    progress, record = recorded()
    trainer_for(progress, num_sanity_val_steps=1, max_epochs=1).fit(Model(), datamodule=datamodule)
    assert [name for name, *_ in record.states()] == ["epoch", "train", "validate"]


def test_a_training_without_a_known_end_is_shown_without_one(datamodule: MultiTaskDataModule) -> None:
    progress, record = recorded()
    trainer_for(progress, max_epochs=-1, max_steps=4).fit(Model(), datamodule=datamodule)
    assert record.opened_bars[0].count() == "2"


def test_one_callback_serves_several_trainings(datamodule: MultiTaskDataModule) -> None:
    progress, record = recorded()
    for _ in range(2):
        trainer_for(progress, max_epochs=1).fit(Model(), datamodule=datamodule)
    assert [count for name, count, _ in record.states() if name == "epoch"] == ["1/1", "1/1"]


def test_plain_lines_tell_of_epochs(datamodule: MultiTaskDataModule) -> None:
    console = Console(file=io.StringIO(), width=200)
    with RunProgress(console=console) as progress:
        trainer_for(progress).fit(Model(), datamodule=datamodule)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[-1].startswith("epoch 2/2  train/loss 0.25  val/accuracy 0.875  ")


def test_a_batch_is_as_long_as_its_tasks_together() -> None:
    assert batch_length({"a": {"sample_id": ["1", "2"]}, "b": {"sample_id": ["1"]}}) == 3


def test_metrics_of_single_tasks_stay_out_of_the_line() -> None:
    trainer = trainer_for(RunProgress(enabled=False))
    trainer.callback_metrics.update({"val/a/loss": torch.tensor(1.0), "val/loss": torch.tensor(2.0)})
    assert metrics_text(trainer) == "val/loss 2"


def test_an_endless_loader_has_no_total() -> None:
    progress, record = recorded()
    callback = LightningProgress(progress)
    callback._open("train", math.inf)
    assert record.states() == [("train", "0", 0)]


@pytest.mark.parametrize(
    ("outputs", "text"),
    [({"loss": torch.tensor(0.125)}, "loss 0.125"), (torch.tensor(2.0), "loss 2"), (None, ""), ({}, "")],
)
def test_the_loss_is_found_in_what_a_step_returns(outputs: Any, text: str) -> None:
    assert progress_callback._loss_text(outputs) == text
