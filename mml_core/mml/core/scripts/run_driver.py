"""The driver of a run: takes lock and journal, runs what remains of the plan, and records each step when it is done."""

import shlex
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from mml.core.scripts import run_folder as folders
from mml.core.scripts.drift_takeover import fork_source
from mml.core.scripts.journal import JOURNAL_FILE, RunRecord, read_events
from mml.core.scripts.notify import open_notifier
from mml.core.scripts.run_course import RunCourse, refuse_finished, refuse_misfit
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.run_log import run_logging
from mml.core.scripts.run_news import RunNews
from mml.core.scripts.run_place import RunnerPlace
from mml.core.scripts.run_steps import Scheduler
from mml.core.scripts.run_unrecorded import log_level
from mml.core.scripts.schedule import Step
from mml.core.scripts.seeding import imports_kept_apart
from mml.core.scripts.signals import guarded_signals
from mml.core.scripts.slurm import current_job, mark
from mml.report.tables import count_text, seconds_text, show


def recall_start(scheduler: Scheduler) -> None:
    """Bring back what `reuse` found when the run to continue was started, before its plan is made anew.

    Raises:
        ContinueError: there is no such run, or nothing is left to continue.
        JournalError: its journal is damaged.
    """
    folder = _run_folder(scheduler)
    record = RunRecord(read_events(folder / JOURNAL_FILE)[0])
    refuse_finished(record, folder)
    scheduler.structs.replay(record.initial)
    if record.plan is not None:
        fm = scheduler.fm
        fm.global_reusables = {key: fm.roots.to_path(text) for key, text in record.reused.items()}


def run_recorded(scheduler: Scheduler, steps: list[Step]) -> Any:
    """Run what remains of a plan, recording each step; return the scheduler's return value."""
    level = log_level(scheduler)
    with open_notifier(scheduler.cfg) as notifier:
        if not scheduler.continue_status:
            fork_source(scheduler)
        # A runner that can't do it is refused before there is a run.
        place = RunnerPlace(scheduler.cfg)
        place.resources_of(steps)
        folder = _run_folder(scheduler)
        # Before the lock, too: taking it writes into the folder, and a refused run stays as it is.
        refuse_misfit(RunRecord(read_events(folder / JOURNAL_FILE)[0]), steps, folder)
        with guarded_signals() as guard, RunLock(folder):
            course = RunCourse(scheduler, steps, folder, guard, place.runner)
            _follow(course, scheduler, RunNews(scheduler, course, notifier), level)
        if course.detached:
            show(_parting_lines(folder, continue_command(scheduler.cfg, folder)))
            return None
        scheduler.report()
        show(_closing_line(course.steps_done, scheduler.seconds, folder, scheduler.progress.side_by_side))
    return scheduler.return_value


def _follow(course: RunCourse, scheduler: Scheduler, news: RunNews, level: str) -> None:
    """Go the course of a run to its end, and record why it ends there."""
    scheduler.guard, folder = course.guard, course.folder
    command = continue_command(scheduler.cfg, folder)
    try:
        if job := current_job():
            mark(folder, job, given_overrides())
        scheduler.progress.live_in(folder)
        console, log_file = scheduler.progress.console, folder / folders.LOG_FILE
        with run_logging(log_file, level, console), scheduler.progress, imports_kept_apart():
            news.started(command, log_file)
            course.drive()
    except BaseException as error:
        if not course.finished:  # else a signal came when everything was done
            error.continue_command = command  # type: ignore[attr-defined]
            course.record_error(error)
            news.ended(error, command)
        raise
    finally:
        if course.finished:
            news.finished()
        course.close()
        scheduler.fm.on_path = scheduler.guard = None


def _closing_line(steps: int, seconds: float, folder: Path, side_by_side: bool) -> str:
    """Say that a run is finished, and where its record is."""
    # The time of steps that ran at once is no time that a clock has shown.
    took = f"with {seconds_text(seconds)} of work" if side_by_side else f"in {seconds_text(seconds)}"
    done = f"{count_text(steps, 'step')} {took}"
    return f"Run {folder.name} is finished: {done}, recorded in {folder}"


def _parting_lines(folder: Path, command: str) -> str:
    """Say that a run goes on without this process, how to look at it, and how to collect what it makes."""
    look = command.replace(" continue ", " status ", 1)
    goes_on = f"Run {folder.name} goes on in the queue, recorded in {folder}"
    return f"{goes_on}\nLook at it: {look}\nCollect what is done: {command}"


def continue_command(cfg: Any, folder: Path) -> str:
    """Return the command that continues a run, ready to be pasted into a shell."""
    words = ["mml", "continue", folder.name]
    if cfg.proj != "default":
        words.append(f"proj={cfg.proj}")
    given = [override for override in given_overrides() if override.startswith("out_dir=")]
    return shlex.join([*words, *given])


def given_overrides() -> list[str]:
    """Return the overrides of the command line; none when the scheduler was not started by Hydra."""
    if not HydraConfig.initialized():
        return []
    return [str(override) for override in HydraConfig.get().overrides.task]


def _run_folder(scheduler: Scheduler) -> Path:
    """Return the folder of the run to continue, or make that of a new one."""
    cfg, proj_path = scheduler.cfg, scheduler.fm.proj_path
    if scheduler.continue_status:
        return folders.find_run_folder(proj_path, str(cfg["continue"]))
    folder = folders.make_run_folder(proj_path, str(cfg.mode.get("id", "run")))
    folders.store_config(folder, cfg, given_overrides())
    return folder
