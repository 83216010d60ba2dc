"""A worker of Ray as the driver sees it, and how many attempts may wait for one that does many in no time."""

import time
from collections.abc import Mapping
from typing import Any

from mml.runners.base import Work
from mml.runners.ray_nodes import Shape

# Attempts that wait at a worker: none as soon as they take longer than this, in seconds.
_QUICK = 0.05
_DEEPEST = 16
_FADING = 0.7
# Seconds that an attempt goes on before it is written down for a later driver: most are over by then.
SETTLED = 0.25


class Slot:
    """A worker process that Ray started or is about to start: an actor.

    Args:
        actor: of Ray.
        shape: what it takes of its machine.
        named: reference of its name, which comes when it has started.

    Attributes:
        name: of the worker; empty until it has started.
        node: id of its machine, likewise.
        process: its id there.
        works: what it has to do, by reference of the report; it does the first.
        since: when it began what it does, or to have nothing to do.
    """

    def __init__(self, actor: Any, shape: Shape, named: Any) -> None:
        self.actor, self.shape, self.named = actor, shape, named
        self.name = self.node = ""
        self.process = 0
        self.works: dict[Any, Work] = {}
        self.since = time.monotonic()
        self.taken_down: set[str] = set()

    @property
    def ready(self) -> bool:
        """Whether it has started."""
        return bool(self.name)

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do."""
        return self.ready and not self.works

    @property
    def age(self) -> float:
        """Seconds since it changed what it does."""
        return time.monotonic() - self.since

    @property
    def quick(self) -> bool:
        """Whether what it does may be over in no time."""
        return bool(self.works) and self.age < 2 * _QUICK

    def start(self, work: Work, data: bytes) -> Any:
        """Let it make an attempt, after those that it has already."""
        if not self.works:
            self.since = time.monotonic()
        ref = self.actor.execute.remote(data)
        self.works[ref] = work
        return ref

    def finish(self, ref: Any) -> float:
        """Forget an attempt that is over, and return its seconds."""
        self.taken_down.discard(self.works.pop(ref).name)
        seconds, self.since = self.age, time.monotonic()
        return seconds

    def settled(self) -> list[Work]:
        """Return what it does for so long that it should be written down, each once."""
        if not self.works or self.age < SETTLED:
            return []
        new = [work for work in self.works.values() if work.name not in self.taken_down]
        self.taken_down |= {work.name for work in new}
        return new


class Pace:
    """How long attempts at the steps of each command take.

    Where they take no time, the way to the worker is most of it, and a few of them wait there; a step of a command that
    is not known to be quick never waits behind another one.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._deadly: set[str] = set()
        self._latest = ""

    def depth(self, command: str) -> int:
        """Return how many attempts at steps of a command a worker may have, the one that it does included."""
        seconds = self._seconds.get(command, _QUICK)
        if seconds >= _QUICK or command in self._deadly:
            return 1
        return max(1, min(_DEEPEST, int(_QUICK / max(seconds, 1e-4))))

    @property
    def recent(self) -> int:
        """How many attempts a worker may have, if they are like the last one that was done."""
        return self.depth(self._latest)

    def note(self, command: str, seconds: float) -> None:
        """Learn from an attempt."""
        before = self._seconds.get(command, seconds)
        self._seconds[command] = _FADING * before + (1 - _FADING) * seconds
        self._latest = command

    def note_death(self, command: str) -> None:
        """Let nothing wait any more behind a command at which a worker died."""
        self._deadly.add(command)


def total(shapes: list[Shape]) -> Shape:
    """Return the sum of what workers take."""
    return {
        name: sum(shape.get(name, 0.0) for shape in shapes) for name in {name for shape in shapes for name in shape}
    }


def with_more(amounts: Mapping[str, float], more: Mapping[str, float], sign: int = 1) -> Shape:
    """Return amounts with others added, or taken away."""
    return {name: amounts.get(name, 0.0) + sign * more.get(name, 0.0) for name in {*amounts, *more}}
