"""Reading on in the logs of all workers of a run: a little at a time, whatever happens to the files."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from mml.core.scripts.lock_probe import probe
from mml.core.scripts.run_files import LOCK_FILE, LOG_FILE, WORKERS_FOLDER
from mml.core.scripts.worker_lines import LineReader, LogLine

FOLLOWED_FILE = "followed.json"  # in the folder of all workers: how far their logs are in that of the run
CHUNK = 1 << 18  # bytes that are read at once; a line that is longer is cut
BACKLOG = 1 << 26  # bytes of one log that are caught up with at the end of a run


class Place(msgspec.Struct, frozen=True, array_like=True):
    """How far a log was read, and what has to be known to read on.

    Attributes:
        inode: of the file.
        offset: bytes that were read.
        step: that the worker was doing then.
        level: of the log record that the next line may belong to.
    """

    inode: int
    offset: int
    step: int | None
    level: int


_decoder = msgspec.json.Decoder(dict[str, Place])


class TimedLine(NamedTuple):
    """A line, and the time that it or a line before it tells, as text that sorts."""

    time: str
    line: LogLine


class LogTail:
    """The log of one worker, read on from a place.

    Args:
        folder: of the worker.
        place: None for the beginning.
    """

    def __init__(self, folder: Path, place: Place | None = None) -> None:
        self._path = folder / LOG_FILE
        self._lock = folder / LOCK_FILE
        self._lines = LineReader(folder.name)
        self._inode, self._offset = 0, 0
        self._torn = -1  # size of the file when its last line had no end
        self._cutting = False  # whether the line is being left out that began before the place
        if place is not None:
            self._inode, self._offset = place.inode, place.offset
            self._lines.step, self._lines.level = place.step, place.level

    @property
    def place(self) -> Place:
        """How far the log was read."""
        return Place(self._inode, self._offset, self._lines.step, self._lines.level)

    @property
    def steps_begun(self) -> int:
        """How many steps began in what was read."""
        return self._lines.begun

    def read(self, *, whole: bool = False) -> list[TimedLine] | None:
        """Return the next lines, as many as one chunk holds; None when there is nothing new.

        Args:
            whole: whether what follows the last newline is a line, too, because nobody will write its end.
        """
        try:
            found = os.stat(self._path)  # noqa: PTH116 # half the time of a Path's
            if found.st_ino != self._inode or found.st_size < self._offset:
                self._inode, self._offset, self._torn, self._cutting = found.st_ino, 0, -1, False
            if found.st_size == self._offset or (found.st_size == self._torn and not whole):
                return None
            with self._path.open("rb") as file:
                file.seek(self._offset)
                return list(self._timed(self._whole_lines(file.read(CHUNK), found.st_size, whole)))
        except OSError:
            return None

    def skip_to_last(self, size: int) -> int:
        """Leave out all but the last bytes of the log, and return how many that are."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 # half the time of a Path's
        except OSError:
            return 0
        read = self._offset if found.st_ino == self._inode else 0
        left_out = found.st_size - size - read
        if left_out <= 0:
            return 0
        self._inode, self._offset, self._cutting = found.st_ino, read + left_out, True
        return left_out

    def is_over(self) -> bool:
        """Tell whether nobody writes the log any more."""
        return probe(self._lock) is False

    def _whole_lines(self, data: bytes, size: int, whole: bool) -> bytes:
        """Return those of a chunk that have not been returned yet, and move on behind them."""
        end = data.rfind(b"\n") + 1
        cut = not end and len(data) == CHUNK
        if not end and not cut and not whole:
            self._torn = size
            return b""
        taken = data if cut or (whole and len(data) < CHUNK) else data[:end]
        self._offset += len(taken)
        if self._cutting:
            start = taken.find(b"\n") + 1
            self._cutting = not start
            return taken[start:] if start else b""
        self._cutting = cut
        return taken

    def _timed(self, data: bytes) -> Iterator[TimedLine]:
        for line in self._lines.lines(data):
            yield TimedLine(self._lines.time, line)


class LogTails:
    """The logs of all workers of a run.

    Args:
        run: the run folder; reading begins where its log ends.

    Attributes:
        begun: worker -> number of the step that it began last, of those that did so with the last reading.
    """

    def __init__(self, run: Path) -> None:
        self._folder = run / WORKERS_FOLDER
        self._tails: dict[str, LogTail] = {}
        self._turn: list[str] = []
        self._places = _stored_places(self._folder / FOLLOWED_FILE)
        self.begun: dict[str, int] = {}

    def read(self, seconds: float) -> list[LogLine]:
        """Return new whole lines, in the order of their times; reading that takes longer goes on with the next call.

        Args:
            seconds: about how long it may take.
        """
        self._turn, self.begun = self._turn or self._names(), {}
        until, found, busy = time.monotonic() + seconds, list[TimedLine](), list[str]()
        while names := self._turn or busy:  # those that have more to say come again when all others had their turn
            name = names.pop(0 if names is busy else -1)
            lines = self._read(name)
            if lines is not None:
                found += lines
                busy.append(name)
            if time.monotonic() >= until:
                break
        return _in_order(found)

    def read_rest(self) -> Iterator[list[LogLine]]:
        """Yield all that is left up to now, a part at a time; of a log that nobody writes any more, torn lines, too."""
        for name in self._names():
            tail = self._tail(name)
            if left_out := tail.skip_to_last(BACKLOG):
                text = f"... {left_out:,} bytes are left out here; they are in the worker's own log"
                yield [LogLine(name, None, 20, "", text)]
            whole, budget = tail.is_over(), BACKLOG // CHUNK + 2
            while budget and (lines := self._read(name, whole=whole)) is not None:
                budget -= 1
                yield [line for _, line in lines]

    def store(self) -> None:
        """Keep how far the logs were read, for the next process that reads them."""
        path = self._folder / FOLLOWED_FILE
        beside = path.with_suffix(".tmp")
        beside.write_bytes(msgspec.json.encode(self._places))
        beside.replace(path)

    def _names(self) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self._folder) if entry.is_dir())
        except OSError:
            return []

    def _tail(self, name: str) -> LogTail:
        if name not in self._tails:
            self._tails[name] = LogTail(self._folder / name, self._places.get(name))
        return self._tails[name]

    def _read(self, name: str, *, whole: bool = False) -> list[TimedLine] | None:
        tail = self._tail(name)
        before, lines = tail.steps_begun, tail.read(whole=whole)
        if lines is not None:
            place = self._places[name] = tail.place
            if place.step is not None and tail.steps_begun > before:
                self.begun[name] = place.step
        return lines


def _in_order(found: list[TimedLine]) -> list[LogLine]:
    return [line for _, line in sorted(found, key=lambda timed: timed.time)]


def _stored_places(path: Path) -> dict[str, Place]:
    try:
        return _decoder.decode(path.read_bytes())
    except (OSError, ValueError):
        return {}
