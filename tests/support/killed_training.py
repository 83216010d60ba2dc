"""Trainings that are killed at a chosen event and continued, each part in a fork of this process."""

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.run_folder import RUNS_FOLDER
from mml.core.scripts.train_scheduler import TrainScheduler
from tests.support.training import train_config

EVENTS = ("on_train_batch_end", "on_validation_batch_end", "on_validation_end", "on_train_epoch_end", "on_train_end")
KILLER = "+callbacks.killer._target_=tests.support.killed_training.Killer"
# What a killer in this process does: the number of the event to act at, and the signal to send.
ORDERS: dict[str, int] = {}


class Killer(Callback):
    """Counts events of a training, and sends this process a signal at one of them."""

    count = 0

    def _event(self, *_: Any, **__: Any) -> None:
        Killer.count += 1
        if Killer.count == ORDERS.get("at"):
            os.kill(os.getpid(), ORDERS["signal"])


for _name in EVENTS:
    setattr(Killer, _name, Killer._event)


def run_in_fork(cfg: DictConfig, at: int | None = None, signum: int = signal.SIGKILL, log: Path | None = None) -> int:
    """Run a training in a fork, which gets a signal at an event; return its wait status."""
    if pid := os.fork():
        return os.waitpid(pid, 0)[1]
    status = 1
    try:
        if log is not None:
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
        ORDERS.update({} if at is None else {"at": at, "signal": signum})
        Killer.count = 0
        MMLFileManager.clear_instance()
        TrainScheduler(cfg).run()
        status = 0
    except BaseException as error:  # noqa: BLE001 # a fork must not return into its parent's test
        traceback.print_exc()
        status = getattr(error, "exit_code", 1)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def killed_and_continued(root: Path, at: int, *overrides: str, signum: int = signal.SIGKILL) -> int:
    """Start a training in project `at_<number>`, send it a signal at an event, continue it; return its first status."""
    cfg = train_config(root, KILLER, f"proj=at_{at}", *overrides)
    log = root / f"log_{at}.txt"
    status = run_in_fork(cfg, at, signum, log)
    (run,) = (root / "results" / f"at_{at}" / RUNS_FOLDER).iterdir()
    if (run / "config.yaml").exists() and status:
        OmegaConf.update(cfg, "continue", run.name)
        assert run_in_fork(cfg, log=log) == 0, log.read_text()
    return status


def results(root: Path, proj: str) -> dict[str, bytes]:
    """Return the files of a project, path -> bytes, without those that hold times."""
    folder = root / "results" / proj
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    skipped = {RUNS_FOLDER, "MODELS", ".claims"}
    return {str(name): path.read_bytes() for name, path in files.items() if not skipped.intersection(name.parts)}
