"""The steps of a run where they run in other processes: several at a time, and any of them may be lost on the way."""

import logging
import time
from contextlib import suppress
from heapq import heappop, heappush

from omegaconf import OmegaConf

from mml.core.scripts.exceptions import Interrupted, PlanError
from mml.core.scripts.journal import Started
from mml.core.scripts.run_book import RunBook
from mml.core.scripts.run_dispatch import Dispatch
from mml.core.scripts.run_loop import Flight, RunLoop
from mml.core.scripts.run_policy import RunPolicy
from mml.core.scripts.run_steps import Scheduler
from mml.core.scripts.run_watch import WorkerWatch
from mml.core.scripts.schedule import Step
from mml.report.tables import count_text, seconds_text
from mml.runners.base import Earlier, Report, Runner, StepOutcome

logger = logging.getLogger(__name__)

# Seconds that workers get to stop, unless `runner.grace` says otherwise.
GRACE = 30.0


class ElsewhereLoop(RunLoop):
    """Does the steps of a plan that remain, in other processes.

    Args:
        scheduler: whose steps they are.
        book: where they are recorded.
        policy: what to do about a step that fails.
        runner: where steps run.
        earlier: attempts of an earlier process that the runner may go on with.
    """

    def __init__(
        self, scheduler: Scheduler, book: RunBook, policy: RunPolicy, runner: Runner, earlier: list[Earlier]
    ) -> None:
        super().__init__(scheduler, book, policy, runner)
        self._earlier = earlier
        self._later: list[tuple[float, int]] = []
        self._dispatch = Dispatch(scheduler, book, runner, self._resources)
        self._watch = WorkerWatch(book.folder, scheduler.progress)

    def _open(self, steps: list[Step]) -> None:
        """Get the runner ready, and take up the attempts that go on from an earlier process."""
        self._resources.refuse_unknown(step.record.command for step in steps)
        self._keep_records()
        attached = {work.step: work for work in self._dispatch.open(self._earlier)}
        self._extend(steps, attached)
        for position, work in attached.items():
            self._flying[position] = Flight(self._planned[position], work)
            self._scheduler.progress.begin_attempt(position + 1, str(work.record))

    def _fill(self) -> bool:
        while self._later and self._later[0][0] <= time.monotonic():
            self._agenda.again(heappop(self._later)[1])
        goes_on = super()._fill()
        if self._runner.detaches and not self._later:
            for report in self._runner.wait(0):  # which returns when all is submitted
                self._settle(report)
            if self._later or self._agenda.ready:
                return True
            self.detached = bool(self._flying)
            return False
        return goes_on

    def _goes_on(self) -> bool:
        return bool(self._later) or super()._goes_on()

    def _begin(self, step: Step) -> None:
        """Begin an attempt at a step."""
        assert self._records is not None, "steps elsewhere are recorded so"
        position = step.position
        self._tries[position] += 1
        flying = (flight.work for flight in self._flying.values())
        work = self._dispatch.work(step, self._tries[position], self._records, flying)
        self._book.note(Started(time=time.time(), step=position))
        self._flying[position] = Flight(step, work)
        self._scheduler.progress.begin_attempt(position + 1, str(step.record))
        self._runner.submit(work)

    def _patience(self) -> float | None:
        """Return the seconds until there is something to do, whatever runs."""
        self._book.flush()
        look = self._watch.seconds_left()
        return max(0.0, min(look, self._later[0][0] - time.monotonic())) if self._later else look

    def _use_room(self) -> None:
        if self._inbox[0].outcome is not None and not self._runner.detaches:
            self._submit_ready()

    def _look(self) -> None:
        self._watch.look()

    def _end_well(self, flight: Flight, outcome: StepOutcome) -> None:
        self._dispatch.settle(flight.work, outcome)
        self._scheduler.progress.end_attempt(flight.step.position + 1, done=True)

    def _end_badly(self, flight: Flight, report: Report) -> None:
        self._dispatch.clean(flight.work, report)
        self._scheduler.progress.end_attempt(report.step + 1, done=False)

    def _explain(self, error: BaseException, report: Report) -> None:
        self._watch.explain(error, report.worker)

    def _put_off(self, position: int, pause: float) -> None:
        heappush(self._later, (time.monotonic() + pause, position))

    def _remove_files(self, step: Step) -> None:
        """Do nothing: an attempt elsewhere has a list of its files, and they went with it."""

    def _stop(self) -> None:
        """Let attempts elsewhere stop where they can go on from, and record what is done meanwhile."""
        if not self._flying:
            return
        grace = float(OmegaConf.select(self._scheduler.cfg, "runner.grace", default=None) or GRACE)
        logger.info("Stopping %s, for at most %s.", count_text(len(self._flying), "step"), seconds_text(grace))
        try:
            while self._inbox:
                self._settle_last(self._inbox.popleft())
            self._runner.interrupt()
            end = time.monotonic() + grace
            while self._flying and (left := end - time.monotonic()) > 0:
                for report in self._runner.wait(min(left, 1.0)):
                    self._settle_last(report)
                self._watch.look()
        except Exception:  # noqa: BLE001 - what ends the run says more
            logger.warning("Steps could not be stopped in order; they are ended.", exc_info=True)

    def _settle_last(self, report: Report) -> None:
        """Take in what came of an attempt while the run ends; a signal that is on its way has been heard."""
        if (flight := self._take_down(report)) is None:
            return
        to_blame = self._book.step
        with suppress(Interrupted, PlanError):
            if report.outcome is not None:
                self._record(flight, report.outcome)
            else:
                self._end_badly(flight, report)
        self._book.step = to_blame  # the step that ends the run, not one that was done meanwhile

    def _close(self) -> None:
        super()._close()
        if not self.detached:
            self._dispatch.close()
        self._watch.close()
