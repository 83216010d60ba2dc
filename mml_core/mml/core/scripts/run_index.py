"""Looking at ten thousand run folders at once: the digests of their journals, read anew only where a journal changed.

The index beside the projects is only ever that: each entry counts as long as its journal is the very file that was
read. It can be deleted at any time; a missing, stale or damaged one costs time, never truth.
"""

import os
import zlib
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from mml.core.scripts.run_digest import RunDigest, digest
from mml.core.scripts.run_files import JOURNAL_FILE, RUNS_FOLDER

INDEX_FILE = ".runs.index"
_HEAD = b"mml runs index 1\n"  # another number for another format
_CRC_BYTES = 4
# Time stamps of files move in steps, on Linux of up to 10 ms, on other file systems of up to 2 s.
_TICK = 2_000_000_000
# Fewer journals are read again in less time than the index is written.
_WORTH_WRITING = 20
_CHUNK = 1 << 18


class FoundRun(NamedTuple):
    """A run folder and what its journal says.

    Attributes:
        project: name of the project.
        name: of the run folder.
        changed: when the journal changed last (without one: the folder), seconds since the epoch.
        digest: what the journal says.
        fault: why the journal can't be read, "" when it can.
    """

    project: str
    name: str
    changed: float
    digest: RunDigest
    fault: str = ""


class _Entry(msgspec.Struct, array_like=True):
    """A digest, and the identity of the file that it was made of."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    digest: RunDigest


_Entries = dict[str, dict[str, _Entry]]
_decode = msgspec.msgpack.Decoder(_Entries).decode
_encode = msgspec.msgpack.Encoder().encode


def project_names(results_root: Path) -> list[str]:
    """Return the names of all folders that may be projects, sorted; none where there is no such folder.

    Raises:
        OSError: the folder can't be read.
    """
    try:
        with os.scandir(results_root) as entries:
            return sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def look_at_runs(results_root: Path, projects: Collection[str] | None = None) -> list[FoundRun]:
    """Return all runs of projects, by default of all there are, in no order.

    Raises:
        OSError: a folder can't be read.
    """
    index = _Index(results_root)
    names = project_names(results_root) if projects is None else projects
    runs = [run for project in names for run in index.look(project)]
    index.store(whole=projects is None)
    return runs


class _Index:
    """The digests that are known already, and those that were found."""

    def __init__(self, results_root: Path) -> None:
        self._root = results_root
        self._path = results_root / INDEX_FILE
        self._known = _read(self._path)
        self._found: _Entries = {}
        self._changes = 0

    def look(self, project: str) -> list[FoundRun]:
        """Return the runs of a project."""
        try:
            folder = os.open(self._root / project / RUNS_FOLDER, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return []
        self._found[project] = {}
        try:
            names = [name for name in os.listdir(folder) if name[0] != "."]  # noqa: PTH208 # a Path per run is slow
            return self._look_at(folder, project, names)
        finally:
            os.close(folder)

    def _look_at(self, folder: int, project: str, names: list[str]) -> list[FoundRun]:
        """Return the runs of an open folder; what is no run folder is left out. Has no time for a call per run."""
        known, found = self._known.get(project, {}).get, self._found[project]
        runs = []
        for name in names:
            try:
                state = os.stat(f"{name}/{JOURNAL_FILE}", dir_fd=folder)  # noqa: PTH116 # relative to an open folder
            except OSError as error:
                runs += _without_journal(folder, (project, name), error)
                continue
            entry = known(name)
            if entry is None or not _is_same(entry, state):
                runs.append(self._read_anew(folder, (project, name), state))
            else:
                found[name] = entry
                runs.append(FoundRun(project, name, state.st_mtime, entry.digest))
        return runs

    def _read_anew(self, folder: int, run: tuple[str, str], state: os.stat_result) -> FoundRun:
        self._changes += 1
        try:
            entry = _read_entry(folder, f"{run[1]}/{JOURNAL_FILE}")
        except OSError as error:
            return FoundRun(*run, state.st_mtime, _NOTHING, f"can't be read: {error.strerror}.")
        except ValueError as error:
            return FoundRun(*run, state.st_mtime, _NOTHING, str(error))
        self._found[run[0]][run[1]] = entry
        return FoundRun(*run, state.st_mtime, entry.digest)

    def store(self, *, whole: bool) -> None:
        """Write the index if that is worth it; whoever can't write does without.

        Args:
            whole: whether all projects were looked at, so that what was not found is gone.
        """
        if self._changes < _WORTH_WRITING:
            return
        import time

        recent = time.time_ns() - _TICK
        settled = {
            project: {name: entry for name, entry in entries.items() if entry.mtime_ns < recent}
            for project, entries in self._found.items()
        }
        data = _encode(settled if whole else {**self._known, **settled})
        beside = self._path.with_name(f"{INDEX_FILE}.{os.getpid()}.tmp")
        with suppress(OSError):
            try:
                beside.write_bytes(_HEAD + zlib.crc32(data).to_bytes(_CRC_BYTES, "big") + data)
                beside.replace(self._path)
            except OSError:
                beside.unlink(missing_ok=True)


_NOTHING = RunDigest()


def _read(path: Path) -> _Entries:
    try:
        data = path.read_bytes()
        head, content = data[: len(_HEAD) + _CRC_BYTES], data[len(_HEAD) + _CRC_BYTES :]
        if head != _HEAD + zlib.crc32(content).to_bytes(_CRC_BYTES, "big"):
            return {}
        return _decode(content)
    except (OSError, ValueError):
        return {}


def _is_same(known: _Entry, state: os.stat_result) -> bool:
    return (
        known.size == state.st_size
        and known.mtime_ns == state.st_mtime_ns
        and known.ctime_ns == state.st_ctime_ns
        and known.inode == state.st_ino
    )


def _read_entry(folder: int, path: str) -> _Entry:
    """Return what a journal says, with the state of the file from before it was read.

    Raises:
        OSError: it can't be read.
        ValueError: it is damaged.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK, dir_fd=folder)
    try:
        state, parts = os.fstat(handle), list[bytes]()
        while part := os.read(handle, _CHUNK):
            parts.append(part)
    finally:
        os.close(handle)
    said = digest(b"".join(parts))
    return _Entry(state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, said)


def _without_journal(folder: int, run: tuple[str, str], error: OSError) -> list[FoundRun]:
    """Return a run that was killed before it had a journal; none if there is no such folder."""
    if isinstance(error, NotADirectoryError):
        return []
    try:
        state = os.stat(f"{run[1]}/.", dir_fd=folder)  # noqa: PTH116 # relative to an open folder
    except OSError:
        return []
    return [FoundRun(*run, state.st_mtime, _NOTHING)]
