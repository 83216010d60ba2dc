"""`mml runs log`: the last lines of a run's log, or of one of its workers, and those that come while it runs."""

import argparse
import codecs
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.lock_probe import probe
from mml.core.scripts.run_files import LOCK_FILE, LOG_FILE, WORKERS_FOLDER
from mml.core.scripts.runs import DETACHED, RunInfo, is_running, read_run
from mml.core.scripts.worker_tails import LogTails
from mml.report.tables import show
from mml.runs_choice import choose
from mml.runs_words import results_root

PAUSE_SECONDS = 0.3
_CHUNK = 1 << 16


def log_command(given: argparse.Namespace) -> int:
    """Print the log of a run, and return the exit code.

    Raises:
        MMLMisconfigurationException: no run is meant, or several.
    """
    info = choose(given.run, results_root(given.out_dir), given.project)
    try:
        for text in _worker_texts(info, given) if given.worker else _run_texts(info, given):
            sys.stdout.write(text)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 0  # how one leaves it
    return 0


def _run_texts(info: RunInfo, given: argparse.Namespace) -> Iterator[str]:
    """Yield what the log of a run says, and what its workers say that is not in it yet, as long as no driver takes it.

    A driver that was killed, or has left the run to a queue, may have left something in the logs of its workers.
    """
    folder, log, count = info.path, info.path / LOG_FILE, max(0, given.lines)
    left = [] if is_running(folder) else _left_with_workers(folder, count)
    if not log.exists() and not given.follow and not left:
        show(f"Run {info.name} has no log: nothing was logged, or it was killed before.")
        return
    if not count or len(left) < count:
        start = tail_start(log, count - len(left) if count else 0)
        yield from _texts(log, start, partial(is_running, folder) if given.follow else None)
    yield from left
    if given.follow and info.state == DETACHED:
        yield from _texts_of_workers(folder)


def _left_with_workers(folder: Path, count: int) -> list[str]:
    """Return the last lines of workers that are not in the log of their run; 0 for all."""
    left = [f"{line}\n" for lines in LogTails(folder).read_rest() for line in lines]
    return left[-count:] if count else left


def _texts_of_workers(folder: Path) -> Iterator[str]:
    """Yield what the workers of a run say from now on, as long as it is detached."""
    tails = LogTails(folder)
    for _ in tails.read_rest():
        continue
    while read_run(folder).state == DETACHED:
        yield from (f"{line}\n" for line in tails.read(PAUSE_SECONDS))
        time.sleep(PAUSE_SECONDS)


def _worker_texts(info: RunInfo, given: argparse.Namespace) -> Iterator[str]:
    """Yield what the log of one worker says.

    Raises:
        MMLMisconfigurationException: there is no such worker.
    """
    workers = info.path / WORKERS_FOLDER
    known = [path.name for path in workers.iterdir() if path.is_dir()] if workers.is_dir() else []
    if not known:
        msg = f"Run {info.name} has no workers: its steps ran in its own process. Leave out --worker."
        raise MMLMisconfigurationException(msg)
    if given.worker not in known:
        raise UnknownNameError(given.worker, kind=f"worker of run {info.name}", known=known)
    folder = workers / given.worker
    start = tail_start(folder / LOG_FILE, given.lines)
    return _texts(folder / LOG_FILE, start, partial(_lives, folder) if given.follow else None)


def _lives(worker: Path) -> bool:
    return bool(probe(worker / LOCK_FILE))


def last_line(path: Path) -> str:
    """Return the last line of a log that says anything, "" if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _CHUNK))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def tail_start(path: Path, lines: int) -> int:
    """Return where the last lines of a file begin, in bytes; 0 for all of them (`lines` 0), or without a file."""
    if lines <= 0:
        return 0
    try:
        with path.open("rb") as file:
            start = end = file.seek(0, os.SEEK_END)
            tail = b""
            # One more than wanted: that at the very end begins no line.
            while start > 0 and tail.count(b"\n") <= lines:
                size = min(_CHUNK, start)
                start = file.seek(start - size)
                tail = file.read(size) + tail
    except OSError:
        return 0
    shown = tail.removesuffix(b"\n").split(b"\n")[-lines:]
    return end - len(b"\n".join(shown)) - tail.endswith(b"\n")


def _texts(path: Path, start: int, goes_on: Callable[[], bool] | None) -> Iterator[str]:
    """Yield what a file says from a place on; if it is followed, as long as its writer goes on."""
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    while True:
        running = goes_on is not None and goes_on()  # before reading: what is written until then is read
        while data := _part(path, start):
            start += len(data)
            yield decode(data)
        if not running:
            return
        time.sleep(PAUSE_SECONDS)


def _part(path: Path, start: int) -> bytes:
    """Return what a file holds from a place on, not too much at once."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(_CHUNK)
    except OSError:
        return b""
