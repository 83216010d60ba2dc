"""Numbers of files where steps run beside one another: those that the files would get with one step after the other.

A step takes the number behind those of all steps of its command, and for its task, that stand before it in the plan,
whoever is faster. That holds where each of them makes as many files of a kind, as it is with folds.
"""

from bisect import bisect_left
from collections.abc import Iterable

from mml.core.scripts.schedule import Step


class NumbersBefore:
    """Tells how many steps take a number before the present one.

    Args:
        plan: steps from the first on; of others nothing is known.

    Attributes:
        step: the present one, None between steps.
    """

    def __init__(self, plan: Iterable[Step]) -> None:
        self._plan = list(plan)
        self._positions: dict[tuple[str, str | None], list[int]] | None = None
        self.step: Step | None = None

    def __call__(self, task: str | None) -> int:
        """Return how many steps of the present one's command, and for a task, stand before it."""
        if self.step is None:
            return 0
        if self._positions is None:
            self._positions = self._found()
        return bisect_left(self._positions.get((self.step.record.command, task), []), self.step.position)

    def _found(self) -> dict[tuple[str, str | None], list[int]]:
        found: dict[tuple[str, str | None], list[int]] = {}
        for step in self._plan:
            for word in {None, *(param for param in step.params if isinstance(param, str))}:
                found.setdefault((step.record.command, word), []).append(step.position)
        return found
