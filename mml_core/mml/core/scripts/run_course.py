"""The course of a run: from wherever its record ends, through what remains of the plan, to its end."""

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from mml.core.scripts.exceptions import ContinueError, Interrupted, PlanError
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
from mml.core.scripts.run_account import ended, opened
from mml.core.scripts.run_steps import Scheduler, begin_hook, call_hooks, execute_step
from mml.core.scripts.schedule import Step, check_same_plan, remaining, restore_step
from mml.core.scripts.signals import SignalGuard
from mml.core.scripts.values import plain_value, restored_value
from mml.runners.base import Runner, StepOutcome
from mml.runners.serial import SerialRunner

logger = logging.getLogger(__name__)


class RunCourse:
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
        self.finished = False
        self.steps_done = 0
        events, size = read_events(folder / JOURNAL_FILE)
        self._record = RunRecord(events)
        refuse_misfit(self._record, steps, folder)
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
        begin_hook(scheduler, FINISHING)
        scheduler.before_finishing_hook()
        call_hooks(HOOKS.after_run, scheduler)
        if scheduler.steps_from(planned):
            msg = "before_finishing_hook added steps, but all steps are over then. Add them in a step."
            raise PlanError(msg)
        return self._finish(plain_value(scheduler.return_value, "return_value of the run"))

    def record_error(self, error: BaseException) -> None:
        """Record why the run ends here."""
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
        begin_hook(scheduler, PREPARATION)
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
            if grown.after is not None:
                scheduler.after[position] = grown.after
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
            self._scheduler.step_recorded(step)
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
            self.finished = True
        self.steps_done, scheduler.seconds = len(record.done), record.seconds
        scheduler.return_value = restored_value(value)

    def _announce(self, path: Path, key: str) -> None:
        text = self._scheduler.fm.roots.to_text(path)
        hook = self._hook if self._step is None else ""
        self._append(PathAnnounced(time=time.time(), path=text, key=key, step=self._step, hook=hook))

    def _append(self, event: Event) -> None:
        with self._guard.deferred():
            self.journal.append(event)


def refuse_misfit(record: RunRecord, steps: list[Step], folder: Path) -> None:
    """Refuse to continue a run that is finished or has another plan, before anything is written.

    Raises:
        ContinueError: it is finished.
        PlanError: it has another plan.
    """
    refuse_finished(record, folder)
    if record.plan is not None and not record.finishing:
        check_same_plan(record.plan[: min(record.base_plan, len(steps))], [step.record for step in steps])


def refuse_finished(record: RunRecord, folder: Path) -> None:
    """Refuse to continue a run that is finished.

    Raises:
        ContinueError: it is.
    """
    if record.finished:
        msg = f"Run {folder.name} is finished: nothing is left to continue. Start a new run by leaving out `continue`."
        raise ContinueError(msg)


def _runner(scheduler: Scheduler) -> Runner:
    config = OmegaConf.select(scheduler.cfg, "runner._target_", default=None)
    runner: Runner = SerialRunner() if config is None else instantiate(scheduler.cfg.runner)
    return runner
