"""The graph of a plan as few boxes as a person can take in: equal branches are put together, chains are shortened."""

import heapq
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from mml.plan_record import PlannedStep

_MOST_ROUNDS = 50
_MOST_REDUCED = 20_000  # steps; beyond it, what a step needs through others is not looked for
_SHORTEST_CHAIN = 3
_FEW = 5  # so many equal branches are drawn side by side, more become one


class Box(NamedTuple):
    """One or more steps, drawn as one.

    Attributes:
        steps: in the order of the plan.
        needs: places of the boxes that have to be done before, sorted.
        chained: whether its steps come one after the other, not side by side.
    """

    steps: list[PlannedStep]
    needs: list[int]
    chained: bool = False


def fold(steps: Sequence[PlannedStep], most: int | None) -> list[Box]:
    """Return the boxes of a graph, each after those that it needs.

    Args:
        steps: of the plan.
        most: boxes, as far as that can be; None: one for each step.
    """
    ordered = in_order(steps)
    graph = _Graph([[step] for step in ordered], reduced_needs(ordered))
    if most is None or len(steps) <= most:
        return graph.boxes()
    for shorten in (_equal_chains, _branches(_look_of), _branches(_command_of), _chains, _levels(most)):
        graph = shorten(graph)
        if len(graph.groups) <= most:
            break
    return graph.boxes()


def in_order(steps: Sequence[PlannedStep]) -> list[PlannedStep]:
    """Return steps so that each stands behind all that it needs, else in the order of the plan."""
    if all(needed < step.position for step in steps for needed in step.needs):
        return list(steps)
    waits = {step.position: len(set(step.needs)) for step in steps}
    users: dict[int, list[int]] = defaultdict(list)
    for step in steps:
        for needed in set(step.needs):
            users[needed].append(step.position)
    ready, ordered = [position for position, count in waits.items() if not count], []
    while ready:
        ordered.append(heapq.heappop(ready))
        for user in users[ordered[-1]]:
            waits[user] -= 1
            if not waits[user]:
                heapq.heappush(ready, user)
    return [steps[position] for position in ordered]


def reduced_needs(steps: Sequence[PlannedStep]) -> list[list[int]]:
    """Return the places of what each step needs, without what it needs through another step anyway.

    Args:
        steps: each behind all that it needs.
    """
    place_of = {step.position: place for place, step in enumerate(steps)}
    needs = [sorted({place_of[needed] for needed in step.needs}) for step in steps]
    if len(steps) > _MOST_REDUCED or all(len(needed) < 2 for needed in needs):
        return needs
    before: list[int] = []  # of each step all that come before it, as bits
    for place, needed in enumerate(needs):
        through = 0
        for earlier in needed:
            through |= before[earlier]
        before.append(through | _bits(needed, place))
        if through and len(needed) > 1:
            bits = through.to_bytes((place + 8) // 8, "little")
            needs[place] = [earlier for earlier in needed if not bits[earlier >> 3] >> (earlier & 7) & 1]
    return needs


def _bits(positions: Iterable[int], length: int) -> int:
    """Return a number in which the bits at these positions are set."""
    found = bytearray((length + 8) // 8)
    for position in positions:
        found[position >> 3] |= 1 << (position & 7)
    return int.from_bytes(found, "little")


class _Graph:
    """Groups of steps, what each needs, and what needs it."""

    def __init__(
        self, groups: list[list[PlannedStep]], needs: Sequence[Iterable[int]], chained: Sequence[bool] = ()
    ) -> None:
        self.groups = groups
        self.needs = [sorted(set(needed)) for needed in needs]
        self.chained = chained or [False] * len(groups)
        self.users: list[list[int]] = [[] for _ in groups]
        for number, needed in enumerate(self.needs):
            for earlier in needed:
                self.users[earlier].append(number)

    def boxes(self) -> list[Box]:
        return [Box(*parts) for parts in zip(self.groups, self.needs, self.chained, strict=True)]

    def merged(self, parts: Sequence[Sequence[int]], *, chained: bool = False) -> "_Graph":
        """Return the graph in which the groups of each part are one; a part lies behind all parts that it needs."""
        part_of = {number: place for place, part in enumerate(parts) for number in part}
        needs = [self._needs_of(part, part_of) for part in parts]
        depths = _depths(needs)
        order = sorted(range(len(parts)), key=lambda place: (depths[place], place))
        new = {place: number for number, place in enumerate(order)}
        return _Graph(
            [self._steps_of(parts[place]) for place in order],
            [{new[needed] for needed in needs[place]} for place in order],
            [self._is_chained(parts[place], chained) for place in order],
        )

    def _needs_of(self, part: Sequence[int], part_of: Mapping[int, int]) -> set[int]:
        """Return the places of other parts that a part needs."""
        return {part_of[needed] for number in part for needed in self.needs[number]} - {part_of[part[0]]}

    def _steps_of(self, part: Sequence[int]) -> list[PlannedStep]:
        return sorted((step for number in part for step in self.groups[number]), key=lambda step: step.position)

    def _is_chained(self, part: Sequence[int], chained: bool) -> bool:
        return (chained and len(part) > 1) or all(self.chained[number] for number in part)


def _depths(needs: Sequence[Iterable[int]]) -> list[int]:
    """Return of each part of a graph how many lie one behind the other before it."""
    depths: dict[int, int] = {}
    stack = list(range(len(needs)))
    while stack:
        place = stack[-1]
        missing = [needed for needed in needs[place] if needed not in depths]
        if not missing:
            depths[stack.pop()] = max((depths[needed] + 1 for needed in needs[place]), default=0)
        stack += missing
    return [depths[place] for place in range(len(needs))]


def _equal_chains(graph: _Graph) -> _Graph:
    return _chained(graph, lambda one, other: _look_of(one[-1]) == _look_of(other[0]))


def _chains(graph: _Graph) -> _Graph:
    return _chained(graph, lambda one, other: one[-1].state == other[0].state and len(one) == len(other))


def _chained(graph: _Graph, joins: Callable[[list[PlannedStep], list[PlannedStep]], bool]) -> _Graph:
    """Return the graph in which groups that follow one another, and have no other neighbours, are one."""
    parts: list[list[int]] = []
    part_of: dict[int, int] = {}
    for number, needed in enumerate(graph.needs):
        only = needed[0] if len(needed) == 1 and len(graph.users[needed[0]]) == 1 else None
        if only is not None and joins(graph.groups[only], graph.groups[number]):
            part_of[number] = part_of[only]
            parts[part_of[only]].append(number)
        else:
            part_of[number] = len(parts)
            parts.append([number])
    split = [[part] if len(part) >= _SHORTEST_CHAIN else [[number] for number in part] for part in parts]
    return graph.merged([part for pieces in split for part in pieces], chained=True)


def _branches(look: Callable[[PlannedStep], Hashable]) -> Callable[[_Graph], _Graph]:
    """Return what puts groups together whose steps look alike and whose neighbours do, all the way up and down."""

    def shorten(graph: _Graph) -> _Graph:
        alike: dict[int, list[int]] = defaultdict(list)
        for number, colour in enumerate(_coloured(graph, look)):
            alike[colour].append(number)
        few = [[part] if len(part) > _FEW else [[number] for number in part] for part in alike.values()]
        return graph.merged([part for pieces in few for part in pieces])

    return shorten


def _coloured(graph: _Graph, look: Callable[[PlannedStep], Hashable]) -> list[int]:
    """Return a colour for each group: the same for those that look alike and have neighbours of the same colours."""
    found = zip(_depths(graph.needs), graph.groups, strict=True)
    colours = _named([(depth, look(group[0]), len(group)) for depth, group in found])
    for _ in range(_MOST_ROUNDS):
        neighbours = zip(colours, graph.needs, graph.users, strict=True)
        finer = _named([(own, _set_of(needs, colours), _set_of(users, colours)) for own, needs, users in neighbours])
        if max(finer, default=0) == max(colours, default=0):
            break
        colours = finer
    return colours


def _set_of(numbers: Iterable[int], colours: Sequence[int]) -> Hashable:
    return frozenset(colours[number] for number in numbers)


def _levels(most: int) -> Callable[[_Graph], _Graph]:
    """Return what puts all together that lies equally far behind the beginning: for graphs without any pattern."""

    def shorten(graph: _Graph) -> _Graph:
        depths = _depths(graph.needs)
        width = max(1, -(-(max(depths, default=0) + 1) * 2 // most))
        parts: dict[Hashable, list[int]] = defaultdict(list)
        for number, depth in enumerate(depths):
            parts[depth // width].append(number)
        return graph.merged(list(parts.values()))

    return shorten


def _named(colours: Sequence[Hashable]) -> list[int]:
    """Return a number for each colour, from 0, in the order of appearance."""
    names: dict[Hashable, int] = {}
    return [names.setdefault(colour, len(names)) for colour in colours]


def _look_of(step: PlannedStep) -> Hashable:
    return step.record.command, step.state, step.tasks, step.resources


def _command_of(step: PlannedStep) -> Hashable:
    return step.record.command, step.state
