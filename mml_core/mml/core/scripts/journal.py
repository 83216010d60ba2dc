"""The journal: the append-only record of a run, one JSON line per event, each with a checksum.

A line is written with one `write`. A torn last line was never acknowledged and is dropped; damage before it is an
error.
"""

import errno
import os
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec

from mml.core.scripts.exceptions import JournalError
from mml.core.scripts.run_files import JOURNAL_FILE as JOURNAL_FILE
from mml.core.scripts.schedule import StepRecord
from mml.core.scripts.utils import fsync_folder

# The hooks whose files the journal knows, as those of a step.
PREPARATION, FINISHING = "preparation", "finishing"
# Stands for the signal where a process left a run that goes on in a queue.
DETACHED = "detached"
# Appending changes the size, which fdatasync flushes as well; the time stamps that it leaves out don't matter here.
_sync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
_CRC_BYTES = len(b',"crc":"00000000"}')

# What a journal may hold, whoever wrote it: times that a calendar has, and paths that lead out of no folder.
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e11)]
Position = Annotated[int, msgspec.Meta(ge=0)]
PortableText = Annotated[str, msgspec.Meta(pattern=r"(?s)\A(?!(?:data:)?(?:.*/)?\.\.(?:/|\Z))[^\0]*\Z")]


class Event(msgspec.Struct, tag_field="event", kw_only=True, omit_defaults=True, frozen=True):
    """Something that happened to a run. `time` is seconds since the epoch."""

    time: Seconds


class Opened(Event, tag="opened", frozen=True):
    """A process took the run over, with these versions of packages, and these of the code of mml and its plugins."""

    pid: int
    host: str
    command: list[str]
    mode: str = ""
    tasks: list[str] = []
    versions: dict[str, str] = {}
    code: dict[str, str] = {}


class Planned(Event, tag="plan", frozen=True):
    """The plan of the run, and what `reuse` found at its start: for task structs, and for the project (key -> path).

    `data` holds digests of the tasks' descriptions.
    """

    steps: list[StepRecord]
    tasks: dict[str, Any] = {}
    reused: dict[str, PortableText] = {}
    data: dict[str, str] = {}


class Started(Event, tag="start", frozen=True):
    """A step begins."""

    step: Position


class PathAnnounced(Event, tag="path", frozen=True):
    """A file or folder that is about to be created, by a step or by the hook before or after all steps."""

    path: PortableText
    key: str
    step: Position | None = None
    hook: str = ""


class Done(Event, tag="done", frozen=True):
    """A step is done, with all that it changed: task structs, the return value, and the steps it added to the plan.

    `source` names the run that did it, when this one took it over; `attempt` is the token of the attempt that did it,
    when that was made in another process than the driver's.
    """

    step: Position
    seconds: Seconds
    tasks: dict[str, Any] = {}
    value: Any = msgspec.UNSET
    grown: list[StepRecord] = []
    source: str = ""
    attempt: str = ""


class Failed(Event, tag="failed", frozen=True):
    """A step (None: a hook, or the run as a whole) failed at an attempt; `traceback` is a file in the run folder.

    The run ends with it, unless it `goes_on` with another attempt or other steps.
    """

    step: Position | None
    error: str
    traceback: PortableText = ""
    attempt: int = 1
    goes_on: bool = False


class Skipped(Event, tag="skipped", frozen=True):
    """A step was not tried, because it needs another that failed or was skipped; `continue` tries it again."""

    step: Position
    needs: Position


class Stopped(Event, tag="interrupted", frozen=True):
    """A signal stopped the run during a step (None: between steps)."""

    step: Position | None
    signal: str


class Finishing(Event, tag="finishing", frozen=True):
    """All steps and the finishing hook are done; what remains is to clean up."""

    value: Any = None


class Finished(Event, tag="finished", frozen=True):
    """Everything is done. `seconds` is the time of all steps, interruptions left out."""

    seconds: Seconds
    value: Any = None


AnyEvent = Opened | Planned | Started | PathAnnounced | Done | Failed | Skipped | Stopped | Finishing | Finished

_decoder = msgspec.json.Decoder(AnyEvent)
_encoder = msgspec.json.Encoder()


def encode_line(event: Event) -> bytes:
    """Return the line of an event: its JSON object with the checksum of all before it as last field."""
    body = _encoder.encode(event)[:-1]
    return b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))


def decode_line(line: bytes) -> AnyEvent:
    """Return the event of a line (without its newline).

    Raises:
        ValueError: no JSON, a field that does not fit, or a wrong checksum.
    """
    event: AnyEvent = _decoder.decode(line)
    body, mark = line[:-_CRC_BYTES], line[-_CRC_BYTES:]
    if mark != b',"crc":"%08x"}' % zlib.crc32(body):
        msg = "the checksum does not fit"
        raise ValueError(msg)
    return event


def read_events(path: Path, start: int = 0) -> tuple[list[AnyEvent], int]:
    """Read a journal.

    Args:
        path: the file.
        start: number of bytes to leave out, which are whole lines.

    Returns:
        The events, and the number of bytes up to their end: what follows in the file is a torn last line.

    Raises:
        JournalError: the file can't be read, or a line before the last one is damaged; names file and line.
    """
    data = _bytes_from(path, start)
    events: list[AnyEvent] = []
    good = start
    lines = data.split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            events.append(decode_line(line))
        except (ValueError, RecursionError) as error:
            if number == len(lines) - 1 and not lines[-1]:
                break
            place = f"line {number}" if start == 0 else f"line {number} from byte {start} on"
            msg = f"{path}, {place}, is damaged: {error}. Restore the file from a backup, or start a new run."
            raise JournalError(msg) from error
        good += len(line) + 1
    return events, good


def _bytes_from(path: Path, start: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        msg = f"{path} can't be read: {error.strerror}."
        raise JournalError(msg) from error


class Journal:
    """The open journal of a run; only the process that holds the run's lock may have it open.

    Args:
        path: the file; created when missing.
        size: bytes of its good lines, from `read_events`; a torn line after them is cut off.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self.path = path
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.ftruncate(self._handle, size)
        fsync_folder(path.parent)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._handle).st_size

    def append(self, *events: Event, durable: bool = True) -> None:
        """Write events; when `durable`, return only after they can't be lost any more.

        Raises:
            OSError: the lines could not be written (e.g. disk full); the file is as it was before.
        """
        line = b"".join(map(encode_line, events))
        # Asked for each time: a step may fork processes, which announce their files through the same handle.
        size = os.fstat(self._handle).st_size
        try:
            _write_whole(self._handle, line)
            if durable:
                _sync(self._handle)
        except BaseException:
            os.ftruncate(self._handle, size)
            raise

    def close(self) -> None:
        """Make everything durable, as far as the disk still can, and close the file. Closing twice does nothing."""
        if self._handle >= 0:
            # What has to last was made durable line by line; an error here would only hide the one that ends the run.
            with suppress(OSError):
                os.fsync(self._handle)
            os.close(self._handle)
            self._handle = -1


def _write_whole(handle: int, line: bytes) -> None:
    """Write a line with one `write`.

    Raises:
        OSError: the disk took only a part of it, or none.
    """
    if os.write(handle, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class RunRecord:
    """What a journal says of a run: the pure replay of its events.

    Attributes:
        plan: all steps, those added while running included; None before the run was planned.
        base_plan: the number of steps planned at the start.
        initial: changes that `reuse` made to task structs at the start.
        reused: key -> path of the one file of a project that `reuse` found at the start.
        data: task -> digest of its description at the start.
        done: position -> the event that made the step done.
        failed: position -> the failure of the last attempt, for steps that the last process tried and gave up.
        skipped: position -> why the last process did not try a step.
        announced: position, or name of the hook -> paths announced by that step, done or not.
        opened: the first event, None for an empty journal.
        openings: one event for each process that has worked on the run.
        value: the return value as the last step of the plan, among those that set it, left it.
        last: the last event, None for an empty journal.
        finishing: whether all steps and hooks are done, so that only cleaning up is left.
        finished: whether nothing is left to do.
    """

    def __init__(self, events: Iterable[AnyEvent]) -> None:
        self.plan: list[StepRecord] | None = None
        self.base_plan = 0
        self.initial: dict[str, Any] = {}
        self.reused: dict[str, str] = {}
        self.data: dict[str, str] = {}
        self.openings: list[Opened] = []
        self.done: dict[int, Done] = {}
        self.failed: dict[int, Failed] = {}
        self.skipped: dict[int, Skipped] = {}
        self.announced: dict[int | str, list[PathAnnounced]] = {}
        self.value: Any = None
        self._valued_by = -1
        self.opened: Opened | None = None
        self.last: AnyEvent | None = None
        self.finishing = False
        self.finished = False
        for event in events:
            self.apply(event)

    @property
    def seconds(self) -> float:
        """Time of all steps that are done."""
        return sum(event.seconds for event in self.done.values())

    @property
    def ended_by(self) -> Failed | None:
        """The failure that ended the run, None when it did not end with one."""
        return self.last if isinstance(self.last, Failed) and not self.last.goes_on else None

    def unfinished_paths(self) -> list[str]:
        """Paths announced by steps and hooks that were started, but never done; paths of done steps, too, are not."""
        complete: set[int | str] = {*self.done}
        if self.plan is not None:
            complete.add(PREPARATION)
        if self.finishing:
            complete.add(FINISHING)
        kept = {event.path for maker in complete for event in self.announced.get(maker, ())}
        paths = (event.path for maker, events in self.announced.items() if maker not in complete for event in events)
        return [path for path in dict.fromkeys(paths) if path not in kept]

    def paths_of_attempt(self, step: int) -> list[str]:
        """Paths announced by the last attempt at a step that is not done; paths of done steps, too, are not."""
        paths = dict.fromkeys(event.path for event in self.announced.get(step, ()))
        if not paths:
            return []
        unfinished = set(self.unfinished_paths())
        return [path for path in paths if path in unfinished]

    def repeated_paths(self) -> list[str]:
        """Paths announced by the hook before the first step, which a continued run repeats."""
        return list(dict.fromkeys(event.path for event in self.announced.get(PREPARATION, ())))

    def paths_of_kind(self, key: str) -> list[str]:
        """All paths of one kind that the run announced."""
        paths = (event.path for events in self.announced.values() for event in events if event.key == key)
        return list(dict.fromkeys(paths))

    def apply(self, event: AnyEvent) -> None:
        """Take in what happened next."""
        self.last = event
        match event:
            case Opened():
                self.opened = self.opened or event
                self.openings.append(event)
                self.failed, self.skipped = {}, {}
            case Planned():
                self.plan, self.base_plan = list(event.steps), len(event.steps)
                self.initial, self.reused, self.data = event.tasks, event.reused, event.data
            case Started():
                # What an earlier attempt announced was removed before this one began.
                self.announced.pop(event.step, None)
                self.failed.pop(event.step, None)
            case Done():
                self._apply_done(event)
            case PathAnnounced():
                self.announced.setdefault(event.hook if event.step is None else event.step, []).append(event)
            case Failed(step=int(step)):
                self.failed[step] = event
            case Skipped():
                self.skipped[event.step] = event
            case Finishing():
                self.finishing, self.value = True, event.value
            case Finished():
                self.finishing = self.finished = True
                self.value = event.value

    def _apply_done(self, event: Done) -> None:
        self.done[event.step] = event
        if self.plan is not None:
            self.plan.extend(event.grown)
        # In the order of the plan, as if one step had been done after the other.
        if event.value is not msgspec.UNSET and event.step >= self._valued_by:
            self.value, self._valued_by = event.value, event.step
