"""Agenda: which steps of a plan may have their turn, because all that they need are over. Values alone, no disk."""

from collections.abc import Callable, Collection, Iterable
from heapq import heappop, heappush

from mml.core.scripts.resources import Resources
from mml.core.scripts.schedule import Step


class Agenda:
    """The steps of a plan that are not done.

    A step is handed out once, when those that it needs are done; or, when one of these is missing, to be skipped. It
    comes back with `again`. Of those that may have their turn, the first in the plan is handed out that finds room.

    Args:
        done: positions of steps that are done; those that become so are added by `finish`.
        need: what a step needs of a machine.
        early: hand out a step as soon as those that it needs are handed out, and let the runner keep it back.

    Attributes:
        done: positions of all steps that are done.
    """

    def __init__(self, done: Iterable[int], need: Callable[[Step], Resources], *, early: bool = False) -> None:
        self.done = {*done}
        self._need = need
        self._early = early
        self._steps: dict[int, Step] = {}
        self._open: dict[int, int] = {}
        self._dependents: dict[int, list[int]] = {}
        self._missing: set[int] = set()
        self._taken: set[int] = set()
        self._ready: dict[Resources | None, list[int]] = {}

    @property
    def ready(self) -> bool:
        """Whether any step may have its turn."""
        return any(self._ready.values())

    def __len__(self) -> int:
        """Return the number of steps that are neither done nor missing."""
        return len(self._steps)

    def extend(self, steps: Iterable[Step], taken: Collection[int] = ()) -> None:
        """Add steps of the plan; those that are done already count as such, and those that are taken are out."""
        for step in steps:
            if step.position not in self.done:
                self._steps[step.position] = step
                if step.position not in taken:
                    self._wait(step)
                elif self._early:
                    self._taken.add(step.position)

    def next(self, has_room: Callable[[Resources], bool]) -> Step | None:
        """Hand out the first step that may have its turn and that there is room for; None without one."""
        heads = sorted((heap[0], need) for need, heap in self._ready.items() if heap) if len(self._ready) > 1 else None
        for position, need in heads if heads is not None else self._only_head():
            if need is None or has_room(need):
                heappop(self._ready[need])
                if self._early:
                    self._taken.add(position)
                    self._loosen(position)
                return self._steps[position]
        return None

    def missing_need(self, step: Step) -> int | None:
        """Return the first step, of those that a step needs, that is missing; None when none is."""
        if not self._missing:
            return None
        return next((needed for needed in step.needs if needed in self._missing), None)

    def finish(self, position: int) -> None:
        """Take note that a step is done."""
        self.done.add(position)
        self._drop(position)

    def give_up(self, position: int) -> None:
        """Take note that a step will not be done: those that need it are skipped."""
        self._missing.add(position)
        self._drop(position)

    def again(self, position: int) -> None:
        """Let a step that was handed out have its turn once more."""
        self._taken.discard(position)
        self._wait(self._steps[position])

    def _only_head(self) -> list[tuple[int, Resources | None]]:
        return [(heap[0], need) for need, heap in self._ready.items() if heap]

    def _wait(self, step: Step) -> None:
        """Wait for those that a step needs and that are not over, if there are any."""
        over = self.done, self._missing, self._taken
        needs = [needed for needed in step.needs if not any(needed in positions for positions in over)]
        if not needs:
            self._push(step)
            return
        self._open[step.position] = len(needs)
        for needed in needs:
            self._dependents.setdefault(needed, []).append(step.position)

    def _drop(self, position: int) -> None:
        self._steps.pop(position, None)
        self._taken.discard(position)
        self._loosen(position)

    def _loosen(self, position: int) -> None:
        """Let those that waited for a step wait for one less."""
        for dependent in self._dependents.pop(position, ()):
            self._open[dependent] -= 1
            if not self._open[dependent]:
                del self._open[dependent]
                self._push(self._steps[dependent])

    def _push(self, step: Step) -> None:
        # To be skipped needs no room.
        need = None if self.missing_need(step) is not None else self._need(step)
        heappush(self._ready.setdefault(need, []), step.position)
