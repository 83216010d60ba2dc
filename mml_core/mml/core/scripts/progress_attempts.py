"""The steps that run at once in workers, and what the workers say of them, for whoever shows the progress of a run."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import NamedTuple

from mml.core.scripts.progress_state import Live, LiveStep, read_live
from mml.core.scripts.run_files import LIVE_FILE, WORKERS_FOLDER

LOOK_SECONDS = 0.05  # of a look at the workers; those that it does not reach are the first of the next
TOLD = 200  # steps that are told to other processes


@dataclass(slots=True, eq=False)
class Attempt:
    """A step that runs, or waits for a worker.

    Attributes:
        number: of the step, from 1.
        name: command and params.
        slot: place among those that run; that of one that is over is used again, so that the others stay in theirs.
        begun: when it was handed out, on a clock that never goes back.
        worker: that does it, "" as long as nobody knows.
        live: what the worker says.
        seen: when the worker said that.
    """

    number: int
    name: str
    slot: int
    begun: float
    worker: str = ""
    live: Live | None = None
    seen: float = 0.0

    def state(self, now: float) -> LiveStep:
        """Return what is known at a time."""
        if self.live is None or self.live.elapsed is None:
            return LiveStep(self.number, self.name, self.worker, max(0.0, now - self.begun))
        step = LiveStep(self.number, self.name, self.worker, self.live.elapsed, self.live.bars)
        return step.later(max(0.0, now - self.seen))


class _Said(NamedTuple):
    """What a worker said last.

    Attributes:
        stamp: tells this file from the next.
        live: None when it can't be read.
        seen: when it was found.
    """

    stamp: tuple[int, int]
    live: Live | None
    seen: float


class Attempts:
    """The attempts at steps that go on, in workers."""

    def __init__(self) -> None:
        self._running: dict[int, Attempt] = {}
        self._free: list[int] = []
        self._folder: Path | None = None
        self._said: dict[str, _Said] = {}
        self._turn: list[str] = []
        self.used = False

    def __len__(self) -> int:
        return len(self._running)

    def running(self) -> list[Attempt]:
        """Return those that go on, by their slots."""
        return sorted(list(self._running.values()), key=lambda attempt: attempt.slot)  # noqa: C414 # threads look, too

    def begin(self, number: int, name: str) -> Attempt:
        """Take note of an attempt at a step; an earlier one at the same step is over."""
        self.used = True
        self.end(number)
        slot = heappop(self._free) if self._free else len(self._running)
        attempt = self._running[number] = Attempt(number, name, slot, time.monotonic())
        return attempt

    def end(self, number: int) -> Attempt | None:
        """Take note that the attempt at a step is over, and return it; None when there was none."""
        attempt = self._running.pop(number, None)
        if attempt is not None:
            heappush(self._free, attempt.slot)
        if not self._running:
            self._free = []
        return attempt

    def follow(self, folder: Path) -> None:
        """Learn from the workers of a run folder, whenever `look` is called."""
        self._folder = folder / WORKERS_FOLDER

    def assign(self, worker: str, number: int) -> None:
        """Take note that a worker does a step."""
        attempt = self._running.get(number)
        if attempt is not None and attempt.worker != worker:
            attempt.worker, attempt.live = worker, None

    def look(self) -> None:
        """Read what workers say, for a short time at most; what goes wrong with it is of no concern to the run."""
        if self._folder is None:
            return
        if not self._turn:
            self._turn = _names(self._folder)
            self._said = {name: self._said[name] for name in self._turn if name in self._said}
        until = time.monotonic() + LOOK_SECONDS
        while self._turn:
            self._look_at(self._turn.pop())
            if time.monotonic() >= until:
                return

    def _look_at(self, worker: str) -> None:
        assert self._folder is not None
        path = self._folder / worker
        stamp = _stamp(path / LIVE_FILE)
        before = self._said.get(worker)
        if stamp is None or (before is not None and before.stamp == stamp):
            return
        said = self._said[worker] = _Said(stamp, read_live(path), time.monotonic())
        if said.live is None:
            return
        attempt = self._running.get(said.live.step)
        if attempt is not None and said.seen >= attempt.begun and said.live.name in ("", attempt.name):
            attempt.worker, attempt.live, attempt.seen = worker, said.live, said.seen


def states(attempts: Attempts, now: float) -> list[LiveStep]:
    """Return what is known of the attempts that go on, by their slots."""
    return [attempt.state(now) for attempt in attempts.running()]


def some(steps: Sequence[LiveStep], count: int) -> list[LiveStep]:
    """Return so many of the steps in their order, rather those that a worker does than those that wait."""
    if len(steps) <= count:
        return list(steps)
    kept = sorted(range(len(steps)), key=lambda place: not steps[place].worker)[:count]
    return [steps[place] for place in sorted(kept)]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder), reverse=True)  # noqa: PTH208 # names are wanted, of a thousand of them
    except OSError:
        return []


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 # half the time of a Path's
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
