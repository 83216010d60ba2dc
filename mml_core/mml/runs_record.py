"""The whole record of one run, read for people: its steps with times and states, its processes, files and errors."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from mml.core.scripts.journal import (
    AnyEvent,
    Failed,
    Opened,
    PathAnnounced,
    RunRecord,
    Skipped,
    Started,
    read_events,
)
from mml.core.scripts.run_files import CONFIG_FILE, JOURNAL_FILE, OVERRIDES_FILE
from mml.core.scripts.runs import RUNNING, RunInfo

DONE, BEGUN, FAILED_STEP, SKIPPED, WAITING = "done", "begun", "failed", "skipped", "waiting"


class StepLine(NamedTuple):
    """A step of a run.

    Attributes:
        number: from 1.
        name: command and params.
        state: done, running or begun (and not done), failed, skipped, waiting.
        started: when it began last, seconds since the epoch; None if it did not.
        seconds: that it took, None unless done.
        note: its error, what it needs, or the run that it was taken over from.
    """

    number: int
    name: str
    state: str
    started: float | None = None
    seconds: float | None = None
    note: str = ""


class MadeFile(NamedTuple):
    """A file (or folder) that a run announced.

    Attributes:
        path: where it lies or lay.
        text: as the journal has it.
        key: its kind.
        exists: whether there is something now.
        size: bytes, None for a folder and for what is not there.
    """

    path: Path
    text: str
    key: str
    exists: bool
    size: int | None


class FullRecord(NamedTuple):
    """All events of a run and what they come to."""

    info: RunInfo
    events: list[AnyEvent]
    record: RunRecord

    @classmethod
    def empty(cls, info: RunInfo) -> "FullRecord":
        """Return the record of a run whose journal says nothing."""
        return cls(info, [], RunRecord([]))

    def processes(self) -> list[Opened]:
        """Return the processes that worked on the run, in order."""
        return [event for event in self.events if isinstance(event, Opened)]

    def failures(self) -> list[Failed]:
        """Return all failures, those of earlier attempts, too."""
        return [event for event in self.events if isinstance(event, Failed)]


def read_record(info: RunInfo) -> FullRecord:
    """Return the whole record of a run.

    Raises:
        JournalError: its journal can't be read.
    """
    events = read_events(info.path / JOURNAL_FILE)[0]
    return FullRecord(info, events, RunRecord(events))


def step_lines(full: FullRecord) -> list[StepLine]:
    """Return all steps that are planned so far."""
    notes = _Notes(full.events)
    plan = full.record.plan or []
    return [_step_line(position, str(step), full, notes) for position, step in enumerate(plan)]


def made_files(full: FullRecord, results_root: Path) -> list[MadeFile]:
    """Return the files that the run announced, each once; those in its own folder are left out."""
    own, made = f"{full.info.project}/runs/{full.info.name}/", dict[str, PathAnnounced]()
    for event in full.events:
        if isinstance(event, PathAnnounced) and not event.path.startswith(own):
            made.setdefault(event.path, event)
    return [_made(event, results_root) for event in made.values()]


def stored_config(folder: Path) -> dict[str, Any]:
    """Return the config of a run, empty when it can't be read."""
    found = _yaml(folder / CONFIG_FILE)
    return found if isinstance(found, dict) else {}


def stored_overrides(folder: Path) -> list[str]:
    """Return the overrides that a run was started with, none when they can't be read."""
    found = _yaml(folder / OVERRIDES_FILE)
    return [str(override) for override in found] if isinstance(found, list) else []


def metrics_of(full: FullRecord) -> dict[str, Any]:
    """Return the figures of a run by dotted name: return value, time, and the metrics of each model it made."""
    value = full.info.return_value
    found = {f"value.{key}": item for key, item in value.items()} if isinstance(value, dict) else {"value": value}
    found["seconds"] = round(full.info.seconds, 3)
    for done in full.record.done.values():
        for task, change in done.tasks.items():
            for model in change.get("models") or () if isinstance(change, dict) else ():
                found.update(_model_metrics(task, model))
    return found


def portable_path(text: str, results_root: Path) -> Path | None:
    """Return the path that a journal's text means, None for one in the data folder."""
    return None if text.startswith("data:") else results_root / text.removeprefix("./")


class _Notes:
    """What the last events about each step were."""

    def __init__(self, events: list[AnyEvent]) -> None:
        self.started: dict[int, float] = {}
        self.begun_now: set[int] = set()  # by the last process
        self.failed: dict[int, str] = {}
        self.skipped: dict[int, int] = {}
        for event in events:
            match event:
                case Started():
                    self.started[event.step] = event.time
                    self.begun_now.add(event.step)
                    self.failed.pop(event.step, None)
                case Failed(step=int() as step):
                    self.failed[step] = event.error
                case Skipped():
                    self.skipped[event.step] = event.needs
                case Opened():
                    self.skipped.clear()
                    self.begun_now.clear()


def _step_line(position: int, name: str, full: FullRecord, notes: _Notes) -> StepLine:
    number, started = position + 1, notes.started.get(position)
    if done := full.record.done.get(position):
        return StepLine(number, name, DONE, started, done.seconds, f"from {done.source}" if done.source else "")
    if error := notes.failed.get(position):
        return StepLine(number, name, FAILED_STEP, started, note=error)
    if (needs := notes.skipped.get(position)) is not None:
        return StepLine(number, name, SKIPPED, started, note=f"needs step {needs + 1}")
    if started is not None:
        running = full.info.state == RUNNING and position in notes.begun_now
        return StepLine(number, name, RUNNING if running else BEGUN, started)
    return StepLine(number, name, WAITING)


def _made(event: PathAnnounced, results_root: Path) -> MadeFile:
    path = portable_path(event.path, results_root) or Path(event.path)
    exists = os.path.lexists(path)
    size = path.lstat().st_size if exists and path.is_file() else None
    return MadeFile(path, event.path, event.key, exists, size)


def _model_metrics(task: str, model: Any) -> dict[str, Any]:
    if not isinstance(model, dict):
        return {}
    name = f"{task}.fold_{model.get('fold')}"
    found = {f"{name}.performance": model.get("performance")}
    for entry in model.get("metrics") or ():
        split = entry.get("split", "")
        found |= {f"{name}.{split}.{key}": value for key, value in entry.items() if key not in ("split", "epoch")}
    return found


def _yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.MsgspecError):
        return None
