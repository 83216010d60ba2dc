"""Fitting, testing and predicting with one model, and what comes of it; all that a step of `mode=train` computes."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.models.failures import explained_failures
from mml.core.models.outcomes import PredictedBatch, epoch_metrics, finite_or_none
from mml.core.models.resuming import keep_curves
from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.utils import LearningPhase

if TYPE_CHECKING:
    from mml.core.models.lightning_single_frame import SingleFrameLightningModule
    from mml.core.models.train_mode import TrainMode
    from mml.core.models.training import Trainer


class Fitted(NamedTuple):
    """What came of a training.

    Attributes:
        performance: the monitored value of the epoch that was kept, None if it was not measured or is no number.
        metrics: of that epoch, per split.
        history: one mapping per epoch.
        seconds: time of the training, that before an interruption included.
    """

    performance: float | None
    metrics: list[dict[str, Any]]
    history: list[dict[str, Any]]
    seconds: float


def fit(
    trainer: "Trainer",
    model: "SingleFrameLightningModule",
    datamodule: lightning.LightningDataModule,
    mode: "TrainMode",
) -> Fitted:
    """Train a model; afterwards it has the weights of the epoch that `mode.keep` asks for.

    Raises:
        MMLError: the loss is not finite any more, memory ran out, or no epoch was finished.
    """
    start = time.perf_counter()
    with explained_failures():
        trainer.fit(model, datamodule=datamodule)
    keep_curves(trainer)
    seconds = time.perf_counter() - start + (trainer.keeper.seconds if trainer.keeper else 0.0)
    history = trainer.history
    if not history:
        msg = "The training ended before its first epoch did. Use a larger trainer.max_epochs, max_steps or max_time."
        raise MMLError(msg)
    _take_kept_weights(trainer, model)
    kept = _kept_row(history, mode)
    splits = (LearningPhase.TRAIN, LearningPhase.VAL)
    return Fitted(finite_or_none(kept.get(mode.monitor)), epoch_metrics(kept, splits), history, seconds)


def test(
    trainer: lightning.Trainer, model: "SingleFrameLightningModule", datamodule: lightning.LightningDataModule
) -> dict[str, float | None]:
    """Return metric name -> value on the test samples; `model.confusion` has the confusion matrices then."""
    with explained_failures():
        trainer.test(model, datamodule=datamodule, verbose=False)
    prefix = f"{LearningPhase.TEST}/"
    found = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): finite_or_none(value) for name, value in found.items()}


def predict(
    trainer: lightning.Trainer, model: "SingleFrameLightningModule", datamodule: Any, split: DataSplit
) -> list[PredictedBatch]:
    """Return the predictions of a split, batch by batch, in the order of the samples."""
    datamodule.predict_split = split
    with explained_failures():
        batches: list[PredictedBatch] = trainer.predict(model, datamodule=datamodule) or []  # type: ignore[assignment] # what predict_step returns
    return batches


def _take_kept_weights(trainer: "Trainer", model: "SingleFrameLightningModule") -> None:
    """Give the model the weights of the best epoch, if they were kept."""
    keeper = trainer.checkpoint_callback
    if not isinstance(keeper, ModelCheckpoint) or not keeper.best_model_path:
        return
    path = Path(keeper.best_model_path)
    state: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    prefix = "model."
    model.model.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    if trainer.keeper is None:
        path.unlink()  # otherwise it goes with the checkpoints, which a continued run may yet need


def _kept_row(history: list[dict[str, Any]], mode: "TrainMode") -> dict[str, Any]:
    """Return the epoch whose weights were kept; of equals the first, as Lightning keeps it."""
    measured = [row for row in history if finite_or_none(row.get(mode.monitor)) is not None]
    if mode.keep == "last" or not measured:
        return history[-1]
    choose = min if mode.direction == "min" else max
    return choose(measured, key=lambda row: row[mode.monitor])
