"""Workers of an earlier process of a run: they die with it, so they are gone, or will be in a moment."""

import time
from pathlib import Path

from mml.core.scripts.exceptions import RunLockedError
from mml.core.scripts.run_files import WORKERS_FOLDER
from mml.core.scripts.run_lock import is_held

_LOOK = 0.02  # seconds between looks


def await_earlier(folder: Path, seconds: float) -> None:
    """Wait until no worker of a run lives.

    Args:
        folder: the run folder.
        seconds: how long to wait.

    Raises:
        RunLockedError: one still lives; names it.
    """
    end = time.monotonic() + seconds
    for worker in sorted((folder / WORKERS_FOLDER).glob("*/")):
        while is_held(worker):
            if time.monotonic() > end:
                host, _, pid = worker.name.rpartition("-")
                msg = (
                    f"Worker {worker.name} of an earlier process of run {folder.name} still lives (process {pid} on "
                    f"{host or 'an unknown machine'}), and could write what a new one writes. Wait for it, or end it "
                    f"there with: kill -9 {pid}"
                )
                raise RunLockedError(msg)
            time.sleep(_LOOK)
