from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.core.data_loading.task_struct import StructState
from mml.core.scripts.drift_structs import (
    CannotTransferError,
    applied,
    change_between,
    files_of,
    initial_states,
    nothing,
    transferred,
)


def model(fold: int, **fields: Any) -> dict[str, Any]:
    return {"task": "t", "fold": fold, "parameters": f"p/{fold}", "metrics": [], "predictions": {}, **fields}


def change(before: StructState, after: StructState) -> dict[str, Any]:
    found = change_between(before, after)
    assert found is not None
    return found


MADE = [model(0), model(1)]
TESTED = [model(0, metrics=["test"]), model(1)]


def test_a_change_makes_one_state_of_another() -> None:
    before, after = StructState({"a": "1", "b": "2"}, MADE), StructState({"b": "3", "c": "4"}, TESTED)
    assert applied(before, change(before, after)) == after
    assert change_between(before, before) is None
    assert initial_states({"t": change(nothing(), after)}) == {"t": after}


def test_on_the_same_state_a_change_does_the_same() -> None:
    before, after = StructState({"a": "1"}, MADE), StructState({"a": "2"}, TESTED)
    assert transferred(before, change(before, after), before) == after


def test_what_was_added_is_added_behind_what_is_there() -> None:
    before, after = StructState({"x": "1"}, [model(0)]), StructState({"x": "1", "y": "2"}, [model(0), model(1)])
    assert transferred(before, change(before, after), nothing()) == StructState({"y": "2"}, [model(1)])
    others = StructState({"z": "3"}, [model(7)])
    assert transferred(before, change(before, after), others) == StructState({"z": "3", "y": "2"}, [model(7), model(1)])


def test_what_was_altered_is_altered_field_by_field() -> None:
    # In the one run a model was tested before its predictions were made; here it was not.
    before = StructState({}, [model(0, metrics=["test"], predictions={"val": "v"})])
    after = StructState({}, [model(0, metrics=["test"], predictions={"val": "v", "test": "t"})])
    target = StructState({}, [model(0, metrics=["other"])])
    expected = [model(0, metrics=["other"], predictions={"test": "t"})]
    assert transferred(before, change(before, after), target).models == expected


def test_what_was_removed_is_removed() -> None:
    before, after = StructState({"a": "1"}, MADE), StructState({}, [model(1)])
    target = StructState({"a": "1", "b": "2"}, [model(0), model(1, metrics=["x"])])
    assert transferred(before, change(before, after), target) == StructState({"b": "2"}, [model(1, metrics=["x"])])


@pytest.mark.parametrize(
    ("before", "after", "target"),
    [
        (MADE, TESTED, [model(1)]),
        (MADE, [model(1)], [model(1)]),
        ([model(0)], MADE, [model(1)]),
        (MADE, TESTED, [model(0, metrics=["other"]), model(1, metrics=["x"])]),
        ([model(0), model(0)], [model(0), model(0), model(1)], [model(0)]),
    ],
    ids=["altered what is not there", "removed what is not there", "added what is there", "altered otherwise", "twins"],
)
def test_what_builds_on_what_is_not_there_can_not_be_transferred(
    before: list[Any], after: list[Any], target: list[Any]
) -> None:
    made = change(StructState({}, before), StructState({}, after))
    with pytest.raises(CannotTransferError):
        transferred(StructState({}, before), made, StructState({}, target))


def test_a_path_that_was_replaced_has_to_be_there() -> None:
    before, after = StructState({"a": "1"}, []), StructState({"a": "2"}, [])
    assert transferred(before, change(before, after), StructState({"a": "1"}, [])).paths == {"a": "2"}
    for other in ({}, {"a": "7"}):
        with pytest.raises(CannotTransferError):
            transferred(before, change(before, after), StructState(other, []))


def test_the_files_of_a_change_are_those_that_it_brings() -> None:
    before = StructState({"a": "one"}, [model(0, pipeline=None, storage="s0")])
    after = StructState({"a": "one", "b": "two"}, [model(0, pipeline="pipe", storage="s0", predictions={"val": "csv"})])
    assert files_of(before, after) == {"two", "pipe", "csv"}


STATES = st.builds(
    StructState,
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("123")),
    st.lists(st.integers(0, 3), unique=True).flatmap(
        lambda folds: st.tuples(
            *(st.builds(model, st.just(fold), metrics=st.lists(st.just("m"))) for fold in folds)
        ).map(list)
    ),
)


@given(STATES, STATES)
def test_whatever_changed_is_transferred_to_where_it_was_made(before: StructState, after: StructState) -> None:
    if (made := change_between(before, after)) is not None:
        assert transferred(before, made, before) == after
