"""Drawings in characters, each compared with one made by hand."""

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.plan_canvas import side_by_side
from tests.cli.test_plan_layout import random_needs

_RIGHT, _LEFT = "─┌└├┬┴┼▾▴", "─┐┘┤┬┴┼▾▴"
_DOWN, _UP = "│┌┐├┤┬┼", "│└┘├┤┴┼▾"


def drawn(needs: list[list[int]], labels: str = "abcdefghij") -> str:
    lines = side_by_side(list(labels[: len(needs)]), needs)
    assert lines is not None
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        ([[]], "a"),
        ([[], [0], [1]], "a ── b ── c"),
        (
            [[], [0], [0], [1, 2]],
            """
            a ─┬── b ─┬── d
               └── c ─┘
            """,
        ),
        (
            [[], [], [0, 1]],
            """
            a ─┬── c
            b ─┘
            """,
        ),
        (
            [[], [0], [0], [], [3]],
            """
            a ─┬── b
               └── c
            d ──── e
            """,
        ),
        (
            [[], [0], [1], [0, 2]],
            """
            a ─┬── b ── c ─┬── d
               └───────────┘
            """,
        ),
        (
            [[], [], [0, 1], [0, 1]],
            """
            a ─┬── c
            b ─┴── d
            """,
        ),
        (
            # c needs a alone: an arrow, as with a mere branch b could be taken for leading to c, too.
            [[], [], [0], [0, 1]],
            """
            a ─┬── c
            b ─▾── d
            """,
        ),
        (
            [[], [], [], [0, 1], [1, 2]],
            """
            a ─▴──── d
            b ─┴─▴── e
            c ───┘
            """,
        ),
        (
            # The line of c crosses that from d to f, and goes above it.
            [[], [0], [], [0], [1, 2], [3]],
            """
            a ─┬── b ─┬── e
               └── d ─│── f
            c ────────┘
            """,
        ),
    ],
)
def test_graphs_are_drawn_as_a_person_would(needs: list[list[int]], expected: str) -> None:
    assert drawn(needs) == dedent(expected).strip()


def test_lines_that_would_run_over_one_another_are_not_drawn() -> None:
    # Three begin and three end, each behind two others: where one turns away another turns in, all the way round.
    assert side_by_side(list("abcdef"), [[], [], [], [0, 1], [1, 2], [0, 2]]) is None


def test_long_labels_are_followed_by_shorter_lines() -> None:
    lines = side_by_side(["long label", "x", "end"], [[], [], [0, 1]])
    assert lines == ["long label ─┬── end", "x ──────────┘"]


def test_wide_characters_take_two_places() -> None:
    assert side_by_side(["数字", "x", "end"], [[], [], [0, 1]]) == ["数字 ─┬── end", "x ────┘"]


@given(st.integers(2, 16), st.integers(0, 500))
def test_every_line_leads_somewhere(count: int, seed: int) -> None:
    labels = [chr(ord("a") + number) for number in range(count)]
    lines = side_by_side(labels, random_needs(count, seed))
    if lines is None:
        return
    assert sorted(char for line in lines for char in line if char.isalpha()) == labels
    width = max(map(len, lines))
    grid = [line.ljust(width) for line in lines]
    for y, row in enumerate(grid):
        for x, char in enumerate(row):
            below, right = (grid[y + 1][x] if y + 1 < len(grid) else " "), (row[x + 1] if x + 1 < width else " ")
            if char != "▾" and below != "▴" and char != "▴":
                assert (char in _DOWN) == (below in _UP), f"{y}, {x}:\n" + "\n".join(lines)
            if char in _RIGHT:
                assert right in _LEFT or right in " │", f"{y}, {x}:\n" + "\n".join(lines)
