"""The steps of a run: each goes to a runner when it may have its turn, is tried as often as the policy says, and is
recorded when it is done.
"""

import logging
import time
import traceback
from collections import Counter
from contextlib import suppress
from heapq import heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import OmegaConf

from mml.core.scripts.agenda import Agenda
from mml.core.scripts.exceptions import Interrupted, PlanError, StepAccount, WorkerLostError
from mml.core.scripts.journal import Done, Failed, Skipped, Started
from mml.core.scripts.resources import Resources
from mml.core.scripts.run_book import RunBook
from mml.core.scripts.run_failure import failure
from mml.core.scripts.run_numbers import NumbersBefore
from mml.core.scripts.run_policy import RunPolicy, fails_a_step
from mml.core.scripts.run_resources import StepResources
from mml.core.scripts.run_steps import Scheduler, execute_step
from mml.core.scripts.schedule import Step
from mml.report.tables import count_text, seconds_text
from mml.runners.base import Earlier, Report, Runner, RunSetup, StepOutcome, Work, WorkerSetup
from mml.runners.transport import received_error

if TYPE_CHECKING:
    from mml.core.scripts.run_dispatch import Dispatch
    from mml.core.scripts.run_watch import WorkerWatch

logger = logging.getLogger(__name__)

# Seconds that workers get to stop, unless `runner.grace` says otherwise.
GRACE = 30.0


class _Flight(NamedTuple):
    """An attempt that goes on."""

    step: Step
    work: Work


class RunLoop:
    """Does the steps of a plan that remain.

    Args:
        scheduler: whose steps they are.
        book: where they are recorded.
        policy: what to do about a step that fails.
        runner: where steps run.
        earlier: attempts of an earlier process that the runner may go on with.

    Attributes:
        missing: position -> what became of a step that is not done.
        detached: whether the steps go on without this process.
    """

    def __init__(
        self, scheduler: Scheduler, book: RunBook, policy: RunPolicy, runner: Runner, earlier: list[Earlier]
    ) -> None:
        self._scheduler, self._book, self._policy, self._runner = scheduler, book, policy, runner
        self._earlier = earlier
        self.missing: dict[int, StepAccount] = {}
        self.detached = False
        self._resources = StepResources(scheduler.cfg)
        self._agenda = Agenda(book.record.done, lambda step: self._resources.of(step.record), early=runner.chained)
        self._checked: set[Resources] = set()
        self._steps: dict[int, Step] = {}
        self._planned = 0
        self._flying: dict[int, _Flight] = {}
        self._tries: Counter[int] = Counter()
        self._failures: Counter[int] = Counter()
        self._losses: Counter[int] = Counter()
        self._later: list[tuple[float, int]] = []
        self._dispatch: Dispatch | None = None
        self._watch: WorkerWatch | None = None
        self._numbers: NumbersBefore | None = None

    def run(self, steps: list[Step]) -> None:
        """Do what remains of a plan; a step may add steps to it, so it is read on until it ends.

        Raises:
            Exception: that of a step, when it ends the run.
            OSError: the journal can't be written.
            Interrupted: a signal came, also while waiting for the next attempt.
            RunnerError: the runner is lost.
            MMLMisconfigurationException: the runner can't be used, or a step needs what nobody has.
        """
        self._scheduler.progress.start_steps(len(steps), done=len(self._book.record.done))
        try:
            self._open(steps)
            while self._fill():
                for report in self._runner.wait(self._patience()):
                    self._settle(report)
                if self._watch is not None:
                    self._watch.look()
        except BaseException:
            self._stop()
            raise
        finally:
            self._close()

    # --- from the first step to the last

    def _open(self, steps: list[Step]) -> None:
        """Get the runner ready, and take up the attempts that go on from an earlier process."""
        self._resources.refuse_unknown(step.record.command for step in steps)
        if self._runner.in_process:
            setup = WorkerSetup(str(self._book.folder), {})
            self._runner.open(RunSetup(self._book.folder, _no_worker, setup, self._execute, lambda *_: None))
            if any(done.attempt for done in self._book.record.done.values()):
                # Steps may be done out of turn, by workers of an earlier process.
                self._numbers = self._scheduler.fm.numbers_before = NumbersBefore(steps)
            self._extend(steps)
            return
        # Of use to runs of several processes alone.
        from mml.core.scripts.run_dispatch import Dispatch
        from mml.core.scripts.run_watch import WorkerWatch

        self._dispatch = Dispatch(self._scheduler, self._book, self._runner, self._resources)
        attached = self._dispatch.open(self._earlier)
        self._watch = WorkerWatch(self._book.folder, self._scheduler.progress)
        self._extend(steps, {work.step: work for work in attached})

    def _extend(self, steps: list[Step], attached: dict[int, Work] | None = None) -> None:
        """Take in steps that are planned; those that are attached to go on already."""
        self._planned += len(steps)
        for need in {self._resources.of(step.record): step for step in steps}.items():
            self._check(*need)
        if self._dispatch is not None:
            self._dispatch.extend(steps)
        self._agenda.extend(steps, taken=attached or ())
        for step in steps if attached else ():
            if work := attached and attached.get(step.position):
                self._begin(step, work)

    def _check(self, need: Resources, step: Step) -> None:
        if need not in self._checked:
            self._runner.check(need, str(step))
            self._checked.add(need)

    def _fill(self) -> bool:
        """Submit all that may have its turn and finds room; return whether there is something to wait for."""
        while self._later and self._later[0][0] <= time.monotonic():
            self._agenda.again(heappop(self._later)[1])
        while (step := self._agenda.next(self._runner.has_room)) is not None:
            if (needed := self._agenda.missing_need(step)) is not None:
                self._skip(step, needed)
            else:
                self._submit(step)
                if self._runner.in_process:
                    break
        if self._runner.detaches and not self._later:
            self.detached = bool(self._flying)
            return False
        if self._flying or self._later or self._agenda.ready:
            return True
        if len(self._agenda):
            msg = f"{count_text(len(self._agenda), 'step')} can't have their turn, as they wait for one another."
            raise PlanError(msg)
        return False

    def _submit(self, step: Step) -> None:
        """Begin an attempt at a step."""
        position = step.position
        self._tries[position] = number = self._tries[position] + 1
        if self._dispatch is None:
            self._book.step, self._book.attempt = position, number
            self._scheduler.progress.begin_step(position + 1, str(step.record))
            work = Work(position, step.record, "")
        else:
            work = self._dispatch.work(step, number, (flight.work for flight in self._flying.values()))
        self._book.append(Started(time=time.time(), step=position), durable=False)
        self._flying[position] = _Flight(step, work)
        if self._dispatch is None:
            self._submit_here(step, work)
        else:
            self._scheduler.progress.begin_attempt(position + 1, str(step.record))
            self._runner.submit(work)

    def _submit_here(self, step: Step, work: Work) -> None:
        try:
            self._runner.submit(work)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - raised again when it ends the run
            del self._flying[step.position]
            self._fail(step, error)

    def _begin(self, step: Step, work: Work) -> None:
        """Go on with an attempt of an earlier process."""
        self._flying[step.position] = _Flight(step, work)
        self._scheduler.progress.begin_attempt(step.position + 1, str(step.record))

    def _patience(self) -> float | None:
        """Return the seconds until there is something to do, whatever runs."""
        if self._watch is None:
            return None
        retry = self._later[0][0] - time.monotonic() if self._later else self._watch.seconds_left()
        return max(0.0, min(retry, self._watch.seconds_left()))

    # --- what comes back

    def _execute(self, work: Work) -> StepOutcome:
        step = self._flying[work.step].step
        if self._numbers is not None:
            self._numbers.step = step
        return execute_step(self._scheduler, step)

    def _settle(self, report: Report) -> None:
        """Take in what came of an attempt; a report of one that was given up is of no concern."""
        flight = self._flying.get(report.step)
        if flight is None or flight.work.attempt != report.attempt:
            return
        del self._flying[report.step]
        step = flight.step
        if report.outcome is None:
            self._take_error(flight, report)
            return
        self._refuse_fault()
        try:
            self._record(flight, report.outcome)
        except PlanError as error:
            self._end_attempt(flight, report.worker, over=True)
            self._fail(step, error)
            return
        self._agenda.finish(step.position)
        if report.outcome.grown:
            grown = self._scheduler.steps_from(self._planned)
            self._extend(grown)
            self._scheduler.progress.start_steps(self._planned, done=len(self._agenda.done))

    def _record(self, flight: _Flight, outcome: StepOutcome) -> None:
        step = flight.step
        with self._book.guard.deferred():
            if self._dispatch is not None:
                self._dispatch.record(flight.work, outcome)
            else:
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
        if self._dispatch is not None:
            self._scheduler.progress.end_attempt(step.position + 1, done=True)
        else:
            self._scheduler.progress.end_step()

    def _take_error(self, flight: _Flight, report: Report) -> None:
        """Take in an attempt at a step that was not done."""
        sent = report.error
        assert sent is not None, "a report has an outcome or an error"
        error = received_error(sent)
        if sent.interrupted:
            # Nobody here asked for it: to the run, the worker is as good as lost.
            error = WorkerLostError(f"worker {report.worker} was asked to stop by {error}.")
        self._end_attempt(flight, report.worker, over=not sent.lost)
        if sent.misfit:
            self._book.step = flight.step.position
            raise error
        self._fail(flight.step, error)

    def _end_attempt(self, flight: _Flight, worker: str, *, over: bool) -> None:
        assert self._dispatch is not None, "an attempt elsewhere"
        self._dispatch.clean(flight.work, worker, over=over)
        self._scheduler.progress.end_attempt(flight.step.position + 1, done=False)

    # --- what is not done

    def _skip(self, step: Step, needed: int) -> None:
        """Record that a step is not tried, because it needs one that is missing."""
        other = self.missing[needed]
        reason = f"needs {other.step}, which {'was skipped' if other.skipped else 'failed'}"
        self.missing[step.position] = StepAccount(str(step), "skipped", reason)
        self._book.append(Skipped(time=time.time(), step=step.position, needs=needed))
        self._agenda.give_up(step.position)
        logger.warning("%s is skipped: it %s.", step, reason)

    def _fail(self, step: Step, error: BaseException) -> None:
        """Try a step again whose attempt failed, or go on without it.

        Raises:
            BaseException: the error, when it ends the run.
        """
        counter = self._losses if isinstance(error, WorkerLostError) else self._failures
        counter[step.position] += 1
        number, tries = counter[step.position], self._tries[step.position]
        if self._ends_run(error, number):
            self._book.step, self._book.attempt = step.position, tries
            raise error
        again = self._policy.tries_again(error, number)
        self._undo(step, error, again)
        if not again:
            self._agenda.give_up(step.position)
        elif self._dispatch is None:
            self._book.guard.pause(self._policy.pause_after(number))
            self._agenda.again(step.position)
        else:
            heappush(self._later, (time.monotonic() + self._policy.pause_after(number), step.position))

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
            tries = self._tries[step.position]
            failed = failure(error, step.position, self._book.folder, attempt=tries, goes_on=True)
            self._book.append(failed)
            if self._dispatch is None:
                self._remove_files(step)
            if not again:
                self.missing[step.position] = self._account(step, failed)
                self._book.step = None
        self._tell(step, failed, error, again)
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

    def _tell(self, step: Step, failed: Failed, error: BaseException, again: bool) -> None:
        if again:
            number = (self._losses if isinstance(error, WorkerLostError) else self._failures)[step.position]
            left = count_text(self._policy.retries_after(error) - number + 1, "more attempt")
            then = f"It is tried again in {seconds_text(self._policy.pause_after(number))}, with {left}."
        else:
            then = "The run goes on with the steps that do not need it."
        trace = self._trace(failed)
        where = f" The traceback is in {trace}" if trace else ""
        logger.error("%s failed: %s\n%s%s", step, failed.error, then, where)

    # --- the end

    def _stop(self) -> None:
        """Let attempts elsewhere stop where they can go on from, and record what is done meanwhile."""
        if self._dispatch is None or not self._flying:
            return
        grace = float(OmegaConf.select(self._scheduler.cfg, "runner.grace", default=None) or GRACE)
        logger.info("Stopping %s, for at most %s.", count_text(len(self._flying), "step"), seconds_text(grace))
        try:
            self._runner.interrupt()
            end = time.monotonic() + grace
            while self._flying and (left := end - time.monotonic()) > 0:
                for report in self._runner.wait(min(left, 1.0)):
                    self._settle_last(report)
        except Exception:  # what ends the run says more
            logger.warning("Steps could not be stopped in order; they are ended.", exc_info=True)

    def _settle_last(self, report: Report) -> None:
        """Take in what came of an attempt while the run ends; a signal that is on its way has been heard."""
        flight = self._flying.get(report.step)
        if flight is None or flight.work.attempt != report.attempt:
            return
        del self._flying[report.step]
        with suppress(Interrupted, PlanError):
            if report.outcome is not None:
                self._record(flight, report.outcome)
            else:
                self._end_attempt(flight, report.worker, over=report.error is None or not report.error.lost)

    def _close(self) -> None:
        self._runner.close()
        if self._dispatch is not None:
            if not self.detached:
                self._dispatch.close()
            if self._watch is not None:
                self._watch.close()


def _let_go(error: BaseException | None) -> None:
    """Free what the frames of an error hold, such as a model on a GPU, for the steps that follow."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _no_worker(*_: object) -> Any:
    msg = "a runner of this process needs no worker"
    raise AssertionError(msg)
