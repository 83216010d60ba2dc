"""The steps of a run: each goes to a runner when it may have its turn, is tried as often as the policy says, and is
recorded when it is done.
"""

import logging
import time
from collections import Counter
from contextlib import suppress
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import OmegaConf

from mml.core.scripts.agenda import Agenda
from mml.core.scripts.exceptions import Interrupted, PlanError, StepAccount, WorkerLostError
from mml.core.scripts.journal import Done, Started
from mml.core.scripts.resources import Resources
from mml.core.scripts.run_book import RunBook
from mml.core.scripts.run_numbers import NumbersBefore
from mml.core.scripts.run_policy import RunPolicy
from mml.core.scripts.run_resources import StepResources
from mml.core.scripts.run_steps import Scheduler, execute_step
from mml.core.scripts.run_trouble import Trouble
from mml.core.scripts.schedule import Step
from mml.report.tables import count_text, seconds_text
from mml.runners.base import Earlier, Report, Runner, RunSetup, StepOutcome, Work, WorkerSetup
from mml.runners.transport import received_error

if TYPE_CHECKING:
    from mml.core.scripts.run_dispatch import Dispatch
    from mml.core.scripts.run_records import Records
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
        detached: whether the steps go on without this process.
    """

    def __init__(
        self, scheduler: Scheduler, book: RunBook, policy: RunPolicy, runner: Runner, earlier: list[Earlier]
    ) -> None:
        self._scheduler, self._book, self._runner, self._earlier = scheduler, book, runner, earlier
        self.detached = False
        self._trouble = Trouble(book, policy, self._remove_files)
        self._resources = StepResources(scheduler.cfg)
        self._agenda = Agenda(book.record.done, lambda step: self._resources.of(step.record), early=runner.chained)
        self._checked: set[Resources] = set()
        self._planned: list[Step] = []
        self._flying: dict[int, _Flight] = {}
        self._tries: Counter[int] = Counter()
        self._later: list[tuple[float, int]] = []
        self._numbers: NumbersBefore | None = None
        # Where each step sees what it needs and no more; None as long as that is all that was done before it.
        self._records: Records | None = None
        # For steps in other processes.
        self._dispatch: Dispatch | None = None
        self._watch: WorkerWatch | None = None

    @property
    def missing(self) -> dict[int, StepAccount]:
        """Position -> what became of a step that is not done."""
        return self._trouble.missing

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
            self._extend(steps)
            return
        # Of use to runs of several processes alone.
        from mml.core.scripts.run_dispatch import Dispatch
        from mml.core.scripts.run_watch import WorkerWatch

        self._keep_records()
        self._dispatch = Dispatch(self._scheduler, self._book, self._runner, self._resources)
        attached = self._dispatch.open(self._earlier)
        self._watch = WorkerWatch(self._book.folder, self._scheduler.progress)
        self._extend(steps, {work.step: work for work in attached})

    def _extend(self, steps: list[Step], attached: dict[int, Work] | None = None) -> None:
        """Take in steps that are planned; those that are attached to go on already."""
        for need in {self._resources.of(step.record): step for step in steps}.items():
            self._check(*need)
        first, done = len(self._planned), self._agenda.done
        self._planned += steps
        in_a_row = all(step.record.after is None for step in steps) and (first or not done or max(done) < len(done))
        if self._records is None and not in_a_row:
            self._keep_records()
        elif self._records is not None:
            self._records.extend(steps)
        self._agenda.extend(steps, taken=attached or ())
        for position, work in (attached or {}).items():
            self._flying[position] = _Flight(self._planned[position], work)
            self._scheduler.progress.begin_attempt(position + 1, str(work.record))

    def _keep_records(self) -> None:
        """From now on, let steps see what those that they need changed and no more."""
        from mml.core.scripts.run_records import Records  # costs a plain run more than it is worth

        self._records = Records(self._scheduler, self._book)
        self._records.extend(self._planned)
        if self._runner.in_process:
            self._records.watch_steps_here()
            self._numbers = self._scheduler.fm.numbers_before = NumbersBefore(self._planned)

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
                self._trouble.skip(step, needed)
                self._agenda.give_up(step.position)
            elif self._dispatch is not None:
                self._submit(step, self._dispatch)
            else:
                self._submit_here(step)
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

    def _submit(self, step: Step, dispatch: "Dispatch") -> None:
        """Begin an attempt at a step, elsewhere."""
        assert self._records is not None, "steps elsewhere are recorded so"
        position = step.position
        self._tries[position] += 1
        flying = (flight.work for flight in self._flying.values())
        work = dispatch.work(step, self._tries[position], self._records, flying)
        self._book.append(Started(time=time.time(), step=position), durable=False)
        self._flying[position] = _Flight(step, work)
        self._scheduler.progress.begin_attempt(position + 1, str(step.record))
        self._runner.submit(work)

    def _submit_here(self, step: Step) -> None:
        """Make an attempt at a step in this process."""
        position = step.position
        self._tries[position] = number = self._tries[position] + 1
        self._book.step, self._book.attempt = position, number
        self._scheduler.progress.begin_step(position + 1, str(step.record))
        self._book.append(Started(time=time.time(), step=position), durable=False)
        work = Work(position, step.record, "")
        if self._records is not None:
            work = self._records.work_here(work)
        self._flying[position] = _Flight(step, work)
        try:
            self._runner.submit(work)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - raised again when it ends the run
            del self._flying[position]
            self._fail(step, error)

    def _execute(self, work: Work) -> StepOutcome:
        step = self._flying[work.step].step
        if self._numbers is not None:
            self._numbers.step = step
        return execute_step(self._scheduler, step)

    def _patience(self) -> float | None:
        """Return the seconds until there is something to do, whatever runs."""
        if self._watch is None:
            return None
        look = self._watch.seconds_left()
        return max(0.0, min(look, self._later[0][0] - time.monotonic())) if self._later else look

    # --- what comes back

    def _settle(self, report: Report) -> None:
        """Take in what came of an attempt; a report of one that was given up is of no concern."""
        flight = self._take_down(report)
        if flight is None:
            return
        if report.outcome is None:
            self._take_error(flight, report)
            return
        self._trouble.refuse_fault()
        try:
            self._record(flight, report.outcome)
        except PlanError as error:
            self._end_attempt(flight, report)
            self._fail(flight.step, error)
            return
        self._agenda.finish(report.step)
        if report.outcome.grown:
            self._extend(self._scheduler.steps_from(len(self._planned)))
            self._scheduler.progress.start_steps(len(self._planned), done=len(self._agenda.done))

    def _take_down(self, report: Report) -> _Flight | None:
        """Return the attempt that a report is of, which is over; None when it was given up before."""
        flight = self._flying.get(report.step)
        if flight is None or flight.work.attempt != report.attempt:
            return None
        return self._flying.pop(report.step)

    def _record(self, flight: _Flight, outcome: StepOutcome) -> None:
        step, progress = flight.step, self._scheduler.progress
        with self._book.guard.deferred():
            if self._records is not None:
                self._records.record(flight.work, outcome)
            else:
                self._book.append(_done(step, outcome))
            self._book.step = None
            self._scheduler.step_recorded(step)
        if self._dispatch is None:
            progress.end_step()
            return
        self._dispatch.settle(flight.work, outcome)
        progress.end_attempt(step.position + 1, done=True)

    def _take_error(self, flight: _Flight, report: Report) -> None:
        """Take in an attempt at a step that was not done.

        Raises:
            BaseException: its error, when it ends the run.
        """
        assert report.error is not None, "a report has an outcome or an error"
        error = received_error(report.error)
        if report.error.interrupted:
            # Nobody here asked for it: to the run, the worker is as good as lost.
            error = WorkerLostError(f"worker {report.worker} was asked to stop by {error}.")
        self._end_attempt(flight, report)
        if report.error.misfit:
            self._book.step = report.step
            raise error
        self._fail(flight.step, error)

    def _end_attempt(self, flight: _Flight, report: Report) -> None:
        """Remove what an attempt elsewhere left that did not do its step."""
        if self._dispatch is not None:
            self._dispatch.clean(flight.work, report)
            self._scheduler.progress.end_attempt(report.step + 1, done=False)

    def _fail(self, step: Step, error: BaseException) -> None:
        """Let a step have its turn again whose attempt failed, or go on without it.

        Raises:
            BaseException: the error, when it ends the run.
        """
        position = step.position
        pause = self._trouble.fail(step, error, self._tries[position])
        if pause is None:
            self._agenda.give_up(position)
        elif self._dispatch is None:
            self._book.guard.pause(pause)
            self._agenda.again(position)
        else:
            heappush(self._later, (time.monotonic() + pause, position))

    def _remove_files(self, step: Step) -> None:
        """Remove what an attempt in this process left; one elsewhere has a list of its own."""
        if self._dispatch is not None:
            return
        fm, record = self._scheduler.fm, self._book.catch_up()
        for text in record.paths_of_attempt(step.position):
            fm.remove_half_written(fm.roots.to_path(text))
        record.announced.pop(step.position, None)
        fm.open_run(self._book.folder)  # which counts files anew, so that numbers that are free again are used

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
        except Exception:  # noqa: BLE001 - what ends the run says more
            logger.warning("Steps could not be stopped in order; they are ended.", exc_info=True)

    def _settle_last(self, report: Report) -> None:
        """Take in what came of an attempt while the run ends; a signal that is on its way has been heard."""
        if (flight := self._take_down(report)) is None:
            return
        with suppress(Interrupted, PlanError):
            if report.outcome is not None:
                self._record(flight, report.outcome)
            else:
                self._end_attempt(flight, report)

    def _close(self) -> None:
        self._runner.close()
        self._scheduler.fm.numbers_before = None
        if self._records is not None:
            self._records.close()
        if self._dispatch is not None and not self.detached:
            self._dispatch.close()
        if self._watch is not None:
            self._watch.close()


def _done(step: Step, outcome: StepOutcome) -> Done:
    return Done(
        time=time.time(),
        step=step.position,
        seconds=outcome.seconds,
        tasks=outcome.tasks,
        value=outcome.value,
        grown=outcome.grown,
    )


def _no_worker(*_: object) -> Any:
    msg = "a runner of this process needs no worker"
    raise AssertionError(msg)
