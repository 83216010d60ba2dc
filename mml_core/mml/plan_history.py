"""Steps of earlier runs with their time and files, read from journals: what estimates are made of.

Journals are read as they lie there, whoever wrote them: what can't be used is left out and counted. Nothing is written.
"""

import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.run_files import JOURNAL_FILE, RUNS_FOLDER
from mml.core.scripts.run_index import project_names
from mml.core.scripts.schedule import StepRecord

NEWEST = 200  # runs looked at
_MOST_BYTES = 64_000_000  # of all journals together: about a second
_CRC_BYTES = len(b',"crc":"00000000"}')
_OTHER_EVENTS = (b'{"event":"failed",', b'{"event":"skipped",', b'{"event":"interrupted",', b'{"event":"finish')
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e11)]


class PastStep(NamedTuple):
    """A step that an earlier run has done.

    Attributes:
        run: that did it.
        record: command and params.
        key: digest of both.
        seconds: that it took.
        paths: portable texts of the files that it announced.
    """

    run: "PastRun"
    record: StepRecord
    key: str
    seconds: float
    paths: list[str]


class PastRun(NamedTuple):
    """An earlier run.

    Attributes:
        folder: of the run.
        mode: what it was started with.
        tasks: names.
    """

    folder: Path
    mode: str
    tasks: tuple[str, ...]

    @property
    def project(self) -> str:
        """Name of its project."""
        return self.folder.parent.parent.name


class History(NamedTuple):
    """What the newest runs have done.

    Attributes:
        steps: the newest run's first.
        unread: folders of runs whose journals could not be read -> why.
        left_out: number of runs that were not looked at, because their journals are too large.
    """

    steps: list[PastStep]
    unread: dict[Path, str]
    left_out: int = 0


class _Line(msgspec.Struct):
    """The fields of events that matter here; others are skipped unread."""

    event: str
    mode: str = ""
    tasks: msgspec.Raw = msgspec.Raw(b"[]")
    step: int | None = None
    steps: list[StepRecord] = []
    grown: list[StepRecord] = []
    seconds: _Seconds = 0.0
    source: str = ""
    path: str = ""


_decode = msgspec.json.Decoder(_Line).decode
_decode_tasks = msgspec.json.Decoder(list[str]).decode


def read_history(results_root: Path, project: str, newest: int = NEWEST) -> History:
    """Return what the newest runs have done, those of a project first.

    Args:
        results_root: the folder of all projects; need not exist.
        project: whose runs come first.
        newest: how many runs are looked at.
    """
    history = History([], {})
    budget, left_out = _MOST_BYTES, 0
    for folder in _newest(results_root, project, newest):
        try:
            data = read_file(folder / JOURNAL_FILE, budget)
            if data is None:
                left_out += 1
                continue
            budget -= len(data)
            history.steps.extend(_steps_of(folder, data))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError, RecursionError) as error:
            history.unread[folder] = getattr(error, "strerror", None) or str(error)
    return history._replace(left_out=left_out)


def _newest(root: Path, project: str, newest: int) -> list[Path]:
    """Return the folders of the newest runs, those of a project first."""
    try:
        others = [name for name in project_names(root) if name != project]
    except OSError:
        others = []
    own = _run_folders([root / project])
    return [*own, *_run_folders(root / name for name in others)][:newest]


def _run_folders(projects: Iterable[Path]) -> list[Path]:
    """Return the run folders of projects, newest first; their names begin with the time of the start."""
    found: list[Path] = []
    for project in projects:
        with suppress(OSError):
            found += [project / RUNS_FOLDER / name for name in os.listdir(project / RUNS_FOLDER) if name[0] != "."]  # noqa: PTH208 # a Path per run is slow
    return sorted(found, key=_age, reverse=True)


def _age(folder: Path) -> str:
    """Return a key that sorts run folders by time, and those of the same second by their numbers."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(9), folder.name)


def read_file(path: Path, most: int) -> bytes | None:
    """Return the bytes of a file of a run, None if it is larger than `most`.

    Raises:
        OSError: it can't be read.
        ValueError: it is no file.
    """
    # A pipe in the place of a file would make others wait for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            msg = "is no file"
            raise ValueError(msg)
        return None if state.st_size > most else file.read(most)


def _steps_of(folder: Path, data: bytes) -> Iterator[PastStep]:
    """Yield the steps that a run has done itself.

    Raises:
        ValueError: a line of the journal before the last one is damaged; names it.
    """
    run, plan = PastRun(folder, "", ()), list[StepRecord]()
    announced: dict[int, list[str]] = {}
    found = []
    for event in _events(data):
        match event:
            case _Line(event="opened") if not run.mode:
                run = PastRun(folder, event.mode, tuple(_decode_tasks(event.tasks)))
            case _Line(event="plan"):
                plan = list(event.steps)
            case _Line(event="start", step=int(step)):
                announced[step] = []
            case _Line(event="path", step=int(step)):
                announced.setdefault(step, []).append(event.path)
            case _Line(event="done", step=int(step)) if 0 <= step < len(plan):
                plan += event.grown
                if not event.source:
                    record = plan[step]
                    found.append((record, event.seconds, announced.pop(step, [])))
    for record, seconds, paths in found:
        yield PastStep(run, record, record.key, seconds, paths)


def _events(data: bytes) -> Iterator[_Line]:
    lines = data.split(b"\n")
    torn = lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            _check(line)
            if not line.startswith(_OTHER_EVENTS):
                yield _decode(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines) and not torn:
                return
            msg = f"line {number} is damaged: {error}"
            raise ValueError(msg) from error


def _check(line: bytes) -> None:
    body, mark = line[:-_CRC_BYTES], line[-_CRC_BYTES:]
    if mark != b',"crc":"%08x"}' % zlib.crc32(body):
        msg = "the checksum does not fit"
        raise ValueError(msg)


def size_on_disk(step: PastStep, results_root: Path, data_root: Path) -> int | None:
    """Return the bytes of the files that a step made and that are still there; None if all have gone.

    Files in the temporary folder of the run don't count: they go with the step.
    """
    temporary = f"{step.run.project}/{RUNS_FOLDER}/{step.run.folder.name}/"
    texts = [text for text in dict.fromkeys(step.paths) if not text.startswith(temporary)]
    sizes = [_size(text, results_root, data_root) for text in texts]
    known = [size for size in sizes if size is not None]
    return sum(known) if known or not texts else None


def _size(text: str, results_root: Path, data_root: Path) -> int | None:
    try:
        path = PathRoots(results_root, data_root).to_path(text)
        state = path.lstat()
        if stat.S_ISREG(state.st_mode):
            return state.st_size
        below = path.is_relative_to(results_root) or path.is_relative_to(data_root)
        return _folder_size(path) if below and stat.S_ISDIR(state.st_mode) else None
    except (OSError, ValueError):
        return None


def _folder_size(folder: Path, most: int = 10_000) -> int | None:
    """Return the bytes of all files in a folder; None when there are too many to be counted."""
    total, seen = 0, 0
    for place, _, names in os.walk(folder):
        seen += len(names)
        if seen > most:
            return None
        total += sum(os.lstat(f"{place}/{name}").st_size for name in names)  # noqa: PTH116 # a Path per file is slow
    return total
