"""A step's files have the numbers that they would get with one step after the other."""

from pathlib import Path

from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.run_numbers import NumbersBefore
from mml.core.scripts.schedule import make_step

ROOTS = PathRoots(Path("/r"), Path("/d"))
PLAN = [
    make_step(position, command, params, ROOTS)
    for position, (command, params) in enumerate(
        [
            ("train", ["a", 0]),
            ("test", ["a", 0]),
            ("train", ["b", 0]),
            ("train", ["a", 1]),
            ("train", ["a", 2]),
            ("test", ["a", 2]),
        ]
    )
]


def test_steps_of_the_command_and_task_before_the_present_one_are_counted() -> None:
    numbers = NumbersBefore(PLAN)
    counts = []
    for step in PLAN:
        numbers.step = step
        counts.append(numbers("a"))
    assert counts == [0, 0, 1, 1, 2, 1]


def test_without_a_task_all_steps_of_the_command_are_counted() -> None:
    numbers = NumbersBefore(PLAN)
    numbers.step = PLAN[4]
    assert numbers(None) == 3
    assert numbers("c") == 0


def test_between_steps_nothing_is_before() -> None:
    assert NumbersBefore(PLAN)("a") == 0


def test_step_that_was_added_to_the_plan_comes_behind_all() -> None:
    numbers = NumbersBefore(PLAN)
    numbers.step = make_step(9, "train", ["a", 7], ROOTS)
    assert numbers("a") == 3
