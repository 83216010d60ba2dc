"""LightningProgress: shows epochs, batches and metrics of a training in the progress view of the run."""

# ruff: noqa: ARG002 # Lightning's hooks have a signature of their own.

import math
from collections.abc import Mapping
from contextlib import ExitStack
from time import monotonic
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mml.core.data_loading.task_attributes import Modality
from mml.core.scripts.progress import ProgressTask, RunProgress

LOOK_SECONDS = 0.1  # between two looks at the loss, which make a GPU wait
MOST_METRICS = 6  # in the line of an epoch


class LightningProgress(Callback):
    """Feeds the run's progress view. To be used with `Trainer(enable_progress_bar=False)`.

    Args:
        progress: the view.
    """

    def __init__(self, progress: RunProgress) -> None:
        self._progress = progress
        self._fit = ExitStack()
        self._batches = ExitStack()
        self._epochs: ProgressTask | None = None
        self._bar: ProgressTask | None = None
        self._epoch = 0
        self._images = 0
        self._earlier = 0  # batches of this epoch that were trained before an interruption
        self._seconds = 0.0
        self._started = 0.0
        self._due = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar of the epochs."""
        total = trainer.max_epochs if trainer.max_epochs is not None and trainer.max_epochs > 0 else None
        self._epochs = self._fit.enter_context(self._progress.task("epoch", total, unit=""))
        self._epochs.completed = trainer.current_epoch
        epochs: Any = trainer.fit_loop.epoch_progress.current
        if epochs.started > epochs.processed:  # goes on in the midst of an epoch, whose start is not told again
            self._begin_epoch(trainer, trainer.fit_loop.epoch_loop.batch_progress.current.ready)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell what the last epoch brought, and show the bar of this one's batches."""
        self._finish_epoch(trainer)
        self._begin_epoch(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a batch."""
        self._images += batch_length(batch)
        now = self._count(batch_idx, self._images)
        self._seconds = now - self._started
        if now >= self._due and self._bar is not None and self._epochs is not None:
            self._due = now + LOOK_SECONDS
            if self._bar.total:
                self._epochs.completed = self._epoch + self._bar.completed / (self._bar.total + 1)
            self._bar.set(info=_loss_text(outputs))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell what the last epoch brought."""
        self._finish_epoch(trainer)
        self._close()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show a bar of the batches to validate with."""
        if not trainer.sanity_checking:
            self._open("validate", _sum(trainer.num_val_batches))

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *where: int
    ) -> None:
        """Count a batch."""
        self._count_one(batch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._batches.close()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show a bar of the batches to test with."""
        self._open("test", _sum(trainer.num_test_batches))

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *where: int
    ) -> None:
        """Count a batch."""
        self._count_one(batch)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show a bar of the batches to predict."""
        self._open("predict", _sum(trainer.num_predict_batches))

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *where: int
    ) -> None:
        """Count a batch."""
        self._count_one(batch)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take all bars away."""
        self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take all bars away."""
        self._close()

    def _begin_epoch(self, trainer: Trainer, batches: int = 0) -> None:
        """Show the bar of an epoch of which some batches were trained before an interruption."""
        self._epoch, self._images, self._started = trainer.current_epoch, 0, monotonic()
        self._open("train", trainer.num_training_batches)
        self._earlier = batches
        if self._bar is not None:
            self._bar.completed = batches

    def _open(self, description: str, total: float) -> None:
        self._batches.close()
        self._earlier = 0
        end = None if math.isinf(total) else total
        self._bar = self._batches.enter_context(self._progress.task(description, end, unit="images"))

    def _count_one(self, batch: Any) -> None:
        if self._bar is None:
            return
        done = int(self._bar.completed)
        self._count(done, round(self._bar.scale * done) + batch_length(batch))
        self._bar.set()

    def _count(self, batch_idx: int, images: int) -> float:
        """Take note of a batch and of the images so far; return the time."""
        if self._bar is not None:
            self._bar.completed = batch_idx + 1
            self._bar.scale = images / max(batch_idx + 1 - self._earlier, 1)
        return monotonic()

    def _finish_epoch(self, trainer: Trainer) -> None:
        """Tell what an epoch brought; only now, for a model logs its metrics after the callbacks were called."""
        self._batches.close()
        if self._epochs is None or self._images == 0:
            return
        rate = f"{self._images / self._seconds:,.0f} images/s" if self._seconds > 0 else ""
        text = "  ".join(part for part in (metrics_text(trainer), rate) if part)
        self._epochs.set(completed=self._epoch + 1, info=text)
        self._images = 0

    def _close(self) -> None:
        self._batches.close()
        self._fit.close()
        self._epochs = self._bar = None


def batch_length(batch: Mapping[str, Any]) -> int:
    """Return the number of images in a batch, of all its tasks."""
    return sum(len(part[Modality.SAMPLE_ID]) for part in batch.values())


def metrics_text(trainer: Trainer) -> str:
    """Return e.g. `train/loss 0.213  val/accuracy 0.91`: what was logged, of several tasks only the means."""
    found = {name: value for name, value in sorted(trainer.callback_metrics.items()) if name.count("/") <= 1}
    return "  ".join(f"{name} {float(value):.3g}" for name, value in list(found.items())[:MOST_METRICS])


def _loss_text(outputs: Any) -> str:
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
    return "" if loss is None else f"loss {float(loss):.3g}"


def _sum(batches: Any) -> float:
    return float(sum(batches)) if isinstance(batches, list) else float(batches)
