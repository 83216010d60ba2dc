"""Where boxes stand: never one on another, each behind what it needs, in an order in which few lines cross."""

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.plan_layout import Layout, Place, lay_out, parts_of


def random_needs(count: int, seed: int) -> list[list[int]]:
    drawn = random.Random(seed)
    return [sorted(drawn.sample(range(n), min(n, drawn.randint(0, 3)))) for n in range(count)]


def crossings(layout: Layout) -> int:
    """Count pairs of lines between the same two columns that cross."""
    links = []
    for (one, other), passed in layout.lines.items():
        way = [layout.boxes[one], *passed, layout.boxes[other]]
        links += list(zip(way, way[1:], strict=False))
    return sum(
        a.column == c.column and (a.row - c.row) * (b.row - d.row) < 0 for (a, b), (c, d) in combinations(set(links), 2)
    )


def test_nothing_takes_no_place() -> None:
    assert lay_out([], centred=True) == Layout([], {}, 0.0, 0)


def test_a_chain_stands_in_one_row() -> None:
    layout = lay_out([[], [0], [1]], centred=False)
    assert layout.boxes == [Place(0, 0), Place(1, 0), Place(2, 0)]
    assert (layout.rows, layout.columns) == (1, 3)


def test_a_diamond_is_drawn_as_one() -> None:
    needs = [[], [0], [0], [1, 2]]
    assert lay_out(needs, centred=False).boxes == [Place(0, 0), Place(1, 0), Place(1, 1), Place(2, 0)]
    assert lay_out(needs, centred=True).boxes == [Place(0, 0.5), Place(1, 0), Place(1, 1), Place(2, 0.5)]


def test_parts_stand_below_one_another() -> None:
    layout = lay_out([[], [0], [0], [], [3]], centred=False)
    assert layout.boxes == [Place(0, 0), Place(1, 0), Place(1, 1), Place(0, 2), Place(1, 2)]
    assert parts_of([[], [0], [], [2], [1, 3]]) == [[0, 1, 2, 3, 4]]
    assert parts_of([[], [], [0], [1]]) == [[0, 2], [1, 3]]


def test_a_long_line_passes_the_columns_between_at_a_place_of_its_own() -> None:
    layout = lay_out([[], [0], [1], [0, 2]], centred=False)
    passed = layout.lines[0, 3]
    assert [place.column for place in passed] == [1, 2]
    assert not {*passed} & {*layout.boxes}


def test_lines_from_one_box_share_their_way() -> None:
    layout = lay_out([[], [0], [1], [0, 2], [0, 2]], centred=False)
    assert layout.lines[0, 3] == layout.lines[0, 4]


@pytest.mark.parametrize("count", [2, 5, 9])
def test_a_tree_has_no_crossings(count: int) -> None:
    needs: list[list[int]] = [[]]
    needs += [[0] for _ in range(count)]
    needs += [[1 + number % count] for number in range(2 * count)]
    assert crossings(lay_out(needs, centred=True)) == 0


def test_two_ways_that_are_given_crosswise_are_untangled() -> None:
    # 0 and 1 begin; 2 needs 1, 3 needs 0: in this order the lines would cross.
    assert crossings(lay_out([[], [], [1], [0], [2, 3]], centred=False)) == 0


@given(st.integers(1, 40), st.integers(0, 1000), st.booleans())
def test_no_two_boxes_share_a_place_and_lines_lead_to_the_right(count: int, seed: int, centred: bool) -> None:
    needs = random_needs(count, seed)
    layout = lay_out(needs, centred=centred)
    columns: dict[int, list[float]] = {}
    places = {place for passed in layout.lines.values() for place in passed}
    for place in [*layout.boxes, *places]:
        columns.setdefault(place.column, []).append(place.row)
    for rows in columns.values():
        rows.sort()
        assert all(below - above > 0.999 for above, below in zip(rows, rows[1:], strict=False))
        assert rows[0] > -1e-9
        assert rows[-1] < layout.rows - 1 + 1e-9
    for number, needed in enumerate(needs):
        for earlier in needed:
            way = [layout.boxes[earlier], *layout.lines[earlier, number], layout.boxes[number]]
            assert [place.column for place in way] == list(range(way[0].column, way[-1].column + 1))
    if not centred:
        assert all(place.row == int(place.row) for place in [*layout.boxes, *places])
