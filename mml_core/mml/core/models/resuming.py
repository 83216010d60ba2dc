"""Going on inside a training: a checkpoint after a batch, and an epoch that begins behind the batch of a checkpoint.

Lightning can restart at some of these places, but not everywhere with the same result. So its loop over the batches of
an epoch is extended at one point, between a batch and what follows it: checkpoints are taken there and nowhere else,
and a training that goes on enters there, as if it had just trained the batch.
"""

# ruff: noqa: ARG002 # Lightning's hooks have a signature of their own.

import logging
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, StochasticWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.loops.utilities import _is_max_limit_reached

from mml.core.models import training_state
from mml.core.models.callbacks import EpochSeed
from mml.core.models.checkpoints import FILES, CheckpointFolder, DurableCheckpointIO, loads_safely, moved
from mml.core.scripts.exceptions import Interrupted
from mml.core.scripts.signals import SignalGuard
from mml.core.scripts.utils import fsync_folder, fsync_tree

logger = logging.getLogger(__name__)

STATE = "mml_state"
# Seconds that a validation may yet take when a signal comes, before it is given up.
GRACE = 10.0


def keep_curves(trainer: lightning.Trainer) -> None:
    """Make the curves for TensorBoard durable up to now: what is recorded as done is not logged again."""
    for sink in trainer.loggers:
        if isinstance(sink, TensorBoardLogger):
            sink.experiment.flush()
            folder = Path(sink.log_dir)
            with suppress(OSError):  # the training itself does not need them
                fsync_tree(folder)
                fsync_folder(folder.parent.parent)


class KeepGoing(Callback):
    """Takes the checkpoints of a training, and stops it after a batch when a signal asks for it.

    Args:
        folder: for the checkpoints of this training.
        minutes: from one checkpoint inside an epoch to the next; 0 for one after every batch, None for none. At the end
            of an epoch there always is one.
        guard: knows of signals; None when nobody handles them.

    Attributes:
        seconds: what the training took before it was interrupted.
    """

    def __init__(self, folder: Path, minutes: float | None, guard: SignalGuard | None) -> None:
        self.folder = CheckpointFolder(folder)
        self._first, self._trainings = folder, 0
        self.io = DurableCheckpointIO()
        self.seconds = 0.0
        self.active = self._able = True
        self.found: tuple[Path, dict[str, Any]] | None = None
        self._pause = None if minutes is None else minutes * 60
        self._guard = guard
        self._held = ExitStack()
        self._due = self._started = self._validating = time.monotonic()
        self._validated = 0
        self._state: dict[str, Any] | None = None
        self._checked = False

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Leave a training alone that can't go on in its midst."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined] # set by a connector
        self._able = not any(isinstance(callback, StochasticWeightAveraging) for callback in callbacks)
        if stage == "fit" and self.active and not self._able:
            logger.warning(
                "A training with Lightning's StochasticWeightAveraging can't go on in its midst: interrupted, it "
                "starts anew. callbacks=swa averages weights, too, and can."
            )

    def look(self) -> None:
        """Find out where the training was interrupted, if it was."""
        self.found = self.folder.newest()

    @property
    def logged_steps(self) -> int | None:
        """How many steps loggers have seen already, None when the training begins."""
        if self.found is None:
            return None
        loops = self.found[1]["loops"]["fit_loop"]
        return int(loops["epoch_loop.state_dict"]["_batches_that_stepped"]) + 1

    def start(self) -> str | None:
        """Return the checkpoint to go on from, None when the training begins; to be called once per training."""
        self._trainings += 1
        if self._trainings > 1:  # of the same trainer, e.g. first the head and then all of a network
            self.folder = CheckpointFolder(self._first.with_name(f"{self._first.name}_fit_{self._trainings}"))
            self.seconds = 0.0
            self.look()
        found, self.found = self.found, None
        if found is None:
            return None
        self.io.loaded = found
        return str(found[0])

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take what is mml's own; the folder may have been moved since."""
        self._state = checkpoint.get(STATE)
        if self._state is None:
            return
        checkpoint["callbacks"] = moved(checkpoint["callbacks"], self._state["folder"], str(self.folder.path))
        self.io.digests = {self.folder.path / name: digest for name, digest in checkpoint[FILES].items()}
        self.seconds = self._state["seconds"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """From now on a signal waits for the end of a batch."""
        self._started = time.monotonic()
        self._due = self._started + (self._pause or 0.0)
        if self.active and self._guard is not None:
            self._held.enter_context(self._guard.deferred())

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look at the clock."""
        self._validating, self._validated = time.monotonic(), 0

    def on_validation_batch_end(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        """Let a signal stop a long validation of a training, of which there is a checkpoint right before it."""
        self._validated += 1
        if trainer.state.fn != "fit" or not self._stopping:
            return
        left = sum(trainer.num_val_batches) - self._validated
        if left * (time.monotonic() - self._validating) / self._validated > GRACE:
            self._held.close()

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Let signals through again."""
        self._held.close()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Let signals through again; the error that is on its way says more than they do."""
        with suppress(Interrupted):
            self._held.close()

    def take_state(self) -> dict[str, Any] | None:
        """Return, once, the state of the checkpoint that the training goes on from; None when it began here."""
        state, self._state = self._state, None
        return state

    def after_batch(self, trainer: lightning.Trainer, last: bool) -> None:
        """Take a checkpoint if one is due.

        Args:
            trainer: between a batch and what follows it.
            last: whether that batch was the last of its epoch.

        Raises:
            Interrupted: a signal came.
        """
        if not self.active or not self._able:
            return
        due = self._pause is not None and time.monotonic() >= self._due
        if last or due or self._stopping:
            self._take(trainer)
        if self._stopping:
            self._held.close()

    def after_validation(self, trainer: lightning.Trainer) -> None:
        """Take a checkpoint if a signal came while the weights after a batch were validated.

        Raises:
            Interrupted: a signal came.
        """
        if self.active and self._able and self._stopping:
            self._take(trainer, behind_validation=True)
            self._held.close()

    @property
    def _stopping(self) -> bool:
        return self._guard is not None and self._guard.seen is not None

    def _take(self, trainer: lightning.Trainer, *, behind_validation: bool = False) -> None:
        loop = trainer.fit_loop.epoch_loop
        if _is_max_limit_reached(loop.global_step, loop.max_steps):
            return  # Lightning would not even begin with a training that has all its steps
        try:
            path = self.folder.write(self._checkpoint(trainer, behind_validation))
        except OSError as error:
            logger.warning("No checkpoint could be written to %s (%s): training goes on.", self.folder.path, error)
            path = None
        self._due = time.monotonic() + (self._pause or 0.0)
        if path is None:
            return
        self.io.checkpoint_written()
        if not self._checked:
            self._check(path)

    def _checkpoint(self, trainer: lightning.Trainer, behind_validation: bool) -> dict[str, Any]:
        keep_curves(trainer)
        checkpoint: dict[str, Any] = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        for key in [key for key in checkpoint if key.startswith(("hyper_parameters", "hparams", "datamodule_hparams"))]:
            del checkpoint[key]  # objects of any class, and nothing that a training needs to go on
        seconds = self.seconds + time.monotonic() - self._started
        loader = trainer.fit_loop._combined_loader
        own = {
            "folder": str(self.folder.path),
            "seconds": seconds,
            "loaders": loader._state_dicts() if loader else [],
            "behind_validation": behind_validation,
            "should_stop": trainer.should_stop,
            **training_state.capture(trainer),
        }
        files = {path.name: digest for path, digest in self.io.digests.items() if path.parent == self.folder.path}
        return {**checkpoint, STATE: own, FILES: files}

    def _check(self, path: Path) -> None:
        """Find out early when a model or callback puts things into checkpoints that can't be loaded safely."""
        self._checked = True
        if reason := loads_safely(path):
            logger.warning(
                "This training can't go on from its checkpoints, as they hold more than tensors, numbers, texts, lists "
                "and dicts; interrupted, it starts anew. Look at on_save_checkpoint and state_dict of model, callbacks "
                "and data module. %s",
                reason,
            )


class EpochLoop(_TrainingEpochLoop):
    """Lightning's loop over the batches of an epoch, which may be entered behind any batch."""

    def __init__(self, trainer: lightning.Trainer, keeper: KeepGoing) -> None:
        template = trainer.fit_loop.epoch_loop
        super().__init__(trainer, template.min_steps, template.max_steps)
        self._keeper = keeper
        self._behind_validation = False

    def advance(self, data_fetcher: Any) -> None:
        """Train a batch; of a training that goes on, take the place of the one before the first."""
        if (state := self._keeper.take_state()) is not None:
            self._enter(state, data_fetcher)
            return
        super().advance(data_fetcher)
        self._keeper.after_batch(self.trainer, last=self._num_ready_batches_reached())

    def on_advance_end(self, data_fetcher: Any) -> None:
        """Validate if it is time to, unless the checkpoint was taken behind that."""
        if self._behind_validation:
            self._behind_validation = False
            return
        super().on_advance_end(data_fetcher)
        self._keeper.after_validation(self.trainer)

    def _enter(self, state: dict[str, Any], data_fetcher: Any) -> None:
        """Make everything as it was after the batch of the checkpoint."""
        self.val_loop.restarting = False
        self.val_loop.batch_progress.reset_on_run()
        # Lightning leaves out some things at the end of an epoch that it takes for restarted.
        self.trainer.fit_loop._restarting = False
        done = self.batch_progress.current.ready
        _begin_behind(self.trainer, data_fetcher, state["loaders"], done)
        training_state.restore(self.trainer, state)
        self.trainer.should_stop, self._behind_validation = state["should_stop"], state["behind_validation"]
        total = self.trainer.num_training_batches
        logger.info("Training goes on in epoch %d, after batch %d of %s.", self.trainer.current_epoch + 1, done, total)


def _begin_behind(trainer: lightning.Trainer, data_fetcher: Any, states: list[dict[str, Any]], batches: int) -> None:
    """Let the next batch be the one behind those of this epoch that were trained already.

    Args:
        trainer: in the epoch.
        data_fetcher: gives batches; it may have been started before anybody knew that the training goes on.
        states: of the loaders that can begin in the midst of an epoch.
        batches: how many were trained.
    """
    loader = data_fetcher.combined_loader
    if len(states) == len(loader.flattened):
        loader._load_state_dicts(states)
        iter(data_fetcher)
    else:
        _skip(trainer, data_fetcher, batches)
    data_fetcher.fetched = batches


def _skip(trainer: lightning.Trainer, data_fetcher: Any, batches: int) -> None:
    """Read and drop the batches that were trained already, for loaders that can only begin at the beginning."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined] # set by a connector
        if isinstance(callback, EpochSeed):
            callback.seed_epoch(trainer.current_epoch)
    if trainer.current_epoch > 0:  # the iterator of the first epoch is older than its seed
        iter(data_fetcher)
    for _ in range(batches):
        next(data_fetcher.iterator)
