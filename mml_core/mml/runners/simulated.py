"""A runner in virtual time that does no work: it shows how the driver behaves with more workers than there are here.

Attempts get durations, failures and lost workers at random, and `wait` jumps to the moment when the next one ends.
"""

import heapq
import random
import signal
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from mml.core.scripts.resources import Resources
from mml.runners.base import Report, RunSetup, SentError, StepOutcome, Work
from mml.runners.transport import lost_report


class Chances(NamedTuple):
    """What becomes of attempts; shares are from 0 to 1.

    Attributes:
        seconds: median of their durations.
        spread: standard deviation of the logarithm of the durations.
        stragglers: share of those that take `slowdown` times as long.
        slowdown: of stragglers.
        failures: share of those that fail at their end.
        losses: share of those whose worker dies half-way.
    """

    seconds: float = 60.0
    spread: float = 0.5
    stragglers: float = 0.02
    slowdown: float = 8.0
    failures: float = 0.0
    losses: float = 0.0


class _Ending(NamedTuple):
    """When an attempt ends, and how; ordered by time, then by the order in which attempts began."""

    time: float
    number: int
    report: Report


class SimulatedRunner:
    """Pretends to run steps; nothing is done, and no file is made.

    Args:
        workers: how many attempts go on at the same time.
        seed: of all that is drawn; what becomes of an attempt depends on the seed and the name of the attempt alone.
        chances: what becomes of attempts.
        back: seconds until a worker that died is replaced.

    Attributes:
        now: the virtual time, in seconds.
        busy: seconds that all workers together have worked, on attempts that were lost or failed, too.
        reported: number of attempts that have ended.
    """

    in_process: ClassVar[bool] = False
    fenced: ClassVar[bool] = False
    chained = False
    detaches = False

    def __init__(self, workers: int = 1000, seed: int = 0, chances: Chances | None = None, back: float = 30.0) -> None:
        self.workers, self.seed, self.chances, self.back = workers, seed, chances or Chances(), back
        self.now = self.busy = 0.0
        self.reported = 0
        self._free = workers
        self._begun = 0
        self._endings: list[_Ending] = []
        self._returning: list[float] = []

    def open(self, run: RunSetup) -> list[Work]:  # noqa: ARG002 # nothing of a run is needed
        """Get ready; nothing of an earlier process goes on."""
        return []

    def check(self, resources: Resources, what: str) -> None:
        """Find that the step can be done: a worker has whatever is asked for."""

    def has_room(self, resources: Resources) -> bool:  # noqa: ARG002 # an attempt has a worker of its own
        """Tell whether a worker is idle."""
        return self._free > 0

    def submit(self, work: Work) -> None:
        """Begin an attempt, whose end is known at once."""
        self._free -= 1
        self._begun += 1
        seconds, report = self._fate(work)
        self.busy += seconds
        heapq.heappush(self._endings, _Ending(self.now + seconds, self._begun, report))

    def wait(self, seconds: float | None) -> list[Report]:
        """Jump to the end of the next attempt, at most `seconds` ahead, and return the reports of that moment.

        Where a worker comes back before, it is that moment, without a report: there is room again.
        """
        moments = [] if seconds is None else [self.now + seconds]
        moments += [self._endings[0].time] if self._endings else []
        moments += self._returning[:1]
        if moments:
            self._jump(min(moments))
        return list(self._ended())

    def interrupt(self) -> None:
        """Let all attempts end now, interrupted."""
        number = int(signal.SIGTERM)
        error = SentError(text=f"interrupted by signal {number}", interrupted=number)
        self._endings = [
            ending._replace(time=self.now, report=Report(ending.report.step, ending.report.attempt, error=error))
            for ending in self._endings
        ]
        heapq.heapify(self._endings)

    def close(self) -> None:
        """Forget all that still goes on."""
        self._endings.clear()
        self._free = self.workers

    def _fate(self, work: Work) -> tuple[float, Report]:
        """Return how long an attempt takes, and what is reported at its end."""
        draw, chances = random.Random(f"{self.seed} {work.name}"), self.chances
        seconds = chances.seconds * draw.lognormvariate(0.0, chances.spread)
        if draw.random() < chances.stragglers:
            seconds *= chances.slowdown
        fate, worker = draw.random(), f"worker-{self._begun % self.workers}"
        if fate < chances.losses:
            return seconds / 2, lost_report(work, f"Worker {worker} died, as simulated.", worker)
        if fate < chances.losses + chances.failures:
            error = SentError(text="RuntimeError: failed, as simulated")
            return seconds, Report(work.step, work.attempt, error=error, worker=worker)
        return seconds, Report(work.step, work.attempt, StepOutcome(seconds=round(seconds, 6)), worker=worker)

    def _ended(self) -> Iterator[Report]:
        """Yield the reports of this moment."""
        while self._endings and self._endings[0].time <= self.now:
            report = heapq.heappop(self._endings).report
            self.reported += 1
            if report.error is not None and report.error.lost:
                heapq.heappush(self._returning, self.now + self.back)
            else:
                self._free += 1
            yield report

    def _jump(self, time: float) -> None:
        """Set the clock, and let workers come back that are replaced by then."""
        self.now = max(self.now, time)
        while self._returning and self._returning[0] <= self.now:
            heapq.heappop(self._returning)
            self._free += 1
