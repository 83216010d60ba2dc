"""The graph as text: which of the two drawings is made, and what a tree says of a graph that is none."""

import pytest

from mml.plan_fold import fold
from mml.plan_record import DONE, FAILED
from mml.plan_text import as_ascii, as_tree, graph_text
from tests.support.plans import chain, diamond, fan, folds, planned


def test_folds_stand_side_by_side() -> None:
    steps = [step._replace(state=DONE) if step.position == 0 else step for step in folds(count=2, finish=True)]
    assert graph_text(steps, 120).splitlines() == [
        "✓ 1 train_fold(digits, 0) ─┬── ○ 2 test_fold(digits, 0) ────┬── ○ 7 finish()",
        "                           └── ○ 3 predict_fold(digits, 0) ─┤",
        "○ 4 train_fold(digits, 1) ─┬── ○ 5 test_fold(digits, 1) ────┤",
        "                           └── ○ 6 predict_fold(digits, 1) ─┘",
    ]


def test_what_is_too_wide_becomes_a_tree() -> None:
    text = graph_text(folds(count=1, finish=True), 40)
    assert text.splitlines() == [
        "○ 1 train_fold(digits, 0)",
        "├─ ○ 2 test_fold(digits, 0)",
        "└─ ○ 3 predict_fold(digits, 0)",
        "   ↓ ○ 4 finish()  (also after 2)",
    ]


def test_a_chain_in_a_tree_is_not_indented() -> None:
    assert graph_text(chain(4), 20).splitlines() == ["○ 1 work(0)", "↓ ○ 2 work(1)", "↓ ○ 3 work(2)", "↓ ○ 4 work(3)"]


def test_a_tree_names_what_else_a_box_comes_after() -> None:
    boxes = fold(diamond(), None)
    assert as_tree(boxes, list("abcd")) == ["a", "├─ b", "└─ c", "   ↓ d  (also after 2)"]


def test_a_deep_tree_keeps_the_lines_of_its_branches() -> None:
    needs: list[list[int]] = [[], [0], [0], [1], [1], [3]]
    boxes = fold([planned(n, needs=needed) for n, needed in enumerate(needs)], None)
    assert as_tree(boxes, list("abcdef")) == ["a", "├─ b", "│  ├─ d", "│  │  ↓ f", "│  └─ e", "└─ c"]


def test_steps_that_need_nothing_are_listed() -> None:
    assert graph_text([planned(0), planned(1)], 80) == "○ 1 work()\n○ 2 work()"


def test_a_wide_fan_is_folded_with_its_count() -> None:
    assert graph_text(fan(100), 80) == "○ work ×100 ── ○ 101 finish()"
    assert len(graph_text(fan(100), 80, every=True).splitlines()) == 100


def test_a_long_chain_is_folded() -> None:
    assert graph_text(chain(1000), 80) == "○ work ×1000 in a row"


def test_no_steps_are_no_text() -> None:
    assert graph_text([], 80) == ""


@pytest.mark.parametrize(("state", "sign"), [(DONE, "#"), (FAILED, "@")])
def test_a_terminal_without_box_characters_gets_others(state: str, sign: str) -> None:
    steps = [planned(0, "ä", state=state), planned(1, needs=[0]), planned(2, needs=[0])]
    text = as_ascii(graph_text(steps, 80))
    assert text.splitlines() == [f"{sign} 1 ?() -+-- o 2 work()", "         +-- o 3 work()"]
