"""What an earlier process of a run left behind in other processes: attempts that may go on, and workers that may live.

A step must never run twice at the same time. So before anything else each such attempt is taken over, or ended for
certain; only then the files that it announced are removed.
"""

import importlib
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.attempts import AttemptFolder, attempts_left, remove_if_empty
from mml.core.scripts.exceptions import ContinueError, RunnerError
from mml.core.scripts.journal import RunRecord
from mml.core.scripts.lock_probe import probe
from mml.core.scripts.run_files import LOCK_FILE, WORKERS_FOLDER
from mml.runners.base import Earlier, Runner, Work

logger = logging.getLogger(__name__)

# Seconds that workers of a driver that died get to notice it.
_PATIENCE = 60.0
_WORK, _RUNNER_CLASS = "work", "runner_class"


def take_down(run: Path, runner: Runner, work: Work, job: dict[str, Any]) -> None:
    """Keep what a later process has to know of an attempt; `runners.base.RunSetup` says what that is."""
    kept = {**job, _WORK: msgspec.to_builtins(work), _RUNNER_CLASS: _class_of(runner)}
    AttemptFolder(run, work.name).take_down(kept)


def settle_earlier(run: Path, record: RunRecord, runner: Runner, fm: MMLFileManager) -> list[Earlier]:
    """End what earlier processes of a run left, and return the attempts that this runner may take over.

    Raises:
        ContinueError: something that may still work on the run can't be ended; says what to do.
    """
    earlier: list[Earlier] = []
    over: list[AttemptFolder] = []
    for folder in attempts_left(run):
        work, job = _read(folder)
        if work is not None and job.get(_RUNNER_CLASS) == _class_of(runner) and folder.valid:
            earlier.append(Earlier(work, job))
            continue
        _cancel(folder, job)
        folder.revoke()
        over.append(folder)
    if not earlier:
        wait_for_workers(run)
    for folder in over:  # now that nobody writes any more
        clear(folder, record, fm)
    if not earlier:
        remove_if_empty(run)
    return earlier


def clear(folder: AttemptFolder, record: RunRecord, fm: MMLFileManager) -> None:
    """Remove what an attempt that is over left: its files, unless it is the one that did the step, and its folder."""
    done = record.done.get(folder.step)
    folder.revoke()
    if done is None or done.attempt != folder.attempt:
        remove_announced(folder, fm)
    folder.remove()


def remove_announced(folder: AttemptFolder, fm: MMLFileManager) -> None:
    """Remove the files that an attempt announced."""
    for text in folder.announced():
        fm.remove_half_written(fm.roots.to_path(text))
    fm.number_anew()


def wait_for_workers(run: Path) -> None:
    """Wait until no worker of an earlier process lives, which ends by itself when its driver dies.

    Raises:
        ContinueError: one does not; names it.
    """
    end = time.monotonic() + _PATIENCE
    told = False
    while living := sorted(living_workers(run)):
        if time.monotonic() > end:
            msg = (
                f"Run {run.name} can't be continued yet, as workers of its last process still live: "
                f"{', '.join(living)} (host and process). Wait for them or end them, then continue."
            )
            raise ContinueError(msg)
        if not told:
            logger.info("Waiting for workers of the last process to end: %s", ", ".join(living))
            told = True
        time.sleep(0.1)


def living_workers(run: Path) -> Iterable[str]:
    """Yield the names of the workers of a run that live."""
    folder = run / WORKERS_FOLDER
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return (name for name in names if lives(run, name))


def lives(run: Path, worker: str) -> bool:
    """Tell whether a worker lives, as far as locks on the run's file system tell."""
    return bool(probe(run / WORKERS_FOLDER / worker / LOCK_FILE))


def _read(folder: AttemptFolder) -> tuple[Work | None, dict[str, Any]]:
    job = folder.job() or {}
    try:
        return msgspec.convert(job.get(_WORK), Work), job
    except msgspec.ValidationError:
        return None, job


def end_attempts(run: Path) -> None:
    """End all that earlier processes of a run left elsewhere, because the run is about to be removed.

    Raises:
        ContinueError: nobody knows whether something is over; says what to do.
    """
    for folder in attempts_left(run):
        folder.revoke()
        _cancel(folder, folder.job() or {})


def _cancel(folder: AttemptFolder, job: dict[str, Any]) -> None:
    """End an attempt of another runner for certain.

    Raises:
        ContinueError: nobody knows whether it is over.
    """
    module, _, function = str(job.get("cancel", "")).partition(":")
    if not function:
        return
    try:
        getattr(importlib.import_module(module), function)(job)
    except (RunnerError, ImportError, AttributeError) as error:
        msg = (
            f"Step {folder.step + 1} may still run, started by {job.get(_RUNNER_CLASS)}: {error} Continue with that "
            "runner, or where it can be ended."
        )
        raise ContinueError(msg) from error


def _class_of(runner: Runner) -> str:
    return f"{type(runner).__module__}.{type(runner).__qualname__}"
