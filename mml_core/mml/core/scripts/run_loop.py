"""The steps of a run: each goes to a runner when it may have its turn, is tried as often as the policy says, and is
recorded when it is done.
"""

import time
from collections import Counter, deque
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from mml.core.scripts.agenda import Agenda
from mml.core.scripts.exceptions import PlanError, StepAccount, WorkerLostError
from mml.core.scripts.journal import Done, Started
from mml.core.scripts.resources import Resources
from mml.core.scripts.run_book import RunBook
from mml.core.scripts.run_numbers import NumbersBefore
from mml.core.scripts.run_policy import RunPolicy
from mml.core.scripts.run_resources import StepResources
from mml.core.scripts.run_steps import Scheduler, execute_step
from mml.core.scripts.run_trouble import Trouble
from mml.core.scripts.schedule import Step
from mml.report.tables import count_text
from mml.runners.base import Report, Runner, RunSetup, StepOutcome, Work, WorkerSetup
from mml.runners.transport import received_error

if TYPE_CHECKING:
    from mml.core.scripts.run_records import Records


class Flight(NamedTuple):
    """An attempt that goes on."""

    step: Step
    work: Work


class RunLoop:
    """Does the steps of a plan that remain.

    Args:
        scheduler: whose steps they are.
        book: where they are recorded.
        policy: what to do about a step that fails.
        runner: where steps run: in this process.

    Attributes:
        detached: whether the steps go on without this process.
    """

    def __init__(self, scheduler: Scheduler, book: RunBook, policy: RunPolicy, runner: Runner) -> None:
        self._scheduler, self._book, self._runner = scheduler, book, runner
        self.detached = False
        self._trouble = Trouble(book, policy, self._remove_files)
        self._resources = StepResources(scheduler.cfg)
        self._agenda = Agenda(book.record.done, lambda step: self._resources.of(step.record), early=runner.chained)
        self._checked: set[Resources] = set()
        self._planned: list[Step] = []
        self._flying: dict[int, Flight] = {}
        # Reports that are not taken in yet: when one of them ends the run, the others still count.
        self._inbox: deque[Report] = deque()
        self._tries: Counter[int] = Counter()
        self._numbers: NumbersBefore | None = None
        # Where each step sees what it needs and no more; None as long as that is all that was done before it.
        self._records: Records | None = None

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
                self._inbox += self._runner.wait(self._patience())
                while self._inbox:
                    self._use_room()
                    self._settle(self._inbox[0])
                    self._inbox.popleft()
                self._look()
        except BaseException:
            self._stop()
            raise
        finally:
            self._close()

    # --- from the first step to the last

    def _open(self, steps: list[Step]) -> None:
        """Get the runner ready."""
        self._resources.refuse_unknown(step.record.command for step in steps)
        setup = WorkerSetup(str(self._book.folder), {})
        self._runner.open(RunSetup(self._book.folder, _no_worker, setup, self._execute, lambda *_: None))
        self._extend(steps)

    def _extend(self, steps: list[Step], taken: Collection[int] = ()) -> None:
        """Take in steps that are planned; those that are taken go on already."""
        for need in {self._resources.of(step.record): step for step in steps}.items():
            self._check(*need)
        first, done = len(self._planned), self._agenda.done
        self._planned += steps
        in_a_row = all(step.record.after is None for step in steps) and (first or not done or max(done) < len(done))
        if self._records is None and not in_a_row:
            self._keep_records()
        elif self._records is not None:
            self._records.extend(steps)
        self._agenda.extend(steps, taken)

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
        self._submit_ready()
        if self._goes_on():
            return True
        if len(self._agenda):
            msg = f"{count_text(len(self._agenda), 'step')} can't have their turn, as they wait for one another."
            raise PlanError(msg)
        return False

    def _submit_ready(self) -> None:
        while (step := self._agenda.next(self._runner.has_room)) is not None:
            if (needed := self._agenda.missing_need(step)) is not None:
                self._trouble.skip(step, needed)
                self._agenda.give_up(step.position)
            else:
                self._begin(step)

    def _goes_on(self) -> bool:
        """Tell whether any step goes on or may have its turn."""
        return bool(self._flying) or self._agenda.ready

    def _begin(self, step: Step) -> None:
        """Begin an attempt at a step; in this process, it is over then."""
        position = step.position
        self._tries[position] = number = self._tries[position] + 1
        self._book.step, self._book.attempt = position, number
        self._scheduler.progress.begin_step(position + 1, str(step.record))
        self._book.append(Started(time=time.time(), step=position), durable=False)
        work = Work(position, step.record, "")
        if self._records is not None:
            work = self._records.work_here(work)
        self._flying[position] = Flight(step, work)
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
        """Return the seconds until there is something to do, whatever runs; None when there is nothing else."""
        return None

    def _use_room(self) -> None:
        """Begin what there is room for, before what came back is recorded, which waits for the disk."""

    def _look(self) -> None:
        """Look at what goes on, now and then."""

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
            self._end_badly(flight, report)
            self._fail(flight.step, error)
            return
        self._agenda.finish(report.step)
        if report.outcome.grown:
            self._extend(self._scheduler.steps_from(len(self._planned)))
            self._scheduler.progress.start_steps(len(self._planned), done=len(self._agenda.done))

    def _take_down(self, report: Report) -> Flight | None:
        """Return the attempt that a report is of, which is over; None when it was given up before."""
        flight = self._flying.get(report.step)
        if flight is None or flight.work.attempt != report.attempt:
            return None
        return self._flying.pop(report.step)

    def _record(self, flight: Flight, outcome: StepOutcome) -> None:
        step = flight.step
        with self._book.guard.deferred():
            if self._records is not None:
                self._records.record(flight.work, outcome)
            else:
                self._book.append(_done(step, outcome))
            self._book.step = None
            self._scheduler.step_recorded(step)
        self._end_well(flight, outcome)

    def _take_error(self, flight: Flight, report: Report) -> None:
        """Take in an attempt at a step that was not done.

        Raises:
            BaseException: its error, when it ends the run.
        """
        assert report.error is not None, "a report has an outcome or an error"
        error = received_error(report.error)
        if report.error.interrupted:
            # Nobody here asked for it: to the run, the worker is as good as lost.
            error = WorkerLostError(f"worker {report.worker} was asked to stop by {error}.")
        self._explain(error, report)
        self._end_badly(flight, report)
        if report.error.misfit:
            self._book.step = report.step
            raise error
        self._fail(flight.step, error)

    def _end_well(self, flight: Flight, outcome: StepOutcome) -> None:  # noqa: ARG002 # for steps elsewhere
        """Take note that an attempt has done its step, as is recorded."""
        self._scheduler.progress.end_step()

    def _explain(self, error: BaseException, report: Report) -> None:
        """Say more of an error of a step that ran elsewhere."""

    def _end_badly(self, flight: Flight, report: Report) -> None:
        """Take note that an attempt has not done its step."""

    def _fail(self, step: Step, error: BaseException) -> None:
        """Let a step have its turn again whose attempt failed, or go on without it.

        Raises:
            BaseException: the error, when it ends the run.
        """
        position = step.position
        pause = self._trouble.fail(step, error, self._tries[position])
        if pause is None:
            self._agenda.give_up(position)
        else:
            self._put_off(position, pause)

    def _put_off(self, position: int, pause: float) -> None:
        """Let a step have its turn again after so many seconds."""
        self._book.guard.pause(pause)
        self._agenda.again(position)

    def _remove_files(self, step: Step) -> None:
        """Remove what the last attempt at a step left."""
        fm, record = self._scheduler.fm, self._book.catch_up()
        for text in record.paths_of_attempt(step.position):
            fm.remove_half_written(fm.roots.to_path(text))
        record.announced.pop(step.position, None)
        fm.open_run(self._book.folder)  # which counts files anew, so that numbers that are free again are used

    # --- the end

    def _stop(self) -> None:
        """Let what goes on stop, because the run ends; in this process, nothing does."""

    def _close(self) -> None:
        self._runner.close()
        self._scheduler.fm.numbers_before = None
        if self._records is not None:
            self._records.close()


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
