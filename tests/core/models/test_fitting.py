from pathlib import Path
from typing import Any

import pytest
import torch

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.models import fitting
from mml.core.models.fitting import Fitted
from mml.core.models.train_mode import read_mode
from mml.core.scripts import factories
from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.seeding import seed_everything
from tests.support.tasks import make_task
from tests.support.training import file_manager, train_config


class Session:
    """All that one training needs."""

    def __init__(self, root: Path, *overrides: str) -> None:
        if not (root / "data").exists():
            make_task(root / "data", "stripes")
        self.cfg = train_config(root, "task=stripes", *overrides)
        self.fm = file_manager(root)
        struct = self.fm.load_struct("stripes")
        seed_everything(7)
        self.model = factories.create_model(self.cfg, [struct])
        self.data = factories.create_datamodule(self.cfg, [struct], 0, 7)
        self.trainer = self.new_trainer()

    def new_trainer(self) -> Any:
        progress = RunProgress(enabled=False)
        return factories.create_trainer(self.cfg, fm=self.fm, progress=progress, seed=7, metrics_callback=True)

    def fit(self) -> Fitted:
        return fitting.fit(self.trainer, self.model, self.data, read_mode(self.cfg))

    def validate(self) -> float:
        """Return the loss of the weights that the model has now."""
        trainer = self.new_trainer()
        trainer.validate(self.model, datamodule=self.data, verbose=False)
        return float(trainer.callback_metrics["val/loss"])


def test_a_training_learns_to_tell_stripes_apart(tmp_path: Path) -> None:
    fitted = Session(tmp_path, "trainer.max_epochs=8").fit()
    assert fitted.performance is not None
    assert fitted.performance > 0.9
    assert len(fitted.history) == 8
    assert fitted.seconds > 0


# With the largest loss as the best, the best epoch is not the last one.
UPSIDE_DOWN = ("trainer.max_epochs=4", "mode.monitor=val/loss", "mode.direction=max")


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    session = Session(tmp_path, *UPSIDE_DOWN)
    fitted = session.fit()
    losses = [row["val/loss"] for row in fitted.history]
    assert fitted.performance == max(losses) != losses[-1]
    assert session.validate() == pytest.approx(max(losses))
    (training, validation) = fitted.metrics
    assert training["epoch"] == validation["epoch"] == losses.index(max(losses))
    assert (training["split"], validation["split"]) == ("train", "val")


def test_the_last_epoch_is_kept_when_told(tmp_path: Path) -> None:
    session = Session(tmp_path, *UPSIDE_DOWN, "mode.keep=last")
    fitted = session.fit()
    assert fitted.performance == fitted.history[-1]["val/loss"]
    assert session.validate() == pytest.approx(fitted.performance)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_no_checkpoint_stays(tmp_path: Path, keep: str) -> None:
    Session(tmp_path, f"mode.keep={keep}").fit()
    assert list(tmp_path.rglob("*.ckpt")) == []


def test_a_training_metric_can_be_watched(tmp_path: Path) -> None:
    session = Session(tmp_path, "mode.monitor=train/loss")
    fitted = session.fit()
    assert fitted.performance == min(row["train/loss"] for row in fitted.history)


def test_a_training_without_validation_keeps_its_last_epoch(tmp_path: Path) -> None:
    fitted = Session(tmp_path, "trainer.limit_val_batches=0", "mode.keep=last").fit()
    assert fitted.performance is None
    assert [entry["split"] for entry in fitted.metrics] == ["train"]


def test_a_training_without_an_epoch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MMLError, match="ended before its first epoch did"):
        Session(tmp_path, "+trainer.max_steps=0", "lr_scheduler=none").fit()


def test_averaged_weights_are_kept(tmp_path: Path) -> None:
    session = Session(tmp_path, "callbacks=ema", "callbacks.ema.decay=0.5", "mode.monitor=val/loss")
    fitted = session.fit()
    assert fitted.performance is not None
    assert session.validate() == pytest.approx(fitted.performance, rel=1e-4)


@pytest.mark.parametrize("option", ["swa", "early_stopping"])
def test_other_callbacks_go_with_a_training(tmp_path: Path, option: str) -> None:
    assert Session(tmp_path, f"callbacks={option}", "mode.keep=last", "lr_scheduler=none").fit().history


@pytest.mark.parametrize("option", ["cosine", "none", "one_cycle", "plateau", "step"])
def test_every_schedule_goes_with_a_training(tmp_path: Path, option: str) -> None:
    assert Session(tmp_path, f"lr_scheduler={option}").fit().performance is not None


def test_the_same_seed_gives_the_same_bits(tmp_path: Path) -> None:
    first, second = Session(tmp_path), Session(tmp_path)
    assert first.fit().history == second.fit().history
    for name, value in first.model.model.state_dict().items():
        assert torch.equal(value, second.model.model.state_dict()[name]), name


def test_test_metrics_are_named_without_their_split(tmp_path: Path) -> None:
    session = Session(tmp_path)
    values = fitting.test(session.trainer, session.model, session.data)
    assert list(values) == ["loss", "accuracy", "balanced_accuracy", "f1", "kappa"]
    assert sum(map(sum, session.model.confusion["stripes"])) == 15


def test_predictions_are_in_the_order_of_the_samples(tmp_path: Path) -> None:
    session = Session(tmp_path)
    batches = fitting.predict(session.trainer, session.model, session.data, DataSplit.TEST)
    ids = [sample_id for batch in batches for sample_id in batch["stripes"]["sample_id"]]
    assert ids == [f"test_{number:04}" for number in range(15)]
    held_out = fitting.predict(session.new_trainer(), session.model, session.data, DataSplit.VAL)
    assert sum(len(batch["stripes"]["sample_id"]) for batch in held_out) == 6
