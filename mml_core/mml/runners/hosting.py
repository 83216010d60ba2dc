"""What a process does before it can be a worker: it sees the driver's modules, and has a folder, a lock and a log."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.run_files import JOURNAL_FILE, LOCK_FILE, LOG_FILE, WORKERS_FOLDER
from mml.runners.base import WorkerSetup


def see_modules(setup: WorkerSetup) -> None:
    """Import from where the driver does; has to come before anything of the driver is unpickled."""
    known = set(sys.path)
    sys.path.extend(folder for folder in setup.search_path if folder not in known)
    with suppress(OSError):  # the machine may not have it, and steps don't depend on it
        os.chdir(setup.directory or ".")


@contextmanager
def hosted(setup: WorkerSetup, name: str) -> Iterator[Path]:
    """Give the process a folder in the run folder, whose lock tells that it lives; all that it prints goes to its log.

    Args:
        setup: of the run.
        name: of the worker, unique in the run, e.g. host and process id.

    Raises:
        MMLMisconfigurationException: this machine does not see the run folder.
    """
    run = Path(setup.folder)
    if not (run / JOURNAL_FILE).is_file():
        msg = (
            f"Worker {name} does not see the run folder {run}: steps on other machines need a results folder that all "
            "of them share under the same path. Choose one with out_dir=<folder>."
        )
        raise MMLMisconfigurationException(msg)
    folder = run / WORKERS_FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK_FILE, timeout=0, thread_local=False), _printing_to(folder / LOG_FILE):
        yield folder


@contextmanager
def _printing_to(log: Path) -> Iterator[None]:
    """Send standard output and error of this process, those of C libraries included, to the end of a file."""
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    kept = [os.dup(1), os.dup(2)]
    try:
        sys.stdout.flush()
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)  # or what a step prints would be seen long after it
        yield
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        for number, before in enumerate(kept, start=1):
            os.dup2(before, number)
            os.close(before)
        os.close(handle)
