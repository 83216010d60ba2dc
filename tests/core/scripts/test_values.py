"""Return values go into the journal as JSON and come back as they were."""

import math
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.values import is_encodable, is_single, plain_value, restored_value


class Color(StrEnum):
    RED = "red"


class Rank(IntEnum):
    FIRST = 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON)
def test_any_json_value_comes_back_from_the_journal(value: Any) -> None:
    written = msgspec.json.encode(plain_value(value, "x"))
    assert repr(restored_value(msgspec.json.decode(written))) == repr(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {"a": [math.nan]}])
def test_numbers_that_json_lacks_come_back(value: Any) -> None:
    assert repr(restored_value(plain_value(value, "x"))) == repr(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, (2,)), [1, [2]]),
        (Color.RED, "red"),
        ({Color.RED: Color.RED}, {"red": "red"}),
        (Rank.FIRST, 1),
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([[2.5]]), 2.5),
        (np.str_("a"), "a"),
        (np.float32("nan"), {"$float": "nan"}),
    ],
)
def test_relatives_of_json_values_become_plain(value: Any, plain: Any) -> None:
    found = plain_value(value, "x")
    assert found == plain
    assert type(found) is type(plain)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        object(),
        Path("a"),
        b"bytes",
        1j,
        2**64,
        -(2**63) - 1,
        {1: "a"},
        {"a": {None: 1}},
        [[{3}]],
        np.arange(2),
        "\udce9",
        {"\udce9": 1},
        {"$float": "a text of the user"},
        math,
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_is_refused_by_name(value: Any) -> None:
    with pytest.raises(MMLError, match="can't be journaled as return_value of step work"):
        plain_value(value, "return_value of step work")


def test_refusal_names_the_very_part_that_does_not_fit() -> None:
    with pytest.raises(MMLError, match=r"^Value \{3\} of type set can't"):
        plain_value({"fine": 1, "wrong": [{3}]}, "x")


def test_value_of_any_library_with_one_element_is_single() -> None:
    class Tensor:
        shape = (1, 1)

        def item(self) -> float:
            return 1.5

    assert plain_value(Tensor(), "x") == 1.5
    assert [is_single(value) for value in (Tensor(), np.float32(1), np.arange(2), {}.items, 3)] == [True, True] + [
        False
    ] * 3


def test_mark_of_a_number_among_other_keys_is_a_plain_dict() -> None:
    value = {"$float": "a text", "other": 1}
    assert restored_value(plain_value(value, "x")) == value


@pytest.mark.parametrize(("text", "expected"), [("é", True), ("", True), ("\ud800", False)])
def test_surrogates_can_not_be_encoded(text: str, expected: bool) -> None:
    assert is_encodable(text) is expected


@pytest.mark.parametrize("value", ["1.5", "many", 3, None, ["nan"]])
def test_a_mark_with_anything_but_the_three_numbers_stays_what_it_is(value: Any) -> None:
    assert restored_value([{"$float": value}]) == [{"$float": value}]
