"""A graph drawn from left to right in a grid of characters; each line can be followed from its beginning to its end."""

import graphlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from mml.plan_layout import Layout, Place, lay_out
from mml.report.quick_table import cell_width

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_UPRIGHT, _LEVEL = _UP | _DOWN, _LEFT | _RIGHT
_SIGNS = {
    _UPRIGHT: "│",
    _LEVEL: "─",
    _DOWN | _RIGHT: "┌",
    _DOWN | _LEFT: "┐",
    _UP | _RIGHT: "└",
    _UP | _LEFT: "┘",
    _UPRIGHT | _RIGHT: "├",
    _UPRIGHT | _LEFT: "┤",
    _LEVEL | _DOWN: "┬",
    _LEVEL | _UP: "┴",
    _UPRIGHT | _LEVEL: "┼",
}


def side_by_side(labels: Sequence[str], needs: Sequence[Sequence[int]]) -> list[str] | None:
    """Return the lines of a drawing; None if lines would have to run over one another.

    Args:
        labels: of the boxes.
        needs: of each box the places of those before it.
    """
    layout = lay_out(needs, centred=False)
    channels = [_lanes(bundles) for bundles in _channels(layout)]
    if any(lanes is None for lanes in channels):
        return None
    widths = [0] * layout.columns
    for label, place in zip(labels, layout.boxes, strict=True):
        widths[place.column] = max(widths[place.column], cell_width(label))
    drawing = _Drawing(layout, labels, widths)
    for column, lanes in enumerate(channels):
        drawing.channel(column, lanes or {})
    return drawing.lines()


class _Bundle(NamedTuple):
    """Lines between two columns that share one upright line: from each of these rows to each of those."""

    sources: frozenset[int]
    targets: frozenset[int]

    @property
    def top(self) -> int:
        return min(self.sources | self.targets)

    @property
    def bottom(self) -> int:
        return max(self.sources | self.targets)

    def meets(self, other: "_Bundle") -> bool:
        """Tell whether the two can't share a lane."""
        return self.top <= other.bottom and other.top <= self.bottom


_Lanes = dict[_Bundle, int | None]
_Cell = dict[_Bundle, int]  # bundle -> in which directions its line goes from there


def _channels(layout: Layout) -> list[list[_Bundle]]:
    """Return the bundles between each column and the next."""
    targets: list[dict[int, set[int]]] = [defaultdict(set) for _ in range(layout.columns - 1)]
    for one, other in _links(layout):
        targets[one.column][int(one.row)].add(int(other.row))
    channels = []
    for rows in targets:
        sources: dict[frozenset[int], set[int]] = defaultdict(set)
        for row, ends in rows.items():
            sources[frozenset(ends)].add(row)
        channels.append([_Bundle(frozenset(starts), ends) for ends, starts in sources.items()])
    return channels


def _links(layout: Layout) -> Iterator[tuple[Place, Place]]:
    """Yield what is joined from one column to the next."""
    for (one, other), passed in layout.lines.items():
        yield from pairwise([layout.boxes[one], *passed, layout.boxes[other]])


def _lanes(bundles: Sequence[_Bundle]) -> _Lanes | None:
    """Return bundle -> its lane, None for one that goes straight; None if there is no order of lanes.

    Where a line begins and another ends in the same row, the first has to turn away before the other turns in.
    """
    turning = [bundle for bundle in bundles if bundle.top != bundle.bottom]
    lanes: _Lanes = dict.fromkeys(bundles)
    before = {
        bundle: [other for other in turning if other is not bundle and other.sources & bundle.targets]
        for bundle in turning
    }
    try:
        order = list(graphlib.TopologicalSorter(before).static_order())
    except graphlib.CycleError:
        return None
    for bundle in order:
        taken = {lanes[other] for other in turning if other is not bundle and bundle.meets(other)}
        lane = max(((lanes[other] or 0) + 1 for other in before[bundle]), default=0)
        while lane in taken:
            lane += 1
        lanes[bundle] = lane
    return lanes


class _Drawing:
    """The grid: labels of columns, and the channels between them."""

    def __init__(self, layout: Layout, labels: Sequence[str], widths: Sequence[int]) -> None:
        self._layout, self._widths = layout, widths
        self._starts = [0]
        self._cells: list[dict[int, _Cell]] = [{} for _ in range(int(layout.rows))]
        self._labels: list[dict[int, str]] = [{} for _ in self._cells]
        self._by_column: list[dict[int, str]] = [{} for _ in widths]
        for label, place in zip(labels, layout.boxes, strict=True):
            self._by_column[place.column][int(place.row)] = label

    def channel(self, column: int, lanes: _Lanes) -> None:
        """Draw the lines between a column and the next."""
        start = self._starts[column]
        left = start + self._widths[column] + 1
        count = 1 + max((lane for lane in lanes.values() if lane is not None), default=-1)
        right = left + 2 * count + 1
        self._starts.append(right + 2)
        for bundle, lane in lanes.items():
            at = left + 1 + 2 * (lane or 0)
            for row in bundle.sources:
                label = self._by_column[column].get(row)
                begin = start - 1 if label is None else start + cell_width(label) + 1
                self._level(bundle, row, begin, right if lane is None else at, turns=lane is not None)
            if lane is not None:
                self._upright(bundle, at)
                for row in bundle.targets:
                    self._add(bundle, row, at, _RIGHT)
                    self._level(bundle, row, at + 1, right, turns=False)

    def lines(self) -> list[str]:
        """Return the lines of text."""
        for column, labels in enumerate(self._by_column):
            for row, label in labels.items():
                self._labels[row][self._starts[column]] = label
        return [_line(row, self._labels[row], cells) for row, cells in enumerate(self._cells)]

    def _level(self, bundle: _Bundle, row: int, begin: int, end: int, *, turns: bool) -> None:
        for x in range(begin, end if turns else end + 1):
            self._add(bundle, row, x, _LEVEL)
        if turns:
            self._add(bundle, row, end, _LEFT)

    def _upright(self, bundle: _Bundle, x: int) -> None:
        for row in range(bundle.top, bundle.bottom + 1):
            self._add(bundle, row, x, (row > bundle.top) * _UP | (row < bundle.bottom) * _DOWN)

    def _add(self, bundle: _Bundle, row: int, x: int, directions: int) -> None:
        cell = self._cells[row].setdefault(x, {})
        cell[bundle] = cell.get(bundle, 0) | directions


def _line(row: int, labels: dict[int, str], cells: dict[int, _Cell]) -> str:
    parts, x = [], 0
    for place in sorted({*labels, *cells}):
        text = labels.get(place) or _sign(row, cells[place])
        parts.append(" " * (place - x) + text)
        x = place + cell_width(text)
    return "".join(parts)


def _sign(row: int, cell: _Cell) -> str:
    """Return the sign of a cell.

    Where an upright line crosses a level one of another bundle, it lies above; where it joins one, an arrow says so:
    a branch of lines could be read both ways.
    """
    upright = [(bundle, way) for bundle, way in cell.items() if way & _UPRIGHT]
    if len(cell) > 1 and len(upright) == 1:
        bundle, way = upright[0]
        if way == _UPRIGHT:
            return _SIGNS[way]
        return "▾" if min(bundle.sources) < row else "▴"
    together = 0
    for way in cell.values():
        together |= way
    return _SIGNS[together]
