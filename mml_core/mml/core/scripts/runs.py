"""Which runs there are and what became of them, told from their journals and locks alone."""

import os
import re
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from mml.core.scripts.lock_probe import probe
from mml.core.scripts.run_digest import CRASHED as CRASHED
from mml.core.scripts.run_digest import DETACHED as DETACHED
from mml.core.scripts.run_digest import FAILED as FAILED
from mml.core.scripts.run_digest import FINISHED as FINISHED
from mml.core.scripts.run_digest import INTERRUPTED as INTERRUPTED
from mml.core.scripts.run_digest import RunDigest, digest
from mml.core.scripts.run_files import CONFIG_FILE, JOURNAL_FILE, LOCK_FILE, RUNS_FOLDER
from mml.core.scripts.run_index import FoundRun, look_at_runs
from mml.core.scripts.values import restored_value

RUNNING, DAMAGED = "running", "damaged"
STATES = (RUNNING, DETACHED, INTERRUPTED, CRASHED, FAILED, FINISHED, DAMAGED)
CONTINUABLE = (DETACHED, INTERRUPTED, CRASHED, FAILED)
_NOT_STARTED = "The run was killed before it had written its config; its folder can be removed."


class RunInfo(NamedTuple):
    """What became of a run.

    Attributes:
        name: of the run folder.
        project: that it belongs to.
        path: the run folder.
        state: running, detached (its steps go on in a queue), interrupted (by a signal), crashed (killed), failed (by
            an error), finished, or damaged (its journal can't be read, or it was killed before it had a config).
        mode: what it was started with, "" when it was killed before it wrote so.
        tasks: names.
        created: local time of the start, None when unknown.
        steps_done: number of steps that are done.
        steps_total: of the plan, None before it was planned.
        seconds: time of all steps that are done.
        return_value: as of now.
        error: of a failed run, or why a damaged one can't be read.
        changed: local time of the last change of its journal, or else of its folder; None when there is none.
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
    changed: datetime | None = None


def all_runs(results_root: Path, projects: Collection[str] | None = None) -> list[FoundRun]:
    """Return all runs of projects (by default all), newest first, without asking yet which of them are running.

    Raises:
        OSError: a folder can't be read.
    """
    return sorted(look_at_runs(results_root, projects), key=started, reverse=True)


def started(run: FoundRun) -> tuple[float, str]:
    """Return what sorts runs by age: the start or, of one that was killed before it wrote so, the time in its name."""
    return run.digest.created or _named_time(run.name) or run.changed, run.name


def settle(run: FoundRun, results_root: Path) -> tuple[str, FoundRun]:
    """Return the state of a run and what its journal says by then; without a look at its lock when it is finished."""
    if not run.fault and run.digest.state == FINISHED:
        return FINISHED, run
    folder = results_root / run.project / RUNS_FOLDER / run.name
    if is_running(folder):
        return RUNNING, run
    if _last_change(folder) != run.changed:
        run = _look_again(folder)  # it ended between the look at its journal and that at its lock
    if run.fault or (not run.digest.created and not (folder / CONFIG_FILE).exists()):
        return DAMAGED, run
    return run.digest.state, run


def run_info(run: FoundRun, results_root: Path) -> RunInfo:
    """Return what became of a run."""
    return info_of(*settle(run, results_root), results_root)


def info_of(state: str, run: FoundRun, results_root: Path) -> RunInfo:
    """Return what became of a run whose state is known."""
    folder, said = results_root / run.project / RUNS_FOLDER / run.name, run.digest
    return RunInfo(
        name=run.name,
        project=run.project,
        path=folder,
        state=state,
        mode=said.mode,
        tasks=tuple(said.tasks),
        created=_local_time(said.created),
        steps_done=said.steps_done,
        steps_total=said.steps_total,
        seconds=said.seconds,
        return_value=restored_value(said.value),
        error=_error(run, folder, state),
        changed=_local_time(run.changed),
    )


def is_running(folder: Path) -> bool:
    """Tell whether a living process works on a run folder. Leaves the folder as it is."""
    held = probe(folder / LOCK_FILE)
    if held is None:
        from mml.core.scripts.run_lock import is_held  # knows the ways of file systems without locks

        return is_held(folder)
    return held


def run_folders(proj_path: Path) -> list[Path]:
    """Return the run folders of a project, oldest first."""
    try:
        with os.scandir(proj_path / RUNS_FOLDER) as entries:
            found = (Path(entry.path) for entry in entries if entry.is_dir() and entry.name[0] != ".")
            return sorted(found, key=_by_age)
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_run(folder: Path) -> RunInfo:
    """Return what journal and lock of a run folder say.

    Whatever the journal says, a run counts as running as long as a process holds its lock.
    """
    run, root = _look_again(folder), folder.parent.parent.parent
    return info_of(RUNNING, run, root) if is_running(folder) else run_info(run, root)


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


def _look_again(folder: Path) -> FoundRun:
    """Return a run whose journal is read anew."""
    said, fault, changed = RunDigest(), "", _last_change(folder)
    try:
        said = digest((folder / JOURNAL_FILE).read_bytes())
    except FileNotFoundError:
        pass
    except OSError as error:
        fault = f"can't be read: {error.strerror}."
    except ValueError as error:
        fault = str(error)
    return FoundRun(folder.parent.parent.name, folder.name, changed, said, fault)


def _named_time(name: str) -> float:
    """Return the time in the name of a run, seconds since the epoch; 0 if there is none."""
    try:
        return datetime.strptime(name[:19], "%Y-%m-%d_%H-%M-%S").timestamp()
    except ValueError:
        return 0.0


def _last_change(folder: Path) -> float:
    """Return when the journal changed last, or else the folder, in seconds since the epoch; 0 if there is neither."""
    for path in (folder / JOURNAL_FILE, folder):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return 0.0


def _error(run: FoundRun, folder: Path, state: str) -> str:
    if run.fault.startswith("line"):
        return f"{folder / JOURNAL_FILE}, {run.fault}. Restore the file from a backup, or start a new run."
    if run.fault:
        return f"{folder / JOURNAL_FILE} {run.fault}"
    if state == DAMAGED:
        return _NOT_STARTED
    return run.digest.error if state == FAILED else ""


def _local_time(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds).astimezone() if seconds else None
