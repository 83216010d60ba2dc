"""`mml runs log`: the last lines of a run's log, and those that come while it runs."""

import argparse
import codecs
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mml.core.scripts.run_files import LOG_FILE
from mml.core.scripts.runs import is_running
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
    path = info.path / LOG_FILE
    if not path.exists() and not given.follow:
        show(f"Run {info.name} has no log: nothing was logged, or it was killed before.")
        return 0
    start = tail_start(path, given.lines)
    try:
        for text in _texts(path, start, info.path if given.follow else None):
            sys.stdout.write(text)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 0  # how one leaves it
    return 0


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


def _texts(path: Path, start: int, follow: Path | None) -> Iterator[str]:
    """Yield what a file says from a place on; with a run folder to follow, as long as a process works on it."""
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    while True:
        running = follow is not None and is_running(follow)  # before reading: what is written until then is read
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
