"""What the display of a progress says, row by row: a step, its bars, and how many fit below one another."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from mml.core.scripts.progress_attempts import some
from mml.core.scripts.progress_state import LiveBar, LiveStep
from mml.core.scripts.progress_views import clock, count_text, rate_text

HOLD_SECONDS = 4.0  # for which a bar that is gone leaves its line free, for the next one to come
_SHORT = 6  # characters of a description that has room beside its count
_USUAL = 2  # lines of a step: its own, which has its outermost bar, too, and one more bar


class Row(NamedTuple):
    """One bar.

    Attributes:
        texts: description, count, rate, time elapsed, time left and free text.
        completed: how far the bar is.
        total: where it ends, or None when nobody knows.
        bar: whether there is a bar at all.
    """

    texts: tuple[str, str, str, str, str, str]
    completed: float = 0
    total: float | None = None
    bar: bool = True


class RunningRows:
    """Makes the rows of steps that run at once; remembers how many each had, so that lines do not jump.

    Args:
        indent: spaces before a step.
        left: what follows a time left, e.g. `" left"`.
    """

    def __init__(self, indent: str = "  ", left: str = "") -> None:
        self._indent, self._left = indent, left
        self._held: dict[int, tuple[int, float]] = {}

    def rows(self, steps: Sequence[LiveStep], room: int, more: int = 0) -> list[Row]:
        """Return the rows of steps, folded to one each, and to a number, where there are too many.

        Args:
            steps: those that are known, in their order.
            room: rows that there is room for.
            more: how many others run.
        """
        if len(steps) * _USUAL + bool(more) > room:
            shown = some(steps, room if len(steps) + bool(more) <= room else max(0, room - 1))
            rows = [self.step_row(step) for step in shown]
        else:
            shown, rows = list(steps), self._full(steps, room - bool(more))
        if hidden := len(steps) - len(shown) + more:
            text = f"{self._indent}and {hidden:,} more {'step' if hidden == 1 else 'steps'}"
            rows.append(Row((text, "", "", "", "", ""), bar=False))
        return rows

    def _full(self, steps: Sequence[LiveStep], room: int) -> list[Row]:
        """Return the rows of steps with those of their bars, as many as there is room for."""
        blocks = [self._block(step) for step in steps]
        self._held = {step.number: self._held[step.number] for step in steps}
        excess = sum(len(block) for block in blocks) - room
        for block in reversed(blocks):
            while excess > 0 and len(block) > _USUAL:
                block.pop()
                excess -= 1
        return [row for block in blocks for row in block]

    def _block(self, step: LiveStep) -> list[Row]:
        now = time.monotonic()
        rows = [self.step_row(step)]
        rows += [self.bar_row(bar, self._indent + "  " * depth) for depth, bar in enumerate(step.bars) if depth]
        count, since = self._held.get(step.number, (0, 0.0))
        if len(rows) >= count or now - since > HOLD_SECONDS:
            self._held[step.number] = (len(rows), now)
            return rows
        return rows + [Row(("", "", "", "", "", ""), bar=False)] * (count - len(rows))

    def step_row(self, step: LiveStep) -> Row:
        """Return the row of a step, with its outermost bar."""
        name = f"{self._indent}step {step.number:,} {step.name}"
        worker = f"on {step.worker}" if step.worker else "waits for a worker"
        if not step.bars:
            return Row((name, "", "", clock(step.elapsed), "", worker), bar=False)
        bar = step.bars[0]
        row = self.bar_row(bar, "")
        _, count, rate, _, left, info = row.texts
        short = len(bar.description) <= _SHORT
        count = f"{bar.description} {count}" if short else count
        info = "  ".join(part for part in (worker, "" if short else bar.description, info) if part)
        return row._replace(texts=(name, count, rate, clock(step.elapsed), left, info))

    def bar_row(self, bar: LiveBar, indent: str) -> Row:
        """Return the row of a bar."""
        left = "" if bar.left is None else f"{clock(bar.left)}{self._left}"
        rate = "" if bar.rate is None else rate_text(bar.rate, bar.unit)
        texts = (
            indent + bar.description,
            count_text(bar.completed, bar.total),
            rate,
            clock(bar.elapsed),
            left,
            bar.info,
        )
        return Row(texts, bar.completed, bar.total)


def head_text(steps: Sequence[LiveStep], more: int = 0) -> str:
    """Return e.g. `3 steps running, 2 waiting`, for the row above all steps."""
    running = sum(1 for step in steps if step.worker)
    waiting = len(steps) - running + more
    text = "1 step running" if running == 1 else f"{running:,} steps running"
    return f"{text}, {waiting:,} waiting" if waiting else text
