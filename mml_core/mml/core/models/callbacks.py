"""Callbacks of every training: epochs seeded by themselves, and the history of what was measured."""

# ruff: noqa: ARG002 # Lightning's hooks have a signature of their own.

from collections.abc import Mapping
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from mml.core.scripts.schedule import step_seed
from mml.core.scripts.seeding import seed_everything
from mml.core.scripts.utils import LearningPhase


class EpochSeed(Callback):
    """Seeds every epoch from the step's seed and its number, so that it does not depend on what was drawn before it.

    Args:
        seed: of the step.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Seed all generators."""
        self.seed_epoch(trainer.current_epoch)

    def seed_epoch(self, epoch: int) -> None:
        """Seed all generators as at the start of an epoch, from 0."""
        seed_everything(step_seed(self._seed, f"epoch {epoch}"))


class MetricHistory(Callback):
    """Collects what was logged, epoch by epoch.

    Attributes:
        rows: one mapping per epoch: `epoch`, `lr` (the rate after it) and the metrics of training and validation.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Forget an earlier training; the rows of one that goes on are loaded after this."""
        if stage == "fit":
            self.rows = []

    def state_dict(self) -> dict[str, Any]:
        """Return what has been collected."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what was collected before an interruption."""
        self.rows = [dict(row) for row in state_dict["rows"]]

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the metrics of a validation that was part of a training."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._row(trainer.current_epoch).update(_chosen(trainer.callback_metrics, LearningPhase.VAL))

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note the learning rate."""
        self._row(trainer.current_epoch)["lr"] = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the training metrics of the epoch before: the module logs them after the callbacks' end of an epoch."""
        self._take_training(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the training metrics of the last epoch."""
        self._take_training(trainer)

    def _take_training(self, trainer: lightning.Trainer) -> None:
        if self.rows:
            self.rows[-1].update(_chosen(trainer.callback_metrics, LearningPhase.TRAIN))

    def _row(self, epoch: int) -> dict[str, Any]:
        if not self.rows or self.rows[-1]["epoch"] != epoch:
            self.rows.append({"epoch": epoch})
        return self.rows[-1]


def _chosen(metrics: Mapping[str, Any], phase: LearningPhase) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if name.startswith(f"{phase}/")}
