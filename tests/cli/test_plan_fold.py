"""How a graph becomes few boxes: what is put together, what stays apart, and what each box still needs."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.plan_fold import Box, fold, in_order, reduced_needs
from mml.plan_record import DONE, PlannedStep
from tests.support.plans import chain, diamond, fan, folds, planned


def commands(boxes: list[Box]) -> list[tuple[str, int, list[int]]]:
    return [(box.steps[0].record.command, len(box.steps), box.needs) for box in boxes]


def random_steps(count: int, most: int = 3) -> list[PlannedStep]:
    drawn = random.Random(count)
    return [
        planned(n, drawn.choice("abc"), [n], needs=sorted(drawn.sample(range(n), min(n, drawn.randint(0, most)))))
        for n in range(count)
    ]


@pytest.mark.parametrize("steps", [[], chain(3), diamond(), folds(count=5)])
def test_a_small_graph_has_a_box_for_each_step(steps: list[PlannedStep]) -> None:
    boxes = fold(steps, 20)
    assert [box.steps for box in boxes] == [[step] for step in steps]
    assert [box.needs for box in boxes] == [list(step.needs) for step in steps]


def test_a_fan_becomes_one_box_and_the_last_step() -> None:
    assert commands(fold(fan(100), 48)) == [("work", 100, []), ("finish", 1, [0])]


def test_a_long_chain_becomes_one_box() -> None:
    (box,) = fold(chain(10_000), 48)
    assert len(box.steps) == 10_000
    assert box.chained


def test_branches_of_a_task_are_put_together_those_of_another_stay_apart() -> None:
    steps = folds(["digits", "lfw"], 100, finish=True)
    boxes = fold(steps, 48)
    assert commands(boxes) == [
        ("train_fold", 100, []),
        ("train_fold", 100, []),
        ("test_fold", 100, [0]),
        ("predict_fold", 100, [0]),
        ("test_fold", 100, [1]),
        ("predict_fold", 100, [1]),
        ("finish", 1, [2, 3, 4, 5]),
    ]


def test_what_is_done_stays_apart_from_what_is_not() -> None:
    steps = [step._replace(state=DONE) if step.position < 3 else step for step in folds(count=100)]
    assert commands(fold(steps, 48)) == [
        ("train_fold", 1, []),
        ("train_fold", 99, []),
        ("test_fold", 1, [0]),
        ("predict_fold", 1, [0]),
        ("test_fold", 99, [1]),
        ("predict_fold", 99, [1]),
    ]


def test_many_tasks_are_put_together_too() -> None:
    boxes = fold(folds([f"task_{n}" for n in range(200)], 2), 48)
    assert commands(boxes) == [("train_fold", 400, []), ("test_fold", 400, [0]), ("predict_fold", 400, [0])]


def test_a_chain_of_different_commands_is_shortened_when_it_is_too_long() -> None:
    steps = [planned(n, "abcdef"[n % 6], needs=[n - 1] if n else []) for n in range(60)]
    (box,) = fold(steps, 48)
    assert box.chained
    assert [step.position for step in box.steps] == list(range(60))


@pytest.mark.parametrize("count", [200, 3000])
def test_a_graph_without_any_pattern_is_put_together_by_levels(count: int) -> None:
    boxes = fold(random_steps(count), 48)
    assert len(boxes) <= 48
    assert sorted(step.position for box in boxes for step in box.steps) == list(range(count))
    assert all(need < number for number, box in enumerate(boxes) for need in box.needs)


def test_every_step_has_a_box_when_it_is_asked_for() -> None:
    assert len(fold(fan(100), None)) == 101


@given(st.integers(0, 60), st.integers(1, 20))
def test_boxes_hold_every_step_once_and_need_only_earlier_boxes(count: int, most: int) -> None:
    steps = random_steps(count)
    boxes = fold(steps, most)
    assert sorted(step.position for box in boxes for step in box.steps) == list(range(count))
    place = {step.position: number for number, box in enumerate(boxes) for step in box.steps}
    for number, box in enumerate(boxes):
        assert all(need < number for need in box.needs)
        direct = {place[need] for step in box.steps for need in step.needs} - {number}
        assert set(box.needs) <= direct


def test_needs_by_way_of_others_are_left_out() -> None:
    steps = [planned(0), planned(1, needs=[0]), planned(2, needs=[0, 1]), planned(3, needs=[0, 1, 2])]
    assert reduced_needs(steps) == [[], [0], [1], [2]]
    finished = folds(count=3, finish=True)
    assert reduced_needs(finished)[-1] == [1, 2, 4, 5, 7, 8]


@given(st.integers(0, 40))
def test_what_comes_before_a_step_is_the_same_without_what_is_left_out(count: int) -> None:
    steps = random_steps(count, most=6)

    def before(needs: list[list[int]]) -> list[set[int]]:
        found: list[set[int]] = []
        for needed in needs:
            found.append(set(needed).union(*(found[need] for need in needed)))
        return found

    reduced = reduced_needs(steps)
    assert before(reduced) == before([list(step.needs) for step in steps])
    for number, needed in enumerate(reduced):
        for need in needed:
            others = [other for other in reduced[number] if other != need]
            assert all(need not in before(reduced)[other] for other in others)


def test_steps_that_need_later_ones_stand_behind_them() -> None:
    steps = [planned(0, needs=[2]), planned(1), planned(2, needs=[1]), planned(3)]
    assert [step.position for step in in_order(steps)] == [1, 2, 0, 3]
    assert [(box.steps[0].position, box.needs) for box in fold(steps, 9)] == [(1, []), (2, [0]), (0, [1]), (3, [])]


def test_ten_thousand_steps_are_no_burden() -> None:
    begin = time.process_time()
    fold(folds(["digits", "lfw"], 1700, finish=True), 48)
    fold(random_steps(20_001), 48)
    assert time.process_time() - begin < 60  # a second or two; a graph taken apart step by step would take hours
