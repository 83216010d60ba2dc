"""Attempts of an earlier driver on Ray: they end with it, and this is where a later one waits until they have."""

import time
from pathlib import Path
from typing import Any

from mml.core.scripts.exceptions import RunnerError
from mml.core.scripts.run_files import WORKERS_FOLDER
from mml.core.scripts.run_lock import is_held

CANCEL = "mml.runners.ray_jobs:cancel"
# Seconds: Ray ends workers of a dead driver within one; a machine that lost its head ends them after a minute.
_DYING = 90.0
_LOOK = 0.05


def job_of(folder: Path, address: str, job: str, worker: str, node: str) -> dict[str, Any]:
    """Return what is taken down of an attempt.

    Args:
        folder: the run folder.
        address: of the head of Ray.
        job: id of the driver's job.
        worker: its name, empty when it has not begun.
        node: name of its machine.
    """
    return {
        "runner": "ray",
        "cancel": CANCEL,
        "run": str(folder),
        "address": address,
        "job": job,
        "worker": worker,
        "node": node,
    }


def cancel(job: dict[str, Any]) -> None:
    """Return when an attempt of a driver that is dead is over.

    Ray ends all that belongs to a dead driver. Whether a worker lives is told by the lock in its folder, which the
    system releases when its process ends: that needs no Ray, which may have ended with the driver.

    Raises:
        RunnerError: it does not end; says where it runs.
    """
    await_workers(Path(job["run"]), [job["worker"]] if job.get("worker") else None, job, _DYING)


def await_workers(folder: Path, names: list[str] | None, job: dict[str, Any], seconds: float) -> None:
    """Wait until workers of a run have ended.

    Args:
        folder: the run folder.
        names: of the workers; None: all that the run has ever had.
        job: what was taken down of their attempts.
        seconds: how long to wait.

    Raises:
        RunnerError: one still lives.
    """
    workers = folder / WORKERS_FOLDER
    end = time.monotonic() + seconds
    for worker in [workers / name for name in names] if names is not None else sorted(workers.glob("*/")):
        while is_held(worker):
            if time.monotonic() > end:
                raise _lives_on(worker, folder, job)
            time.sleep(_LOOK)


def _lives_on(worker: Path, folder: Path, job: dict[str, Any]) -> RunnerError:
    host, _, process = worker.name.rpartition("-")
    msg = (
        f"Worker {worker.name} of an earlier process of run {folder.name} still lives (process {process} on {host}), "
        f"although Ray at {job.get('address') or 'an unknown address'} ought to have ended it with its driver. End it "
        f"there with `kill -9 {process}`, then continue the run."
    )
    return RunnerError(msg)
