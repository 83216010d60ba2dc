"""How long a plan takes on a runner: its steps begin, in order, as soon as what they need is done and has room."""

import heapq
import math
from collections import defaultdict
from collections.abc import Sequence

from mml.core.scripts.resources import KINDS, Resources
from mml.plan_record import Plan, PlannedStep, Totals
from mml.runners.base import Room

_ROUNDING = 1e-9  # three steps with a third of a GPU each fit on one


def totals_of(plan: Plan) -> Totals:
    """Return the sums of a plan."""
    left = [step for step in plan.steps if step.remains]
    times = [step.estimate.seconds for step in left]
    sizes = [step.estimate.size for step in left]
    known, weighed = [time for time in times if time is not None], [size for size in sizes if size is not None]
    timed, sized = bool(known) or not left, bool(weighed) or not left
    return Totals(
        steps=len(plan.steps),
        done=len(plan.steps) - len(left),
        serial=sum(known) if timed else None,
        span=makespan(left, plan.room) if timed else None,
        untimed=len(times) - len(known),
        size=sum(weighed) if sized else None,
        unsized=len(sizes) - len(weighed),
    )


def makespan(steps: Sequence[PlannedStep], room: Room) -> float:
    """Return the seconds until all steps are done, where a step without an estimate takes none.

    Args:
        steps: in the order of the plan; what they need besides is done.
        room: that the runner has.
    """
    schedule = _Schedule(steps, _Free(room))
    now = 0.0
    while (ended := schedule.next_end(now)) is not None:
        now = ended
    return now


class _Free:
    """What is free of a runner."""

    def __init__(self, room: Room) -> None:
        self._each = room.each
        amounts = {kind: getattr(room.resources, kind) for kind in KINDS}
        self._whole = {kind: amount for kind, amount in amounts.items() if amount is not None}
        self._free = dict(self._whole)
        self._slots = math.inf if room.slots is None else max(1, room.slots)

    def takes(self, resources: Resources) -> bool:
        """Tell whether a step with these resources could begin."""
        return self._slots >= 1 and all(
            self._amount(resources, kind) <= free + _ROUNDING for kind, free in self._free.items()
        )

    def change(self, resources: Resources, sign: int) -> None:
        """Take room (`-1`) for a step, or give it back (`1`)."""
        self._slots += sign
        for kind in self._free:
            self._free[kind] += sign * self._amount(resources, kind)

    def _amount(self, resources: Resources, kind: str) -> float:
        """Return what a step takes; one that asks for more than there is takes all."""
        return float(min(getattr(resources.over(self._each), kind) or 0.0, self._whole[kind]))


class _Schedule:
    """Steps that wait, those that could begin (first come the earliest of the plan), and those that run."""

    def __init__(self, steps: Sequence[PlannedStep], free: _Free) -> None:
        self._steps = {step.position: step for step in steps}
        self._free = free
        self._waits = {step.position: len(self._open(step)) for step in steps}
        self._users: dict[int, list[int]] = defaultdict(list)
        for step in steps:
            for needed in self._open(step):
                self._users[needed].append(step.position)
        # A queue for each kind of step, so that a thousand that don't fit are asked once.
        self._ready: dict[Resources, list[int]] = defaultdict(list)
        self._running: list[tuple[float, int]] = []
        for step in steps:
            if not self._waits[step.position]:
                heapq.heappush(self._ready[step.resources], step.position)

    def next_end(self, now: float) -> float | None:
        """Begin what can begin, and return when the next step ends; None when none runs any more."""
        while (step := self._next_to_begin()) is not None:
            heapq.heappop(self._ready[step.resources])
            self._free.change(step.resources, -1)
            heapq.heappush(self._running, (now + (step.estimate.seconds or 0.0), step.position))
        if not self._running:
            return None
        end, position = heapq.heappop(self._running)
        self._free.change(self._steps[position].resources, 1)
        for user in self._users[position]:
            self._waits[user] -= 1
            if not self._waits[user]:
                heapq.heappush(self._ready[self._steps[user].resources], user)
        return end

    def _next_to_begin(self) -> PlannedStep | None:
        fitting = [queue[0] for kind, queue in self._ready.items() if queue and self._free.takes(kind)]
        return self._steps[min(fitting)] if fitting else None

    def _open(self, step: PlannedStep) -> list[int]:
        return [needed for needed in step.needs if needed in self._steps]
