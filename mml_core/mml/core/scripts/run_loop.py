"""The steps of a run, one after the other: each is tried as often as the policy says, and recorded when it is done."""

import logging
import time
import traceback
from pathlib import Path
from typing import Any

from mml.core.scripts.exceptions import StepAccount
from mml.core.scripts.journal import Done, Failed, Skipped, Started
from mml.core.scripts.run_book import RunBook
from mml.core.scripts.run_failure import failure
from mml.core.scripts.run_policy import RunPolicy, fails_a_step
from mml.core.scripts.run_steps import Scheduler, execute_step
from mml.core.scripts.schedule import Step, remaining
from mml.report.tables import count_text, seconds_text
from mml.runners.base import Runner, RunSetup, StepOutcome, Work, WorkerSetup

logger = logging.getLogger(__name__)


class RunLoop:
    """Does the steps of a plan that remain.

    Args:
        scheduler: whose steps they are.
        book: where they are recorded.
        policy: what to do about a step that fails.
        runner: where steps run.

    Attributes:
        missing: position -> what became of a step that is not done.
    """

    def __init__(self, scheduler: Scheduler, book: RunBook, policy: RunPolicy, runner: Runner) -> None:
        self._scheduler = scheduler
        self._book = book
        self._policy = policy
        self._runner = runner
        self.missing: dict[int, StepAccount] = {}
        setup = WorkerSetup(str(book.folder), {})
        runner.open(RunSetup(book.folder, _no_worker, setup, self._execute, lambda *_: None))

    def run(self, steps: list[Step]) -> None:
        """Do what remains of a plan; a step may add steps to it, so it is read on until it ends."""
        progress, planned, done = self._scheduler.progress, 0, self._book.record.done
        progress.start_steps(len(steps), done=len(done))
        while steps:
            for step in remaining(steps, done):
                if (needed := self._missing_need(step)) is not None:
                    self._skip(step, needed)
                elif outcome := self._tried(step):
                    self._record(step, outcome)
            planned += len(steps)
            if steps := self._scheduler.steps_from(planned):
                progress.start_steps(planned + len(steps), done=planned)

    def _missing_need(self, step: Step) -> int | None:
        return next((needed for needed in step.needs if needed in self.missing), None)

    def _skip(self, step: Step, needed: int) -> None:
        """Record that a step is not tried, because it needs one that is missing."""
        other = self.missing[needed]
        reason = f"needs {other.step}, which {'was skipped' if other.skipped else 'failed'}"
        self.missing[step.position] = StepAccount(str(step), "skipped", reason)
        self._book.append(Skipped(time=time.time(), step=step.position, needs=needed))
        logger.warning("%s is skipped: it %s.", step, reason)

    def _tried(self, step: Step) -> StepOutcome | None:
        """Try a step until it is done, and return its outcome; None when it failed and the run goes on without it.

        Raises:
            Exception: that of the step, when it ends the run.
            OSError: the journal can't be written.
            Interrupted: a signal came, also while waiting for the next attempt.
        """
        attempt = 0
        while True:
            attempt += 1
            self._begin(step, attempt)
            try:
                self._runner.submit(Work(step.position, step.record, str(attempt)))
                (report,) = self._runner.wait(None)
                outcome = report.outcome
                assert outcome is not None
            except (Exception, SystemExit) as error:
                if self._ends_run(error, attempt):
                    raise
                again = self._policy.tries_again(error, attempt)
                self._undo(step, error, again)
            else:
                self._refuse_fault()
                return outcome
            if not again:
                return None
            self._book.guard.pause(self._policy.pause_after(attempt))

    def _begin(self, step: Step, attempt: int) -> None:
        self._book.step, self._book.attempt = step.position, attempt
        self._scheduler.progress.begin_step(step.position + 1, str(step.record))
        self._book.append(Started(time=time.time(), step=step.position), durable=False)

    def _execute(self, work: Work) -> StepOutcome:
        (step,) = self._scheduler.steps_from(work.step)[:1]
        return execute_step(self._scheduler, step)

    def _record(self, step: Step, outcome: StepOutcome) -> None:
        with self._book.guard.deferred():
            self._book.append(
                Done(
                    time=time.time(),
                    step=step.position,
                    seconds=outcome.seconds,
                    tasks=outcome.tasks,
                    value=outcome.value,
                    grown=outcome.grown,
                )
            )
            self._book.step = None
            self._scheduler.step_recorded(step)
        self._scheduler.progress.end_step()

    def _ends_run(self, error: BaseException, attempt: int) -> bool:
        """Tell whether an error ends the run.

        Raises:
            OSError: the journal could not be written, whatever the step made of that.
            Interrupted: a signal came before; what a step does then, or a process that it uses, is no failure.
        """
        self._refuse_fault()
        self._book.guard.check()
        survives = self._policy.goes_on or self._policy.tries_again(error, attempt)
        return not (survives and fails_a_step(error))

    def _refuse_fault(self) -> None:
        if self._book.fault is not None:
            raise self._book.fault

    def _undo(self, step: Step, error: BaseException, again: bool) -> None:
        """Record a failure that does not end the run, and remove what the attempt left."""
        with self._book.guard.deferred():
            failed = failure(error, step.position, self._book.folder, attempt=self._book.attempt, goes_on=True)
            self._book.append(failed)
            self._remove_files(step)
            if not again:
                self.missing[step.position] = self._account(step, failed)
                self._book.step = None
        self._tell(step, failed, again)
        _let_go(error)

    def _remove_files(self, step: Step) -> None:
        fm, record = self._scheduler.fm, self._book.catch_up()
        for text in record.paths_of_attempt(step.position):
            fm.remove_half_written(fm.roots.to_path(text))
        record.announced.pop(step.position, None)
        fm.open_run(self._book.folder)  # which counts files anew, so that numbers that are free again are used

    def _account(self, step: Step, failed: Failed) -> StepAccount:
        what = "failed" if failed.attempt == 1 else f"failed {failed.attempt} times"
        return StepAccount(str(step), what, failed.error, self._trace(failed))

    def _trace(self, failed: Failed) -> Path | None:
        return self._book.folder / failed.traceback if failed.traceback else None

    def _tell(self, step: Step, failed: Failed, again: bool) -> None:
        policy = self._policy
        if again:
            left = count_text(policy.retries - failed.attempt + 1, "more attempt")
            then = f"It is tried again in {seconds_text(policy.pause_after(failed.attempt))}, with {left}."
        else:
            then = "The run goes on with the steps that do not need it."
        trace = self._trace(failed)
        where = f" The traceback is in {trace}" if trace else ""
        logger.error("%s failed: %s\n%s%s", step, failed.error, then, where)


def _let_go(error: BaseException | None) -> None:
    """Free what the frames of an error hold, such as a model on a GPU, for the steps that follow."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _no_worker(*_: object) -> Any:
    raise NotImplementedError
