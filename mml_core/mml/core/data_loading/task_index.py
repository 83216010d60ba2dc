"""TaskIndex: which tasks are installed, without reading thousands of descriptions at every start.

A cache keeps the header of each description with its size and time stamp. It is only ever an index: a missing, stale or
damaged cache costs time, never truth.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from mml.core.data_loading.task_description import DESCRIPTION_FILE, TaskHeader, decode_description
from mml.core.scripts.exceptions import TaskDescriptionError, UnknownNameError
from mml.core.scripts.utils import atomic_write

TASKS_FOLDER = "tasks"
INDEX_FILE = ".index.json"
_VERSION = 3
# Time stamps of files move in steps, on Linux of up to 10 ms.
_TICK_NS = 50_000_000


class SampleCounts(NamedTuple):
    """How many samples a task has: to train on (all folds), kept apart for the test, without a label; and its folds."""

    train: int
    test: int
    unlabeled: int
    folds: int


class _Samples(msgspec.Struct):
    """The samples of a description, left undecoded."""

    train_samples: dict[str, msgspec.Raw] = {}
    test_samples: dict[str, msgspec.Raw] = {}
    unlabeled_samples: dict[str, msgspec.Raw] = {}
    train_folds: list[msgspec.Raw] = []

    def counts(self) -> SampleCounts:
        return SampleCounts(
            len(self.train_samples), len(self.test_samples), len(self.unlabeled_samples), len(self.train_folds)
        )


class _Entry(msgspec.Struct, array_like=True, frozen=True):
    """A header, sample counts and digest of a file, and the state of the file that they were read from."""

    mtime_ns: int
    size: int
    header: msgspec.Raw
    counts: SampleCounts
    digest: str


class _Cache(msgspec.Struct):
    version: int
    entries: dict[str, _Entry]


class TaskIndex:
    """The tasks below a data folder.

    Args:
        data_path: the data folder; need not exist.
    """

    def __init__(self, data_path: Path) -> None:
        self.folder = data_path / TASKS_FOLDER
        self._cache_file = self.folder / INDEX_FILE
        self._entries: dict[str, _Entry] | None = None
        self._sure_until = 0
        self._read_here: set[str] = set()

    def names(self) -> list[str]:
        """Return the names of all tasks, sorted. Hidden folders and folders without a description are no tasks."""
        return sorted(self._scan())

    def has(self, name: str) -> bool:
        """Tell whether there is a task of this name."""
        visible = bool(name) and "/" not in name and name[0] != "."
        # Unlike a Path, this takes names that no file could have.
        return visible and os.path.isfile(self.description_file(name))  # noqa: PTH113

    def description_file(self, name: str) -> Path:
        """Return the path of a task's description."""
        return self.folder / name / DESCRIPTION_FILE

    def header(self, name: str) -> TaskHeader:
        """Return a task's description without the samples.

        Raises:
            UnknownNameError: there is no such task; names the nearest ones.
            TaskDescriptionError: its description can't be read.
        """
        if not self.has(name):
            fix = f"Create it first: mml create task={name}, with mode.source=<folder> for images of your own."
            raise UnknownNameError(name, kind="task", known=self.names(), fix=fix)
        stat = self.description_file(name).stat()
        state = stat.st_mtime_ns, stat.st_size
        return self._decode(name, self._current(name, state) or self._read(name, state))

    def counts(self, name: str) -> SampleCounts:
        """Return how many samples a task has.

        Raises:
            UnknownNameError: there is no such task; names the nearest ones.
            TaskDescriptionError: its description can't be read.
        """
        self.header(name)
        return self._load()[name].counts

    def digest(self, name: str) -> str:
        """Return a digest of a task's description, 16 hexadecimal digits: it changes when any byte of the file does.

        Raises:
            UnknownNameError: there is no such task; names the nearest ones.
            TaskDescriptionError: its description can't be read.
        """
        self.header(name)
        return self._load()[name].digest

    def headers(self) -> Iterator[tuple[str, TaskHeader | TaskDescriptionError]]:
        """Yield every task's name with its header, or with the error that keeps it from being read.

        Brings the cache up to date, as far as the data folder is writable.
        """
        states = self._scan()
        faults = self._refresh(states)
        entries = self._load()
        for name in sorted(states):
            try:
                yield name, faults[name] if name in faults else self._decode(name, entries[name])
            except TaskDescriptionError as error:
                yield name, error

    def _refresh(self, states: dict[str, tuple[int, int]]) -> dict[str, TaskDescriptionError]:
        """Make the cache hold exactly the tasks of `states`; return the errors of those that can't be read."""
        entries = self._load()
        stale = [name for name in entries if self._current(name, states.get(name)) is None]
        for name in stale:
            del entries[name]
        faults = {}
        missing = [name for name in states if name not in entries]
        for name in missing:
            try:
                self._read(name, states[name])
            except TaskDescriptionError as error:
                faults[name] = error
        if stale or len(missing) > len(faults):
            self._store()
        return faults

    def _scan(self) -> dict[str, tuple[int, int]]:
        """Return name -> (mtime in ns, size) of all descriptions."""
        states = {}
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.folder) as folders:
            for folder in folders:
                # One stat per task, and no check that the entry is a folder: the stat fails if it is not.
                with suppress(OSError):
                    stat = os.stat(f"{folder.path}/{DESCRIPTION_FILE}")  # noqa: PTH116 # a Path per task is slow
                    states[folder.name] = (stat.st_mtime_ns, stat.st_size)
        return {name: state for name, state in states.items() if name[0] != "."}

    def _current(self, name: str, state: tuple[int, int] | None) -> _Entry | None:
        """Return the entry of a task if it was read from a file in this state."""
        entry = self._load().get(name)
        if entry is None or (entry.mtime_ns, entry.size) != state:
            return None
        # A file changed twice within a tick of the clock has one time stamp, so times near the cache's prove nothing.
        return entry if entry.mtime_ns < self._sure_until or name in self._read_here else None

    def _decode(self, name: str, entry: _Entry) -> TaskHeader:
        """Return the header of a task, from its entry or, if that is damaged, from its file."""
        # The place is wanted in a message alone, and a Path for each of thousands of tasks is slow.
        place = f"{self.folder}/{name}/{DESCRIPTION_FILE}"
        header: TaskHeader
        with suppress(TaskDescriptionError):
            header = decode_description(entry.header, place, TaskHeader)
            if header.name == name:
                return header
        header = decode_description(self._read(name, (entry.mtime_ns, entry.size)).header, place, TaskHeader)
        return header

    def _read(self, name: str, state: tuple[int, int]) -> _Entry:
        path = self.description_file(name)
        try:
            data = path.read_bytes()
        except OSError as error:
            msg = f"Task description {path} can't be read: {error.strerror}."
            raise TaskDescriptionError(msg) from error
        header: TaskHeader = decode_description(data, path, TaskHeader)
        samples: _Samples = decode_description(data, path, _Samples)
        if header.name != name:
            msg = f"Task description {path} is of a task '{header.name}': field `name` has to be the folder's name."
            raise TaskDescriptionError(msg)
        digest = hashlib.blake2b(data, digest_size=8).hexdigest()
        entry = _Entry(*state, msgspec.Raw(msgspec.json.encode(header)), samples.counts(), digest)
        self._load()[name] = entry
        self._read_here.add(name)
        return entry

    def _load(self) -> dict[str, _Entry]:
        if self._entries is None:
            self._entries = {}
            with suppress(OSError, ValueError):
                with self._cache_file.open("rb") as file:
                    self._sure_until = os.fstat(file.fileno()).st_mtime_ns - _TICK_NS
                    cache = msgspec.json.decode(file.read(), type=_Cache)
                self._entries = cache.entries if cache.version == _VERSION else {}
        return self._entries

    def _store(self) -> None:
        with suppress(OSError), atomic_write(self._cache_file) as file:
            file.write(msgspec.json.encode(_Cache(_VERSION, self._load())))
