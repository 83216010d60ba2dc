"""Tuning before training: Lightning's tuner looks for batch size and learning rate, silently and in temporary files."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.tuner.tuning import Tuner

from mml.core.models.training import Trainer
from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.utils import atomic_write

logger = logging.getLogger(__name__)

FOUND = "tuned.json"
_NO_END = 1_000_000  # epochs


def tune_once(
    settings: Mapping[str, Any],
    trainer: lightning.Trainer,
    model: lightning.LightningModule,
    datamodule: lightning.LightningDataModule,
) -> dict[str, Any]:
    """Tune, or take over what was found before an interruption; see `tune`.

    Args:
        settings: the `tune` group.
        trainer: keeps what was found with its checkpoints, if it takes some.
        model: gets `lr`.
        datamodule: gets `batch_size`.
    """
    wanted = [name for name in ("batch_size", "lr") if settings.get(name)]
    keeper = trainer.keeper if isinstance(trainer, Trainer) else None
    if not wanted or keeper is None:
        return tune(settings, trainer, model, datamodule)
    path = keeper.folder.path / FOUND
    found = _read(path, wanted)
    if found is None:
        keeper.active = False
        try:
            found = tune(settings, trainer, model, datamodule)
        finally:
            keeper.active = True
        with atomic_write(path, "w") as file:
            json.dump(found, file)
    else:
        logger.info("Tuning is not repeated; before the interruption it found %s.", found)
        _apply(found, model, datamodule)
    return found


def _read(path: Path, wanted: list[str]) -> dict[str, Any] | None:
    """Return what an interrupted part of the run found, None if it did not get so far or its file is damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and sorted(found) == sorted(wanted)
    return found if whole and all(isinstance(value, int | float) for value in found.values()) else None


def _apply(found: Mapping[str, Any], model: Any, datamodule: Any) -> None:
    if "batch_size" in found:
        datamodule.batch_size = found["batch_size"]
    if "lr" in found:
        model.lr = found["lr"]


def tune(
    settings: Mapping[str, Any],
    trainer: lightning.Trainer,
    model: lightning.LightningModule,
    datamodule: lightning.LightningDataModule,
) -> dict[str, Any]:
    """Look for a batch size, then a learning rate, and set them in place.

    Args:
        settings: the `tune` group.
        trainer: is used for short trainings, and is as before afterwards.
        model: gets `lr`; its weights are as before afterwards.
        datamodule: gets `batch_size`.

    Returns:
        What was found: `batch_size` and `lr`, each only if it was looked for.

    Raises:
        MMLError: no learning rate could be found.
    """
    found: dict[str, Any] = {}
    tuner = Tuner(trainer)
    with _without_bars(), _without_end(trainer):
        # The learning rate depends on the batch size, so the batch size comes first.
        if settings.get("batch_size"):
            found["batch_size"] = _batch_size(tuner, settings, model, datamodule)
        if settings.get("lr"):
            found["lr"] = _learning_rate(tuner, settings, model, datamodule)
    for name, value in found.items():
        logger.info("Tuning found %s=%s.", name, value)
    return found


def _batch_size(tuner: Tuner, settings: Mapping[str, Any], model: Any, datamodule: Any) -> int:
    largest = int(settings["max_batch_size"])
    tuner.scale_batch_size(
        model, datamodule=datamodule, mode="power", init_val=int(settings["min_batch_size"]), max_val=largest
    )
    datamodule.batch_size = min(datamodule.batch_size, largest)
    return int(datamodule.batch_size)


def _learning_rate(tuner: Tuner, settings: Mapping[str, Any], model: Any, datamodule: Any) -> float:
    finder = tuner.lr_find(
        model,
        datamodule=datamodule,
        min_lr=float(settings["min_lr"]),
        max_lr=float(settings["max_lr"]),
        num_training=int(settings["lr_steps"]),
        update_attr=False,
    )
    suggestion = finder.suggestion() if finder is not None else None
    if suggestion is None:
        msg = (
            "No learning rate was found: too few steps before the loss grew. Use a larger tune.lr_steps, a smaller "
            "tune.max_lr, or tune=none with optimizer.lr."
        )
        raise MMLError(msg)
    model.lr = suggestion
    return float(suggestion)


def _without_bars() -> contextlib.AbstractContextManager[Any]:
    """Keep the tuner's own progress bar, which it writes to standard error, off the display."""
    return contextlib.redirect_stderr(io.StringIO())


@contextlib.contextmanager
def _without_end(trainer: lightning.Trainer) -> Iterator[None]:
    """Let the tuner take as many steps as it wants: few epochs of few images would end before it has seen enough."""
    epochs = trainer.fit_loop.max_epochs
    trainer.fit_loop.max_epochs = _NO_END
    try:
        yield
    finally:
        trainer.fit_loop.max_epochs = epochs
