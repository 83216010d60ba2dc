"""What a step may see of others when steps run beside one another: all that it needs, directly or by way of others."""

from bisect import insort
from collections.abc import Mapping
from typing import Any

import msgspec

from mml.core.scripts.journal import Done
from mml.core.scripts.schedule import StepRecord
from mml.core.scripts.struct_views import is_in

Ranges = tuple[tuple[int, int], ...]


class Sight:
    """Tells which steps each one sees, and the return value as they left it.

    Args:
        plan: all steps; is read on when it grows.
        done: position -> the event that made the step done, of earlier processes.
    """

    def __init__(self, plan: list[StepRecord], done: Mapping[int, Done]) -> None:
        self._plan = plan
        self._known: dict[int, Ranges] = {}
        self._values = {step: event.value for step, event in done.items() if event.value is not msgspec.UNSET}
        self._valued = sorted(self._values)

    def set_value(self, step: int, value: Any) -> None:
        """Take note of the return value that a step left."""
        if step not in self._values:
            insort(self._valued, step)
        self._values[step] = value

    def value(self, visible: Ranges) -> Any:
        """Return the value that the last visible step left, None without one."""
        return next((self._values[step] for step in reversed(self._valued) if is_in(step, visible)), None)

    def of(self, position: int) -> Ranges:
        """Return the positions that a step sees, as ranges `(start, stop)` in order."""
        waiting = [position]
        while waiting:
            step = waiting[-1]
            unknown = [needed for needed in self._needs(step) if needed not in self._known]
            if unknown and step not in self._known:
                waiting += unknown
                continue
            waiting.pop()
            if step not in self._known:
                parts = [(needed, needed + 1) for needed in self._needs(step)]
                parts += [part for needed in self._needs(step) for part in self._known[needed]]
                self._known[step] = _united(parts)
        return self._known[position]

    def _needs(self, position: int) -> list[int]:
        after = self._plan[position].after
        if after is not None:
            return after
        return [position - 1] if position else []


def _united(parts: list[tuple[int, int]]) -> Ranges:
    """Return ranges without overlap or contact, in order."""
    united: list[tuple[int, int]] = []
    for start, stop in sorted(parts):
        if united and start <= united[-1][1]:
            united[-1] = united[-1][0], max(stop, united[-1][1])
        else:
            united.append((start, stop))
    return tuple(united)
