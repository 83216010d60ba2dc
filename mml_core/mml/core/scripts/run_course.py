"""The course of a run: from wherever its record ends, through what remains of the plan, to its end."""

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from mml.core.data_loading.cleanup import claimed_since
from mml.core.scripts.attempts import attempts_left
from mml.core.scripts.drift_takeover import take_over, tell_differences
from mml.core.scripts.drift_watch import data_digests, tell_reused
from mml.core.scripts.exceptions import ContinueError, Interrupted, PlanError, StepsFailedError
from mml.core.scripts.journal import (
    DETACHED,
    FINISHING,
    PREPARATION,
    Finished,
    Finishing,
    Opened,
    Planned,
    RunRecord,
    Stopped,
)
from mml.core.scripts.plugins import HOOKS
from mml.core.scripts.run_account import opened
from mml.core.scripts.run_book import RunBook
from mml.core.scripts.run_failure import ended
from mml.core.scripts.run_leftovers import settle_earlier
from mml.core.scripts.run_loop import RunLoop
from mml.core.scripts.run_steps import Scheduler, begin_hook, call_hooks, extend_plan
from mml.core.scripts.schedule import Step, check_same_plan
from mml.core.scripts.signals import SignalGuard
from mml.core.scripts.values import plain_value, restored_value
from mml.runners.base import Earlier, Runner

logger = logging.getLogger(__name__)

# Seconds by which time stamps of files may be behind the clock.
_CLOCK_STEP = 2.0


class RunCourse:
    """Runs one plan in one run folder, whose lock is held.

    Raises:
        ContinueError: nothing is left to do.
        PlanError: the plan is not the recorded one.
    """

    def __init__(
        self, scheduler: Scheduler, steps: list[Step], folder: Path, guard: SignalGuard, runner: Runner
    ) -> None:
        self._scheduler, self._runner = scheduler, runner
        self._book = RunBook(folder, guard)
        self._record = self._book.record
        self.finished = self.detached = False
        self.steps_done = 0
        refuse_misfit(self._record, steps, folder)
        self._book.open()

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self._book.folder

    @property
    def guard(self) -> SignalGuard:
        """What holds signals back."""
        return self._book.guard

    def where(self) -> str:
        """Return where the run is, e.g. `2 of 5, work(1)` in a step, `3 of 5 done` between steps."""
        total, step = len(self._scheduler.commands), self._book.step
        if step is None:
            return f"{len(self._book.catch_up().done)} of {total} done"
        return f"{step + 1} of {total}, {self._scheduler.steps_from(step)[0].record}"

    def drive(self) -> None:
        """Go from wherever the record ends to the end of the run."""
        scheduler, record = self._scheduler, self._record
        now = opened(str(scheduler.cfg.mode.get("id", "")), scheduler.task_list)
        tell_differences(scheduler, self._book, now)
        self._book.append(now)
        scheduler.fm.open_run(self._book.folder)
        earlier = settle_earlier(self._book.folder, record, self._runner, scheduler.fm)
        self._restore()
        if record.finishing:
            return self._finish(record.value)
        scheduler.fm.on_path = self._announce
        self._prepare()
        self._settle_plan(now)
        self._run_steps(take_over(scheduler, self._book), earlier)
        if self.detached:
            return self._book.append(Stopped(time=time.time(), step=None, signal=DETACHED))
        self._book.hook, planned = FINISHING, len(scheduler.commands)
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
            with suppress(Interrupted), self._book.guard.deferred():
                self._book.append(ended(error, self._book.step, self._book.folder, self._book.attempt))
        except OSError as fault:
            # E.g. the disk is full, as the error itself says already; without this line the run counts as crashed.
            logger.warning("The end of the run could not be recorded: %s", fault)

    def close(self) -> None:
        """Stop to record."""
        self._book.close()

    def _restore(self) -> None:
        """Bring task structs, return value and files to the state after the last step that is done."""
        scheduler, record = self._scheduler, self._record
        scheduler.return_value = restored_value(record.value)
        for done in record.done.values():
            scheduler.structs.replay(done.tasks)
        for text in record.unfinished_paths():
            scheduler.fm.remove_half_written(scheduler.fm.roots.to_path(text))
        self._remove_unrecorded()

    def _remove_unrecorded(self) -> None:
        """Remove what this run made after the end of its journal, which a bad disk may have lost."""
        fm, record = self._scheduler.fm, self._record
        if record.last is None:
            return
        made = list(claimed_since(fm.proj_path, self._book.folder.name, record.last.time - _CLOCK_STEP))
        # What is known is looked up after that, as a path is announced before it is claimed.
        known = {fm.roots.to_path(event.path) for events in record.announced.values() for event in events}
        # Those of attempts that go on elsewhere come with their reports.
        known |= {fm.roots.to_path(text) for left in attempts_left(self._book.folder) for text in left.announced()}
        for path in made:
            if path not in known:
                logger.warning("%s is in no line of the journal: its last ones are lost. It is removed.", path)
                fm.remove_half_written(path)

    def _prepare(self) -> None:
        """Call the hooks before the first step; repeated, they get the paths that they got before."""
        scheduler, roots = self._scheduler, self._scheduler.fm.roots
        self._book.hook = PREPARATION
        begin_hook(scheduler, PREPARATION)
        with scheduler.fm.repeating([roots.to_path(text) for text in self._record.repeated_paths()]):
            call_hooks(HOOKS.before_run, scheduler)
            scheduler.after_preparation_hook()

    def _settle_plan(self, now: Opened) -> None:
        """Record the plan of a new run; add the steps that an earlier part of a continued run added to its plan."""
        scheduler, record = self._scheduler, self._record
        steps = scheduler.steps_from(0)
        if record.plan is None:
            planned = Planned(
                time=time.time(),
                steps=[step.record for step in steps],
                tasks=scheduler.structs.initial_changes(scheduler.task_list),
                reused={key: scheduler.fm.roots.to_text(path) for key, path in scheduler.fm.global_reusables.items()},
                data=data_digests(scheduler),
            )
            self._book.append(planned)
            tell_reused(scheduler, planned, now, [step.record.command for step in steps])
            return
        check_same_plan(record.plan[: record.base_plan], [step.record for step in steps])
        extend_plan(scheduler, record.plan[record.base_plan :])

    def _run_steps(self, steps: list[Step], earlier: list[Earlier]) -> None:
        """Do what remains of the plan.

        Raises:
            StepsFailedError: steps failed, and the policy is to go on with the others.
        """
        loop = self._loop(earlier)
        loop.run(steps)
        self.detached = loop.detached
        if loop.missing:
            total = len(self._scheduler.commands)
            raise StepsFailedError(total, [loop.missing[position] for position in sorted(loop.missing)])

    def _loop(self, earlier: list[Earlier]) -> RunLoop:
        scheduler, runner = self._scheduler, self._runner
        if runner.in_process:
            return RunLoop(scheduler, self._book, scheduler.policy, runner)
        from mml.core.scripts.run_loop_elsewhere import ElsewhereLoop  # of use to runs of several processes alone

        return ElsewhereLoop(scheduler, self._book, scheduler.policy, runner, earlier)

    def _finish(self, value: Any) -> None:
        """Record that only cleaning up is left, clean up, and record the end; may be repeated after a kill."""
        scheduler = self._scheduler
        with self._book.guard.deferred():
            if not self._record.finishing:
                self._book.append(Finishing(time=time.time(), value=value))
            record = self._book.catch_up()
            for key in scheduler.fm.kinds_to_remove:
                for text in record.paths_of_kind(key):
                    scheduler.fm.remove_own(scheduler.fm.roots.to_path(text))
            scheduler.fm.remove_temp()
            self._book.append(Finished(time=time.time(), seconds=round(record.seconds, 3), value=value))
            self.finished = True
        self.steps_done, scheduler.seconds = len(record.done), record.seconds
        scheduler.return_value = restored_value(value)

    def _announce(self, path: Path, key: str) -> None:
        self._book.announce(self._scheduler.fm.roots.to_text(path), key)


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
