"""The trainer: Lightning's, set up by the groups `trainer`, `callbacks` and `logging`, and quiet beside mml's view."""

import inspect
import logging
import math
import shutil
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.utils import instantiate
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from mml.core.models.assembly import named
from mml.core.models.callbacks import MetricHistory
from mml.core.models.failures import explained_failures, explained_misfit
from mml.core.models.kinds import direction
from mml.core.models.resuming import EpochLoop, KeepGoing
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.machine import step_cores
from mml.core.scripts.utils import as_list

log = logging.getLogger(__name__)

# Advice of Lightning and torch that mml's defaults and displays answer already: patterns of how it starts.
_ANSWERED = (
    r"The '\w+_dataloader' does not have many workers",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    r"Checkpoint directory .* exists and is not empty",
    r"You defined a `validation_step` but have no `val_dataloader`",
    r"`LightningModule.configure_optimizers` returned `None`",
    r"The `srun` command is available on your system but is not used",
    r"You're resuming from a checkpoint that ended before the epoch ended",
)

# Place of `ckpt_path` among the arguments of `fit`.
_CKPT_PATH = 4
CHECKPOINT_MINUTES = "checkpoint_minutes"
_COUNTS = ("max_epochs", "accumulate_grad_batches", "check_val_every_n_epoch", "log_every_n_steps")


class Trainer(lightning.Trainer):
    """Lightning's trainer, which knows the history of its training, and goes on with one that was interrupted.

    Attributes:
        history: one mapping per epoch of what was measured; empty unless collecting was asked for.
        keeper: takes the checkpoints; None for a trainer that keeps none.
    """

    keeper: KeepGoing | None = None

    def keep_going(self, keeper: KeepGoing) -> None:
        """Take checkpoints, and go on from those of an interrupted training; `keeper` has to be a callback, too."""
        self.keeper = keeper
        self.fit_loop.epoch_loop = EpochLoop(self, keeper)

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Train, as Lightning does; from where it was interrupted, unless `ckpt_path` says from where.

        Raises:
            MMLError: the checkpoint of the interrupted training does not fit any more.
        """
        keeper = self.keeper
        start = keeper.start() if keeper is not None and keeper.active else None
        if start is None or kwargs.get("ckpt_path") or args[_CKPT_PATH:]:
            super().fit(*args, **kwargs)
            return
        with explained_misfit(start):
            super().fit(*args, **{**kwargs, "ckpt_path": start, "weights_only": True})

    @property
    def history(self) -> list[dict[str, Any]]:
        """Return one mapping per epoch: `epoch`, `lr` and metrics by name."""
        found = [callback for callback in self.callbacks if isinstance(callback, MetricHistory)]  # type: ignore[attr-defined] # set by a connector
        return found[0].rows if found else []


def build_trainer(
    cfg: DictConfig,
    *,
    callbacks: Sequence[Callback],
    root: Path,
    logger: Logger | None = None,
    keeper: KeepGoing | None = None,
) -> Trainer:
    """Return the trainer that the `trainer` group describes.

    Args:
        cfg: the whole config.
        callbacks: all callbacks.
        root: folder for whatever Lightning writes unasked.
        logger: gets metrics, None for nobody.
        keeper: takes checkpoints, None for none.

    Raises:
        MMLMisconfigurationException: a key or a value that Lightning or this machine does not know.
    """
    settings = _settings(cfg)
    # One process on one device, in a job of Slurm, too: its tasks and signals aren't Lightning's to handle.
    plugins = [LightningEnvironment(), *([keeper.io] if keeper else []), *as_list(settings.pop("plugins", None))]
    _silence()
    try:
        with explained_failures():
            trainer = Trainer(
                **settings,
                callbacks=[*callbacks, keeper] if keeper else list(callbacks),
                plugins=plugins,
                logger=logger or False,
                default_root_dir=root,
                enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
            )
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"The trainer group can't be used on this machine: {error} See `mml help trainer`."
        raise MMLMisconfigurationException(msg) from error
    if isinstance(trainer.accelerator, CPUAccelerator):
        _tell_threads(torch.get_num_threads(), step_cores())
    if trainer.num_devices > 1:
        msg = f"trainer.devices={cfg.trainer.get('devices')}: one training uses one device. Use 1, or one number: [1]."
        raise MMLMisconfigurationException(msg)
    if keeper:
        trainer.keep_going(keeper)
    # Determinism must not cost a fill of every new tensor: nothing here reads memory that it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # a module property
    return trainer


def build_callbacks(entries: DictConfig | None, monitor: str, improving: str) -> list[Callback]:
    """Return the callbacks of the `callbacks` group.

    Args:
        entries: name -> config with `_target_`; a key `monitor` that is null becomes the monitored metric, and a key
            `mode` that is null the metric's direction.
        monitor: the metric that is watched.
        improving: `"min"` or `"max"`.

    Raises:
        MMLMisconfigurationException: a callback refuses its settings.
    """
    callbacks = []
    for name, entry in named(entries):
        own = entry.get("monitor")
        unset = {"monitor": monitor, "mode": direction(own) if own else improving}
        settings = {key: value for key, value in unset.items() if key in entry and entry[key] is None}
        try:
            callbacks.append(instantiate(entry, **settings))
        except Exception as error:
            # Hydra hides the class of whatever a constructor raises behind its own error.
            msg = f"Callback callbacks.{name} refuses its settings: {error}"
            raise MMLMisconfigurationException(msg) from error
    return callbacks


def checkpoint_minutes(cfg: DictConfig) -> float | None:
    """Return the minutes from one checkpoint inside an epoch to the next, None for none.

    Raises:
        MMLMisconfigurationException: it is no number, or below 0.
    """
    value = cfg.trainer.get(CHECKPOINT_MINUTES)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        msg = (
            f"trainer.{CHECKPOINT_MINUTES}={value} has to be a number of minutes, at least 0 (a checkpoint after every "
            "batch), or null for one at the end of every epoch alone."
        )
        raise MMLMisconfigurationException(msg)
    return float(value)


def keep_best(monitor: str, improving: str, path: Path, others: Iterable[Callback]) -> ModelCheckpoint:
    """Return a callback that keeps the weights of the epoch with the best value of a metric.

    Args:
        monitor: the metric.
        improving: `"min"` or `"max"`.
        path: the file to write, with the number of the epoch added to its name.
        others: the other callbacks, of which one may want to have its own weights in the file.
    """
    return ModelCheckpoint(
        dirpath=path.parent,
        filename=f"{path.stem}_{{epoch}}",
        monitor=monitor,
        mode=improving,
        save_top_k=1,
        # Averaged weights only get into whole checkpoints.
        save_weights_only=not any(isinstance(callback, WeightAveraging) for callback in others),
        enable_version_counter=False,
    )


def tensorboard_logger(cfg: DictConfig, folder: Path | None, name: str, step: int | None = None) -> Logger | None:
    """Return a logger for TensorBoard if it is wanted and installed and there is a run folder, else None.

    Args:
        cfg: the whole config.
        folder: the run folder.
        name: of the training.
        step: where a training goes on: what an earlier part of it logged later does not count. None for a new training.
    """
    wanted = OmegaConf.select(cfg, "logging.tensorboard", default=False)
    if not wanted or folder is None or find_spec("tensorboard") is None:
        return None
    if step is None:
        shutil.rmtree(folder / "tensorboard" / name, ignore_errors=True)  # curves of an interrupted training
    return TensorBoardLogger(save_dir=folder, name="tensorboard", version=name, purge_step=step)


def _settings(cfg: DictConfig) -> dict[str, Any]:
    """Return the arguments for Lightning's trainer, once they are known to be some."""
    settings: dict[str, Any] = OmegaConf.to_container(cfg.trainer, resolve=True)  # type: ignore[assignment] # a mapping
    checkpoint_minutes(cfg)
    settings.pop(CHECKPOINT_MINUTES, None)
    _use_threads(settings.pop("threads", None))
    _check_keys(settings)
    _check_numbers(settings)
    if not OmegaConf.select(cfg, "sys.allow_gpu", default=True):
        settings["accelerator"] = "cpu"
    return settings


def _use_threads(threads: Any) -> None:
    """Let torch compute with so many threads on the CPU, wherever this process runs: its sums depend on the number.

    Raises:
        MMLMisconfigurationException: it can't be a number of threads.
    """
    if threads is None:  # a run that was started before there was the key
        return
    if type(threads) is not int or threads < 1:
        msg = f"trainer.threads={threads} can't be used: give a whole number from 1 on."
        raise MMLMisconfigurationException(msg)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@cache
def _tell_threads(threads: int, cores: int) -> None:
    """Say once that more threads would be faster, which nobody does without being asked: results depend on them."""
    if threads < cores:
        text = (
            "Computing with %s of %s cores. trainer.threads=%s may be faster; it changes results in their last digits."
        )
        log.info(text, threads, cores, min(cores, 8))


def _check_keys(settings: dict[str, Any]) -> None:
    """Refuse keys that Lightning's trainer does not know, or that mml sets itself."""
    ours = {"self", "callbacks", "logger", "default_root_dir", "enable_checkpointing", "enable_progress_bar"}
    known = inspect.signature(lightning.Trainer.__init__).parameters.keys() - ours
    for key in settings:
        if key not in known:
            raise UnknownNameError(key, kind="key of trainer", known=known)


def _check_numbers(settings: dict[str, Any]) -> None:
    """Refuse what Lightning takes without a look and fails at in the midst of a run."""
    for key in _COUNTS:
        value = settings.get(key, 1)
        endless = key == "max_epochs" and value == -1  # with another end, e.g. +trainer.max_time
        if isinstance(value, bool) or not isinstance(value, int) or (value < 1 and not endless):
            msg = f"trainer.{key}={value} has to be a whole number, at least 1."
            raise MMLMisconfigurationException(msg)
    clip = settings.get("gradient_clip_val")
    if clip is not None and (isinstance(clip, bool) or not isinstance(clip, int | float) or not clip > 0):
        msg = f"trainer.gradient_clip_val={clip} has to be a number above 0, or null for no clipping."
        raise MMLMisconfigurationException(msg)


def _silence() -> None:
    for package in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)
    for message in _ANSWERED:
        warnings.filterwarnings("ignore", message)
