"""A step sees the changes of those that it needs, whichever others are done, and their order is that of the plan."""

import itertools
from typing import Any

import msgspec
import pytest

from mml.core.data_loading.task_struct import StructState, difference
from mml.core.scripts.drift_structs import applied, nothing
from mml.core.scripts.exceptions import PlanError
from mml.core.scripts.struct_views import StructViews, is_in


def model(name: str, **fields: Any) -> dict[str, Any]:
    return {"task": "t", "fold": 0, "parameters": name, **fields}


def change(before: StructState, after: StructState) -> dict[str, Any]:
    made = difference(before, after)
    assert made is not None
    return dict(msgspec.to_builtins(made))


def add(views: StructViews, step: int, visible: list[tuple[int, int]], after: StructState) -> None:
    """Let a step make `after` of what it sees."""
    before = views.view("t", visible) or nothing()
    made = views.journaled("t", step, visible, change(before, after))
    views.take(step, {} if made is None else {"t": made})


def seen(views: StructViews, *visible: tuple[int, int]) -> tuple[dict[str, str], list[str]]:
    state = views.view("t", visible) or nothing()
    return state.paths, [found["parameters"] for found in state.models]


def test_position_is_looked_for_in_ranges() -> None:
    assert [is_in(position, [(0, 1), (3, 5)]) for position in range(6)] == [True, False, False, True, True, False]


def test_struct_that_nothing_is_known_of_has_no_view() -> None:
    views = StructViews({})
    assert views.view("t", [(0, 9)]) is None
    add(views, 0, [], StructState({"a": "1"}, []))
    assert views.view("t", []) is None
    assert views.view("u", [(0, 9)]) is None


def test_what_reuse_attached_is_seen_by_all() -> None:
    views = StructViews({"t": change(nothing(), StructState({"a": "1"}, [model("r")]))})
    assert seen(views) == ({"a": "1"}, ["r"])
    add(views, 3, [], StructState({"a": "1"}, [model("r"), model("m")]))
    assert seen(views) == ({"a": "1"}, ["r"])
    assert seen(views, (3, 4)) == ({"a": "1"}, ["r", "m"])


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_independent_steps_see_nothing_of_one_another_and_end_in_the_order_of_the_plan(order: tuple[int, ...]) -> None:
    views = StructViews({})
    for step in order:
        add(views, step, [], StructState({f"p{step}": "x"}, [model(f"m{step}")]))
    for step in order:
        assert seen(views, (step, step + 1)) == ({f"p{step}": "x"}, [f"m{step}"])
    assert seen(views, (0, 3)) == ({"p0": "x", "p1": "x", "p2": "x"}, ["m0", "m1", "m2"])


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 3, 0, 1), (2, 0, 3, 1), (0, 2, 3, 1)])
def test_step_alters_what_it_sees_whatever_was_done_meanwhile(order: tuple[int, ...]) -> None:
    after = {
        0: ([], StructState({}, [model("a")])),
        1: ([(0, 1)], StructState({"x": "1"}, [model("a", metrics=[1])])),
        2: ([], StructState({}, [model("b")])),
        3: ([(2, 3)], StructState({}, [model("b", metrics=[2])])),
    }
    views = StructViews({})
    for step in order:
        add(views, step, *after[step])
    state = views.view("t", [(0, 4)])
    assert state == StructState({"x": "1"}, [model("a", metrics=[1]), model("b", metrics=[2])])
    assert views.view("t", [(0, 1)]) == StructState({}, [model("a")])
    assert views.view("t", [(2, 4)]) == StructState({}, [model("b", metrics=[2])])


def test_what_the_journal_gets_is_relative_to_all_lines_before() -> None:
    views, lines = StructViews({}), nothing()
    for step in (1, 0):
        made = views.journaled("t", step, [], change(nothing(), StructState({}, [model(f"m{step}")])))
        views.take(step, {"t": made})
        lines = applied(lines, made)
    assert [found["parameters"] for found in lines.models] == ["m0", "m1"]


def test_path_of_the_later_step_of_the_plan_stays() -> None:
    for order in ((0, 1), (1, 0)):
        views = StructViews({})
        for step in order:
            add(views, step, [], StructState({"same": str(step)}, []))
        assert seen(views, (0, 2)) == ({"same": "1"}, [])


def test_change_that_changes_nothing_by_now_is_none() -> None:
    views = StructViews({})
    add(views, 1, [], StructState({"same": "1"}, []))
    assert views.journaled("t", 0, [], change(nothing(), StructState({"same": "0"}, []))) is None


def test_steps_that_alter_the_same_at_once_are_refused() -> None:
    views = StructViews({})
    first = StructState({}, [model("a", performance=0.0)])
    add(views, 0, [], first)
    add(views, 1, [(0, 1)], StructState({}, [model("a", performance=1.0)]))
    made = change(first, StructState({}, [model("a", performance=2.0)]))
    with pytest.raises(PlanError, match=r"Step 3 changed what another step, one of \[2\], .* 't' .*`after` the other"):
        views.journaled("t", 2, [(0, 1)], made)


def test_models_that_reuse_found_for_several_steps_are_there_once() -> None:
    views = StructViews({})
    add(views, 0, [], StructState({"r": "0"}, [model("reused"), model("a")]))
    add(views, 2, [(0, 1)], StructState({"r": "0"}, [model("reused", performance=1.0), model("a")]))
    add(views, 1, [], StructState({"r": "0"}, [model("reused"), model("b")]))
    assert views.state("t") == StructState({"r": "0"}, [model("reused", performance=1.0), model("a"), model("b")])


def test_lines_of_steps_that_saw_more_than_they_need_are_shown_with_all() -> None:
    views = StructViews({})
    views.take(0, {"t": change(nothing(), StructState({}, [model("a")]))})
    altered = change(StructState({}, [model("a")]), StructState({}, [model("a", performance=1.0)]))
    views.take(1, {"t": altered})  # one after the other, it altered a model of a step that it does not need
    views.take(2, {"t": change(views.view("t", [(0, 2)]) or nothing(), StructState({}, [model("a"), model("b")]))})
    assert seen(views, (1, 2)) == ({}, ["a", "b"])
