"""Whose turn it is: a step that needs much is not overtaken for ever by steps that need little."""

from collections.abc import Callable

from mml.core.scripts.resources import Resources


class Turns:
    """Remembers who found no room, and how many others began since.

    Args:
        patience: how many may begin before one that had no room.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._passed: dict[Resources, int] = {}

    def refuse(self, needs: Resources) -> None:
        """Note that there is no room for a step with these needs."""
        self._passed.setdefault(needs, 0)

    def may_begin(self, needs: Resources) -> bool:
        """Tell whether such a step may begin, although others may wait for room that it would take."""
        first = next((other for other, passed in self._passed.items() if passed >= self._patience), needs)
        return first == needs

    def begun(self, needs: Resources, fits: Callable[[Resources], bool]) -> None:
        """Note that such a step begins.

        Args:
            needs: what it needs.
            fits: tells whether there was room for others before; they are not overtaken then, just not wanted yet.
        """
        self._passed.pop(needs, None)
        for other in self._passed:
            self._passed[other] += not fits(other)

    def clear(self) -> None:
        """Forget those who wait: there is room for everybody."""
        self._passed.clear()
