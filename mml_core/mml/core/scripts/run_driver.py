"""The driver of a run: takes lock and journal, runs what remains of the plan, and records each step when it is done."""

import logging
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts import run_folder as folders
from mml.core.scripts.exceptions import ContinueError, Interrupted, PlanError, UnknownNameError
from mml.core.scripts.journal import (
    FINISHING,
    JOURNAL_FILE,
    PREPARATION,
    Done,
    Event,
    Finished,
    Finishing,
    Journal,
    PathAnnounced,
    Planned,
    RunRecord,
    Started,
    read_events,
)
from mml.core.scripts.plugins import HOOKS
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.run_account import ended, opened
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.run_log import run_logging
from mml.core.scripts.schedule import Step, StepRecord, check_same_plan, remaining, restore_step, step_seed
from mml.core.scripts.seeding import imports_kept_apart, seed_everything
from mml.core.scripts.signals import SignalGuard, guarded_signals
from mml.core.scripts.struct_tracker import StructTracker
from mml.core.scripts.values import plain_value, restored_value
from mml.report.tables import count_text, seconds_text, show
from mml.runners.base import Runner, StepOutcome
from mml.runners.serial import SerialRunner

logger = logging.getLogger(__name__)


class Scheduler(Protocol):
    """What the driver knows of a scheduler; `AbstractBaseScheduler` says what each means."""

    cfg: DictConfig
    fm: MMLFileManager
    structs: StructTracker
    progress: RunProgress
    commands: list[Callable[..., Any]]
    params: list[Sequence[Any]]
    task_list: list[str]
    return_value: Any
    seed: int
    step_seed: int
    seconds: float
    continue_status: bool

    def begin_step(self, step: Step) -> None:
        """Prepare for a step."""

    def steps_from(self, position: int) -> list[Step]:
        """Return the planned steps from a position on."""
        ...

    def after_preparation_hook(self) -> None:
        """Be called before the first step."""

    def before_finishing_hook(self) -> None:
        """Be called after the last step."""

    def report(self) -> None:
        """Print the outcome."""


def run_unrecorded(scheduler: Scheduler, steps: list[Step]) -> Any:
    """Run a plan without a trace on disk, for modes that only look."""
    with run_logging(None, _log_level(scheduler), scheduler.progress.console), scheduler.progress:
        _begin_hook(scheduler, PREPARATION)
        scheduler.after_preparation_hook()
        while steps:
            for step in steps:
                execute_step(scheduler, step)
            steps = scheduler.steps_from(steps[-1].position + 1)
        _begin_hook(scheduler, FINISHING)
        scheduler.before_finishing_hook()
    scheduler.report()
    return scheduler.return_value


def recall_start(scheduler: Scheduler) -> None:
    """Bring back what `reuse` found when the run to continue was started, before its plan is made anew.

    Raises:
        ContinueError: there is no such run, or nothing is left to continue.
        JournalError: its journal is damaged.
    """
    folder = _run_folder(scheduler)
    record = RunRecord(read_events(folder / JOURNAL_FILE)[0])
    _refuse_finished(record, folder)
    scheduler.structs.replay(record.initial)
    if record.plan is not None:
        fm = scheduler.fm
        fm.global_reusables = {key: fm.roots.to_path(text) for key, text in record.reused.items()}


def run_recorded(scheduler: Scheduler, steps: list[Step]) -> Any:
    """Run what remains of a plan, recording each step; return the scheduler's return value."""
    level = _log_level(scheduler)
    folder = _run_folder(scheduler)
    # Before the lock, too: taking it writes into the folder, and a refused run stays as it is.
    _refuse_misfit(RunRecord(read_events(folder / JOURNAL_FILE)[0]), steps, folder)
    with guarded_signals() as guard, RunLock(folder):
        driver = _Driver(scheduler, steps, folder, guard)
        try:
            log_file = folder / folders.LOG_FILE
            with run_logging(log_file, level, scheduler.progress.console), scheduler.progress, imports_kept_apart():
                driver.drive()
        except BaseException as error:
            driver.record_error(error)
            raise
        finally:
            driver.journal.close()
            scheduler.fm.on_path = None
    scheduler.report()
    show(_closing_line(driver.steps_done, scheduler.seconds, folder))
    return scheduler.return_value


def execute_step(scheduler: Scheduler, step: Step) -> StepOutcome:
    """Run one step in this process and return what it changed.

    Raises:
        MMLError: the step left a return value that can't be journaled.
    """
    scheduler.begin_step(step)
    seed_everything(scheduler.step_seed)
    # By value: a step may also change a list or dict in place.
    before, planned = plain_value(scheduler.return_value, "return_value before a step"), len(scheduler.commands)
    scheduler.structs.begin_step()
    start = time.perf_counter()
    scheduler.commands[step.position](*step.params)
    seconds = time.perf_counter() - start
    value = plain_value(scheduler.return_value, f"return_value of step {step.record}")
    return StepOutcome(
        seconds=round(seconds, 6),
        tasks=scheduler.structs.end_step(),
        value=msgspec.UNSET if value == before else value,
        grown=_grown(scheduler, planned),
    )


def _grown(scheduler: Scheduler, planned: int) -> list[StepRecord]:
    """Return the steps that were added to the plan, which a continued run has to find by name."""
    steps = scheduler.steps_from(planned)
    for step in steps:
        if not callable(getattr(scheduler, step.record.command, None)):
            name = type(scheduler).__name__
            msg = f"Step {step.record}, added while running: '{step.record.command}' is no method of {name}."
            raise PlanError(msg)
    return [step.record for step in steps]


def _begin_hook(scheduler: Scheduler, name: str) -> None:
    """Seed what runs outside of steps, by its name."""
    scheduler.step_seed = step_seed(scheduler.seed, name)
    seed_everything(scheduler.step_seed)


def _closing_line(steps: int, seconds: float, folder: Path) -> str:
    """Say that a run is finished, and where its record is."""
    done = f"{count_text(steps, 'step')} in {seconds_text(seconds)}"
    return f"Run {folder.name} is finished: {done}, recorded in {folder}"


class _Driver:
    """Runs one plan in one run folder, whose lock is held.

    Raises:
        ContinueError: nothing is left to do.
        PlanError: the plan is not the recorded one.
    """

    def __init__(self, scheduler: Scheduler, steps: list[Step], folder: Path, guard: SignalGuard) -> None:
        self._scheduler = scheduler
        self._folder = folder
        self._guard = guard
        self._step: int | None = None
        self._hook = ""
        self._finished = False
        self.steps_done = 0
        events, size = read_events(folder / JOURNAL_FILE)
        self._record = RunRecord(events)
        _refuse_misfit(self._record, steps, folder)
        self.journal = Journal(folder / JOURNAL_FILE, size)

    def drive(self) -> None:
        """Go from wherever the record ends to the end of the run."""
        scheduler, record = self._scheduler, self._record
        self._append(opened(str(scheduler.cfg.mode.get("id", "")), scheduler.task_list))
        scheduler.fm.open_run(self._folder)
        self._restore()
        if record.finishing:
            return self._finish(record.value)
        scheduler.fm.on_path = self._announce
        self._prepare()
        self._run_steps(self._settled_plan(), _runner(scheduler))
        self._hook, planned = FINISHING, len(scheduler.commands)
        _begin_hook(scheduler, FINISHING)
        scheduler.before_finishing_hook()
        call_hooks(HOOKS.after_run, scheduler)
        if scheduler.steps_from(planned):
            msg = "before_finishing_hook added steps, but all steps are over then. Add them in a step."
            raise PlanError(msg)
        return self._finish(plain_value(scheduler.return_value, "return_value of the run"))

    def record_error(self, error: BaseException) -> None:
        """Record why the run ends here, and attach the command that continues it to the error."""
        if self._finished:  # a signal came when everything was done
            return
        error.continue_command = continue_command(self._scheduler.cfg, self._folder)  # type: ignore[attr-defined]
        try:
            # The run ends here already: a signal that comes now adds nothing.
            with suppress(Interrupted), self._guard.deferred():
                self.journal.append(ended(error, self._step, self._folder))
        except OSError as fault:
            # E.g. the disk is full, as the error itself says already; without this line the run counts as crashed.
            logger.warning("The end of the run could not be recorded: %s", fault)

    def _restore(self) -> None:
        """Bring task structs, return value and files to the state after the last step that is done."""
        scheduler, record = self._scheduler, self._record
        scheduler.return_value = restored_value(record.value)
        for done in record.done.values():
            scheduler.structs.replay(done.tasks)
        for text in record.unfinished_paths():
            scheduler.fm.remove_half_written(scheduler.fm.roots.to_path(text))

    def _prepare(self) -> None:
        """Call the hooks before the first step; repeated, they get the paths that they got before."""
        scheduler, roots = self._scheduler, self._scheduler.fm.roots
        self._hook = PREPARATION
        _begin_hook(scheduler, PREPARATION)
        with scheduler.fm.repeating([roots.to_path(text) for text in self._record.repeated_paths()]):
            call_hooks(HOOKS.before_run, scheduler)
            scheduler.after_preparation_hook()

    def _settled_plan(self) -> list[Step]:
        """Record the plan of a new run; add the steps that an earlier part of a continued run added to its plan."""
        scheduler, record = self._scheduler, self._record
        steps = scheduler.steps_from(0)
        if record.plan is None:
            planned = Planned(
                time=time.time(),
                steps=[step.record for step in steps],
                tasks=scheduler.structs.initial_changes(scheduler.task_list),
                reused={key: scheduler.fm.roots.to_text(path) for key, path in scheduler.fm.global_reusables.items()},
            )
            self._append(planned)
            return steps
        check_same_plan(record.plan[: record.base_plan], [step.record for step in steps])
        for position, grown in enumerate(record.plan[record.base_plan :], start=record.base_plan):
            scheduler.commands.append(getattr(scheduler, grown.command))
            steps.append(restore_step(position, grown, scheduler.fm.roots))
            scheduler.params.append(steps[-1].params)
        return steps

    def _run_steps(self, steps: list[Step], runner: Runner) -> None:
        """Run what remains of the plan; a step may add steps to it, so it is read on until it ends."""
        progress, planned = self._scheduler.progress, 0
        progress.start_steps(len(steps), done=len(self._record.done))
        while steps:
            for step in remaining(steps, self._record.done):
                self._run_step(step, runner)
            planned += len(steps)
            if steps := self._scheduler.steps_from(planned):
                progress.start_steps(planned + len(steps), done=planned)

    def _run_step(self, step: Step, runner: Runner) -> None:
        self._step = step.position
        progress = self._scheduler.progress
        progress.begin_step(step.position + 1, str(step.record))
        self.journal.append(Started(time=time.time(), step=step.position), durable=False)
        outcome = runner.submit(step, self._execute)
        with self._guard.deferred():
            self.journal.append(
                Done(
                    time=time.time(),
                    step=step.position,
                    seconds=outcome.seconds,
                    tasks=outcome.tasks,
                    value=outcome.value,
                    grown=outcome.grown,
                )
            )
            self._step = None
        progress.end_step()

    def _execute(self, step: Step) -> StepOutcome:
        return execute_step(self._scheduler, step)

    def _finish(self, value: Any) -> None:
        """Record that only cleaning up is left, clean up, and record the end; may be repeated after a kill."""
        scheduler = self._scheduler
        with self._guard.deferred():
            if not self._record.finishing:
                self._append(Finishing(time=time.time(), value=value))
            record = RunRecord(read_events(self._folder / JOURNAL_FILE)[0])
            for key in scheduler.fm.kinds_to_remove:
                for text in record.paths_of_kind(key):
                    scheduler.fm.remove_own(scheduler.fm.roots.to_path(text))
            scheduler.fm.remove_temp()
            self._append(Finished(time=time.time(), seconds=round(record.seconds, 3), value=value))
            self._finished = True
        self.steps_done, scheduler.seconds = len(record.done), record.seconds
        scheduler.return_value = restored_value(value)

    def _announce(self, path: Path, key: str) -> None:
        text = self._scheduler.fm.roots.to_text(path)
        hook = self._hook if self._step is None else ""
        self._append(PathAnnounced(time=time.time(), path=text, key=key, step=self._step, hook=hook))

    def _append(self, event: Event) -> None:
        with self._guard.deferred():
            self.journal.append(event)


def call_hooks(hooks: list[Any], scheduler: Scheduler) -> None:
    """Call what plugins registered."""
    for hook in hooks:
        hook(scheduler)


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


def _refuse_misfit(record: RunRecord, steps: list[Step], folder: Path) -> None:
    """Refuse to continue a run that is finished or has another plan, before anything is written."""
    _refuse_finished(record, folder)
    if record.plan is not None and not record.finishing:
        check_same_plan(record.plan[: min(record.base_plan, len(steps))], [step.record for step in steps])


def _refuse_finished(record: RunRecord, folder: Path) -> None:
    if record.finished:
        msg = f"Run {folder.name} is finished: nothing is left to continue. Start a new run by leaving out `continue`."
        raise ContinueError(msg)


def _runner(scheduler: Scheduler) -> Runner:
    config = OmegaConf.select(scheduler.cfg, "runner._target_", default=None)
    runner: Runner = SerialRunner() if config is None else instantiate(scheduler.cfg.runner)
    return runner


def _log_level(scheduler: Scheduler) -> str:
    level = str(OmegaConf.select(scheduler.cfg, "logging.level", default="INFO")).upper()
    if level not in logging.getLevelNamesMapping():
        raise UnknownNameError(level, kind="logging.level", known=logging.getLevelNamesMapping())
    return level
