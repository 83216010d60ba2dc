"""Where the boxes of a graph stand: in columns by what they need, in rows so that few lines cross. Pure numbers.

After Sugiyama, Tagawa and Toda (1981): layers by the longest path, order by the middle of the neighbours, then rows.
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

_SWEEPS = 12


class Place(NamedTuple):
    """Where something stands: its column, and its row, which is a whole number only where it was asked for."""

    column: int
    row: float


class Layout(NamedTuple):
    """Where boxes stand, and which places the lines between them pass.

    Attributes:
        boxes: place of each box.
        lines: (from, to) -> places passed on the way, in columns between theirs.
        rows: number of rows, the first is 0.
        columns: number of columns.
    """

    boxes: list[Place]
    lines: dict[tuple[int, int], list[Place]]
    rows: float
    columns: int


def lay_out(needs: Sequence[Sequence[int]], *, centred: bool) -> Layout:
    """Return a layout of a graph whose parts that hang together stand below one another.

    Args:
        needs: of each box the places of those before it, all smaller than its own.
        centred: whether a box stands in the middle of its neighbours, else in the row of the first, a whole number.
    """
    boxes, lines, top = [Place(0, 0.0)] * len(needs), {}, 0.0
    for part in parts_of(needs):
        found = _part(part, needs, centred=centred)
        for number in part:
            column, row = found.boxes[number]
            boxes[number] = Place(column, row + top)
        for line, places in found.lines.items():
            lines[line] = [Place(column, row + top) for column, row in places]
        top += found.rows
    columns = max((place.column for place in boxes), default=-1) + 1
    return Layout(boxes, lines, top, columns)


def parts_of(needs: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the parts of a graph that hang together, each sorted, in the order of their first boxes."""
    above = list(range(len(needs)))

    def first(number: int) -> int:
        while above[number] != number:
            above[number] = above[above[number]]
            number = above[number]
        return number

    for number, needed in enumerate(needs):
        for earlier in needed:
            one, other = sorted((first(number), first(earlier)))
            above[other] = one
    parts: dict[int, list[int]] = {}
    for number in range(len(needs)):
        parts.setdefault(first(number), []).append(number)
    return list(parts.values())


class _Found(NamedTuple):
    boxes: dict[int, Place]
    lines: dict[tuple[int, int], list[Place]]
    rows: float


def _part(part: Sequence[int], needs: Sequence[Sequence[int]], *, centred: bool) -> _Found:
    """Lay out what hangs together: boxes, and knots where a line passes a column."""
    columns = _columns(part, needs)
    graph = _Knots(part, needs, columns)
    layers: list[list[int]] = [[] for _ in range(max(graph.column) + 1)]
    for knot in _by_first_visit(graph):
        layers[graph.column[knot]].append(knot)
    layers = _ordered(layers, graph)
    rows = _rows(layers, graph, _middle if centred else _aligned)
    least = min(rows)
    rows = [row - least for row in rows]
    boxes = {number: Place(graph.column[knot], rows[knot]) for number, knot in graph.knot_of.items()}
    lines = {line: [Place(graph.column[knot], rows[knot]) for knot in passed] for line, passed in graph.passed.items()}
    return _Found(boxes, lines, max(rows) + 1)


def _columns(part: Sequence[int], needs: Sequence[Sequence[int]]) -> dict[int, int]:
    columns: dict[int, int] = {}
    for number in part:
        columns[number] = max((columns[earlier] + 1 for earlier in needs[number]), default=0)
    return columns


class _Knots:
    """The boxes of a part and, where lines pass a column, knots: every line goes from one column to the next."""

    def __init__(self, part: Sequence[int], needs: Sequence[Sequence[int]], columns: dict[int, int]) -> None:
        self.knot_of = {number: knot for knot, number in enumerate(part)}
        self.column = [columns[number] for number in part]
        self.before: list[list[int]] = [[] for _ in part]
        self.behind: list[list[int]] = [[] for _ in part]
        self.passed: dict[tuple[int, int], list[int]] = {}
        # Lines from one box pass a column at one place.
        known: dict[tuple[int, int], int] = {}
        for number in part:
            for earlier in needs[number]:
                self.passed[earlier, number] = self._way(earlier, columns[earlier] + 1, columns[number], known)
                way = [self.knot_of[earlier], *self.passed[earlier, number], self.knot_of[number]]
                for one, other in pairwise(way):
                    self._join(one, other)

    def _way(self, box: int, start: int, stop: int, known: dict[tuple[int, int], int]) -> list[int]:
        way = []
        for column in range(start, stop):
            if (box, column) not in known:
                known[box, column] = len(self.column)
                self.column.append(column)
                self.before.append([])
                self.behind.append([])
            way.append(known[box, column])
        return way

    def _join(self, one: int, other: int) -> None:
        if other not in self.behind[one]:
            self.behind[one].append(other)
            self.before[other].append(one)


def _by_first_visit(graph: _Knots) -> list[int]:
    """Return all knots as they are met from the beginnings on, so that what belongs together stands together."""
    seen: dict[int, None] = {}
    stack = [knot for knot in reversed(range(len(graph.column))) if not graph.before[knot]]
    while stack:
        knot = stack.pop()
        if knot not in seen:
            seen[knot] = None
            stack += reversed(graph.behind[knot])
    return list(seen)


def _ordered(layers: list[list[int]], graph: _Knots) -> list[list[int]]:
    """Return the columns in an order in which few lines cross."""
    best, fewest = layers, _crossings(layers, graph)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        layers = _swept(layers, graph.behind if sweep % 2 else graph.before, backwards=bool(sweep % 2))
        if (crossings := _crossings(layers, graph)) < fewest:
            best, fewest = layers, crossings
    return best


def _swept(layers: list[list[int]], neighbours: list[list[int]], *, backwards: bool) -> list[list[int]]:
    """Return the columns, each sorted by where its neighbours in the column looked at before stand on average."""
    place: dict[int, float] = {knot: row for layer in layers for row, knot in enumerate(layer)}
    swept = []
    for layer in reversed(layers) if backwards else layers:
        key = {knot: _mean([place[other] for other in neighbours[knot]], place[knot]) for knot in layer}
        swept.append(sorted(layer, key=key.__getitem__))
        place |= {knot: row for row, knot in enumerate(swept[-1])}
    return swept[::-1] if backwards else swept


def _mean(values: list[float], other: float) -> float:
    return sum(values) / len(values) if values else other


def _crossings(layers: list[list[int]], graph: _Knots) -> int:
    total = 0
    for layer, after in pairwise(layers):
        place = {knot: row for row, knot in enumerate(after)}
        ends: list[int] = []
        for knot in layer:
            targets = sorted(place[other] for other in graph.behind[knot])
            total += sum(len(ends) - bisect_right(ends, target) for target in targets)
            for target in targets:
                insort(ends, target)
    return total


_Wishes = list[list[float]]  # of each knot of a column the rows of its neighbours


def _rows(layers: list[list[int]], graph: _Knots, place: Callable[[_Wishes], list[float]]) -> list[float]:
    """Return the row of each knot: near its neighbours, at least one below that of the knot above it."""
    rows = [0.0] * len(graph.column)
    for layer in layers:
        for number, knot in enumerate(layer):
            rows[knot] = float(number)
    for sweep in range(_SWEEPS):
        backwards = sweep % 2 == 0
        neighbours = graph.behind if backwards else graph.before
        for layer in reversed(layers) if backwards else layers:
            wished = [[rows[other] for other in neighbours[knot]] or [rows[knot]] for knot in layer]
            for knot, row in zip(layer, place(wished), strict=True):
                rows[knot] = row
    return rows


def _aligned(wished: _Wishes) -> list[float]:
    """Return rows as those of the first neighbours, further down where there is no room."""
    placed: list[float] = []
    for rows in wished:
        placed.append(max(min(rows), placed[-1] + 1) if placed else min(rows))
    return placed


def _middle(wished: _Wishes) -> list[float]:
    """Return the rows that are nearest to the middle of the neighbours, in the sense of least squares."""
    blocks: list[tuple[float, int]] = []  # mean and number of wishes that had to be put together
    for number, rows in enumerate(wished):
        mean, count = (min(rows) + max(rows)) / 2 - number, 1
        while blocks and blocks[-1][0] > mean:
            other, more = blocks.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        blocks.append((mean, count))
    flat = [mean for mean, count in blocks for _ in range(count)]
    return [mean + number for number, mean in enumerate(flat)]
