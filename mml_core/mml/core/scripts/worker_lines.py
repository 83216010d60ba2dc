"""The lines of a worker's log as people read them: clean text, with the level and the step that each belongs to.

A worker's log holds log records in the format of the run's own, and whatever libraries print, bytes of any kind.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mml.core.scripts.run_files import LOG_FILE, WORKERS_FOLDER

LONGEST = 4096  # characters of a line that are shown
_TAIL = 1 << 16  # bytes at the end of a log among which its last lines are looked for
_MARKING = "mml.worker"
_LEVELS = logging.getLevelNamesMapping()
_RECORD = re.compile(r"(?s)(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ([A-Z]+) +([^\s:]+): )(.*)")
_STEP = re.compile(r"step (\d+) begins")
# What moves the cursor or changes colors; titles of windows; any other sequence.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class LogLine(NamedTuple):
    """A line of a worker's log.

    Attributes:
        worker: its name.
        step: number of the step that the worker was doing, from 1; None outside of steps.
        level: of the log record that it belongs to, as in `logging`.
        head: time, level and logger as they stand there; "" for a line that is no beginning of a record.
        text: the rest.
    """

    worker: str
    step: int | None
    level: int
    head: str
    text: str

    @property
    def mark(self) -> str:
        """Return e.g. `[w1 step 3]`."""
        return f"[{self.worker}]" if self.step is None else f"[{self.worker} step {self.step}]"

    def __str__(self) -> str:
        return f"{self.head}{self.mark} {self.text}"


class LineReader:
    """Makes lines of what a worker's log says; one for each log, because a line's meaning depends on those before it.

    Args:
        worker: its name.

    Attributes:
        step: number of the step that the worker is doing.
        begun: how many steps it has begun.
        level: of the last log record.
        time: of the last log record, as text that sorts.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self.time = ""
        self.begun = 0
        self.step: int | None = None
        self.level = logging.INFO

    def lines(self, data: bytes) -> Iterator[LogLine]:
        """Yield the lines of some bytes, without empty ones and those of `mark_step`."""
        for raw in data.split(b"\n"):
            if (text := clean(raw)) and (line := self._line(text)) is not None:
                yield line

    def _line(self, text: str) -> LogLine | None:
        match = _RECORD.fullmatch(text)
        if match is None or match[2] not in _LEVELS:
            return LogLine(self._worker, self.step, self.level, "", text)
        self.level, self.time = _LEVELS[match[2]], match[1][:23]
        if match[3] == _MARKING and (begun := _STEP.match(match[4])):
            self.step = int(begun[1])
            self.begun += 1
            return None
        return LogLine(self._worker, self.step, self.level, match[1], match[4])


def mark_step(number: int, name: str) -> None:
    """Write into the log of this worker, which is its standard output, that a step begins, whatever the level of logs.

    Args:
        number: of the step, from 1.
        name: command and params.
    """
    now = time.time()
    stamp = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(now))},{int(now % 1 * 1000):03d}"
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        os.write(1, f"{stamp} INFO     {_MARKING}: step {number} begins: {name}\n".encode(errors="replace"))


def clean(raw: bytes) -> str:
    """Return a line as it can be shown: what a terminal would have overwritten or obeyed is left out."""
    text = raw[: 2 * LONGEST].decode("utf-8", errors="backslashreplace").rstrip("\r")
    text = _ESCAPES.sub("", text.rsplit("\r", 1)[-1])
    text = _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text).rstrip()
    if len(text) > LONGEST or len(raw) > 2 * LONGEST:
        return f"{text[:LONGEST]} ... ({len(raw):,} bytes)"
    return text


def last_lines(folder: Path, worker: str, n: int) -> list[str]:
    """Return the last lines of a worker's log that say something; none when there is no log.

    Args:
        folder: the run folder.
        worker: its name.
        n: how many at most.
    """
    try:
        with (folder / WORKERS_FOLDER / worker / LOG_FILE).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            data = file.read()
    except OSError:
        return []
    found = [line.head + line.text for line in LineReader(worker).lines(data)]
    return found[max(0, len(found) - n) :]
