"""A step sees those that it needs, directly or by way of others, and the value that the last of them left."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.core.scripts.journal import Done
from mml.core.scripts.run_sight import Sight
from mml.core.scripts.schedule import StepRecord


def plan(*after: list[int] | None) -> list[StepRecord]:
    return [StepRecord("work", [number], needs) for number, needs in enumerate(after)]


@pytest.mark.parametrize(
    ("after", "position", "seen"),
    [
        ([None], 0, ()),
        ([None, None, None], 2, ((0, 2),)),
        ([[], [], []], 2, ()),
        ([[], [], [], [0, 2]], 3, ((0, 1), (2, 3))),
        ([[], [0], [], [2], [1, 3]], 4, ((0, 4),)),
        ([[2], [], [1]], 0, ((1, 3),)),
    ],
)
def test_step_sees_what_it_needs(
    after: list[list[int] | None], position: int, seen: tuple[tuple[int, int], ...]
) -> None:
    assert Sight(plan(*after), {}).of(position) == seen


def test_plan_of_many_steps_in_a_row_is_no_effort() -> None:
    sight = Sight(plan(*[None] * 20_000), {})
    assert sight.of(19_999) == ((0, 19_999),)


def test_plan_may_grow() -> None:
    steps = plan([], [0])
    sight = Sight(steps, {})
    assert sight.of(1) == ((0, 1),)
    steps.append(StepRecord("work", [2], [1]))
    assert sight.of(2) == ((0, 2),)


@given(st.integers(1, 25), st.integers(0, 2**32))
def test_ranges_hold_exactly_the_ancestors(count: int, seed: int) -> None:
    draw = random.Random(seed)
    after = [[needed for needed in range(number) if draw.random() < 0.15] for number in range(count)]
    ancestors: list[set[int]] = []
    for needs in after:
        ancestors.append({*needs}.union(*(ancestors[needed] for needed in needs)))
    sight = Sight(plan(*after), {})
    for position in draw.sample(range(count), count):
        ranges = sight.of(position)
        assert {step for start, stop in ranges for step in range(start, stop)} == ancestors[position]
        assert list(ranges) == sorted(ranges)


def done(step: int, value: object = msgspec.UNSET) -> Done:
    return Done(time=1.0, step=step, seconds=0.0, value=value)


def test_value_is_that_of_the_last_visible_step_that_set_one() -> None:
    sight = Sight(plan(*[None] * 5), {0: done(0, "a"), 3: done(3, "d"), 4: done(4)})
    assert sight.value(()) is None
    assert sight.value(((0, 3),)) == "a"
    assert sight.value(((0, 5),)) == "d"
    sight.set_value(2, "c")
    assert sight.value(((0, 3),)) == "c"
    sight.set_value(2, None)
    assert sight.value(((1, 3),)) is None
    assert sight.value(((0, 1), (2, 3))) is None
