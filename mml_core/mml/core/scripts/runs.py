"""Which runs there are and what became of them, told from their journals and locks alone."""

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from mml.core.scripts.exceptions import JournalError
from mml.core.scripts.journal import JOURNAL_FILE, Failed, RunRecord, Stopped, read_events
from mml.core.scripts.run_folder import CONFIG_FILE, RUNS_FOLDER
from mml.core.scripts.run_lock import is_held
from mml.core.scripts.values import restored_value

RUNNING, INTERRUPTED, CRASHED, FAILED, FINISHED, DAMAGED = (
    "running",
    "interrupted",
    "crashed",
    "failed",
    "finished",
    "damaged",
)
_NOT_STARTED = "The run was killed before it had written its config; its folder can be removed."
CONTINUABLE = (INTERRUPTED, CRASHED, FAILED)


class RunInfo(NamedTuple):
    """What became of a run.

    Attributes:
        name: of the run folder.
        project: that it belongs to.
        path: the run folder.
        state: running, interrupted (by a signal), crashed (killed), failed (by an error), finished, or damaged
            (its journal can't be read, or it was killed before it had a config).
        mode: what it was started with, "" when it was killed before it wrote so.
        tasks: names.
        created: local time of the start, None when unknown.
        steps_done: number of steps that are done.
        steps_total: of the plan, None before it was planned.
        seconds: time of all steps that are done.
        return_value: as of now.
        error: of a failed run, or why a damaged one can't be read.
    """

    name: str
    project: str
    path: Path
    state: str
    mode: str = ""
    tasks: tuple[str, ...] = ()
    created: datetime | None = None
    steps_done: int = 0
    steps_total: int | None = None
    seconds: float = 0.0
    return_value: Any = None
    error: str = ""


def run_folders(proj_path: Path) -> list[Path]:
    """Return the run folders of a project, oldest first."""
    try:
        with os.scandir(proj_path / RUNS_FOLDER) as entries:
            found = (Path(entry.path) for entry in entries if entry.is_dir() and entry.name[0] != ".")
            return sorted(found, key=_by_age)
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_run(folder: Path) -> RunInfo:
    """Return what journal and lock of a run folder say."""
    project = folder.parent.parent.name
    running = is_held(folder)
    try:
        record = RunRecord(read_events(folder / JOURNAL_FILE)[0])
    except JournalError as error:
        return RunInfo(folder.name, project, folder, DAMAGED, error=str(error))
    if record.opened is None and not running and not (folder / CONFIG_FILE).exists():
        return RunInfo(folder.name, project, folder, DAMAGED, error=_NOT_STARTED)
    return RunInfo(
        name=folder.name,
        project=project,
        path=folder,
        state=RUNNING if running else _state(record),
        mode=record.opened.mode if record.opened else "",
        tasks=tuple(record.opened.tasks) if record.opened else (),
        created=datetime.fromtimestamp(record.opened.time).astimezone() if record.opened else None,
        steps_done=len(record.done),
        steps_total=None if record.plan is None else len(record.plan),
        seconds=record.seconds,
        return_value=restored_value(record.value),
        error=record.last.error if isinstance(record.last, Failed) else "",
    )


def project_runs(proj_path: Path, newest: int | None = None) -> list[RunInfo]:
    """Return the runs of a project, oldest first.

    Args:
        proj_path: the project's folder.
        newest: how many of the newest to return, all by default.
    """
    folders = run_folders(proj_path)
    return [read_run(folder) for folder in (folders if newest is None else folders[-newest:] if newest else [])]


def list_runs(results_root: Path, newest: int | None = None) -> list[RunInfo]:
    """Return the runs of all projects, oldest first."""
    folders = sorted(_all_run_folders(results_root), key=_by_age)
    return [read_run(folder) for folder in (folders if newest is None else folders[-newest:] if newest else [])]


def latest_continuable(proj_path: Path) -> RunInfo | None:
    """Return the newest run of a project that can be continued, or None."""
    for folder in reversed(run_folders(proj_path)):
        info = read_run(folder)
        if info.state in CONTINUABLE:
            return info
    return None


def _by_age(folder: Path) -> str:
    """Return a key that sorts run folders by time, and those of the same second by their numbers."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(9), folder.name)


def _all_run_folders(results_root: Path) -> Iterator[Path]:
    try:
        with os.scandir(results_root) as entries:
            projects = [Path(entry.path) for entry in entries if entry.is_dir() and entry.name[0] != "."]
    except (FileNotFoundError, NotADirectoryError):
        return
    for project in projects:
        yield from run_folders(project)


def _state(record: RunRecord) -> str:
    if record.finished:
        return FINISHED
    if isinstance(record.last, Failed):
        return FAILED
    return INTERRUPTED if isinstance(record.last, Stopped) else CRASHED
