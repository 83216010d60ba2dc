"""An agenda hands out the first step of the plan that may have its turn and finds room, and each one once."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.core.scripts.agenda import Agenda
from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.resources import NOTHING, Resources
from mml.core.scripts.schedule import Step, StepDetails, make_step

ROOTS = PathRoots(Path("/r"), Path("/d"))


def steps(*after: list[int] | None, first: int = 0, resources: Resources = NOTHING) -> list[Step]:
    return [
        make_step(first + number, "work", [], ROOTS, StepDetails(needs, resources=resources))  # type: ignore[arg-type]
        for number, needs in enumerate(after)
    ]


def agenda(*after: list[int] | None, done: tuple[int, ...] = (), early: bool = False) -> Agenda:
    made = Agenda(done, lambda step: step.record.resources, early=early)
    made.extend(steps(*after))
    return made


def room(_: Resources) -> bool:
    return True


def position(made: Agenda, has_room: Callable[[Resources], bool] = room) -> int | None:
    step = made.next(has_room)
    return None if step is None else step.position


def all_now(made: Agenda) -> list[int]:
    found = []
    while (step := made.next(room)) is not None:
        found.append(step.position)
    return found


def test_steps_in_a_row_have_their_turn_one_after_the_other() -> None:
    made = agenda(None, None, None)
    assert all_now(made) == [0]
    made.finish(0)
    assert all_now(made) == [1]
    assert len(made) == 2


def test_independent_steps_have_their_turn_at_once_in_the_order_of_the_plan() -> None:
    assert all_now(agenda([], [], [])) == [0, 1, 2]


def test_step_waits_for_all_that_it_needs() -> None:
    made = agenda([], [], [0, 1], [2])
    assert all_now(made) == [0, 1]
    made.finish(1)
    assert all_now(made) == []
    made.finish(0)
    assert all_now(made) == [2]


def test_step_may_need_a_later_one() -> None:
    made = agenda([2], [], [])
    assert all_now(made) == [1, 2]
    made.finish(2)
    assert all_now(made) == [0]


def test_steps_that_are_done_are_not_handed_out_and_not_waited_for() -> None:
    made = agenda([], [0], [1], [], done=(0, 1))
    assert all_now(made) == [2, 3]
    assert made.done == {0, 1}
    made.finish(3)
    assert made.done == {0, 1, 3}


def test_step_without_room_does_not_keep_others_from_theirs() -> None:
    made = Agenda((), lambda step: step.record.resources)
    made.extend(steps([], resources=Resources(gpus=1)))
    made.extend(steps([], [], first=1, resources=Resources(gpus=0)))
    assert position(made, lambda need: not need.gpus) == 1
    assert position(made) == 0
    assert position(made, lambda _: False) is None
    assert made.ready
    assert position(made) == 2
    assert not made.ready


def test_step_whose_need_is_missing_is_handed_out_without_room_to_be_skipped() -> None:
    made = agenda([], [], [0, 1])
    assert all_now(made) == [0, 1]
    made.give_up(0)
    made.finish(1)
    step = made.next(lambda _: False)
    assert step is not None
    assert (step.position, made.missing_need(step)) == (2, 0)
    made.give_up(2)
    assert len(made) == 0


def test_step_is_skipped_in_its_turn_not_before_its_other_needs_are_over() -> None:
    made = agenda([], [], [0, 1])
    assert all_now(made) == [0, 1]
    made.give_up(0)
    assert all_now(made) == []


def test_step_that_failed_has_its_turn_again_in_its_place() -> None:
    made = agenda([], [], [])
    assert position(made) == 0
    made.again(0)
    assert all_now(made) == [0, 1, 2]


def test_steps_that_are_added_may_need_those_that_are_done_or_go_on() -> None:
    made = agenda([], [])
    assert all_now(made) == [0, 1]
    made.finish(0)
    made.extend(steps([0], [1], first=2))
    assert all_now(made) == [2]
    made.finish(1)
    assert all_now(made) == [3]


def test_steps_that_go_on_from_before_are_not_handed_out() -> None:
    made = Agenda((), lambda _: NOTHING)
    made.extend(steps([], [0], []), taken={0})
    assert all_now(made) == [2]
    made.finish(0)
    assert all_now(made) == [1]


def test_early_a_step_follows_as_soon_as_its_needs_are_handed_out() -> None:
    made = agenda([], [0], [0, 1], early=True)
    assert all_now(made) == [0, 1, 2]
    made.again(1)
    assert all_now(made) == [1]
    made.finish(0)
    assert len(made) == 2


def test_early_steps_follow_those_that_go_on_from_before() -> None:
    made = Agenda((), lambda _: NOTHING, early=True)
    made.extend(steps([], [0]), taken={0})
    assert all_now(made) == [1]


@given(st.integers(1, 30), st.integers(0, 2**32), st.integers(1, 5))
def test_each_step_has_its_turn_once_and_after_those_that_it_needs(count: int, seed: int, slots: int) -> None:
    draw = random.Random(seed)
    after = [
        draw.choice([None, [needed for needed in range(number) if draw.random() < 0.2]]) for number in range(count)
    ]
    made, plan = agenda(*after), steps(*after)
    running: list[int] = []
    over: list[int] = []
    while len(over) < count:
        while len(running) < slots and (step := made.next(room)) is not None:
            assert {*plan[step.position].needs} <= {*over}
            running.append(step.position)
        assert running, "nothing may have its turn"
        ended = running.pop(draw.randrange(len(running)))
        if draw.random() < 0.2:
            made.again(ended)
        else:
            made.finish(ended)
            over.append(ended)
    assert sorted(over) == list(range(count))
    assert len(made) == 0


@pytest.mark.parametrize("failing", range(4))
def test_exactly_those_that_need_a_missing_step_are_skipped(failing: int) -> None:
    made = agenda([], [0], [], [1, 2])
    skipped, done = set(), set()
    while (step := made.next(room)) is not None:
        if made.missing_need(step) is not None:
            skipped.add(step.position)
            made.give_up(step.position)
        elif step.position == failing:
            made.give_up(step.position)
        else:
            done.add(step.position)
            made.finish(step.position)
    expected = {0: {1, 3}, 1: {3}, 2: {3}, 3: set()}[failing]
    assert skipped == expected
    assert done == {0, 1, 2, 3} - expected - {failing}
