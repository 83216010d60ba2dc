"""How long a plan takes on a runner, compared with what can be counted by hand."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.core.scripts.resources import Resources
from mml.plan_record import DONE, PlannedStep
from mml.plan_slots import makespan, totals_of
from mml.runners.base import Room
from tests.support.plans import SERIAL, chain, cores, diamond, fan, folds, plan_of, planned


@pytest.mark.parametrize(
    ("steps", "slots", "seconds"),
    [
        (chain(5), 1, 5),
        (chain(5), 8, 5),  # nothing can be done at the same time
        (diamond(), 1, 4),
        (diamond(), 2, 3),
        (fan(100), 1, 100),
        (fan(100), 30, 4),  # 30, 30, 30, 10, and the last step, of which nothing is known
        (fan(100), None, 1),
        (folds(count=5), 1, 15),
        (folds(count=5), 2, 8),  # 15 steps in pairs, the last one alone
        ([], 3, 0),
    ],
)
def test_steps_begin_as_soon_as_there_is_a_slot(steps: list[PlannedStep], slots: int | None, seconds: float) -> None:
    assert makespan(steps, Room(slots=slots)) == seconds


def test_a_step_may_need_a_later_one() -> None:
    steps = [planned(0, needs=[1], seconds=2), planned(1, seconds=3), planned(2, seconds=1)]
    assert makespan(steps, Room(slots=2)) == 5


def test_cores_and_memory_are_shared() -> None:
    steps = [planned(n, seconds=1, resources=cores(2)) for n in range(4)]
    assert makespan(steps, Room(resources=Resources(cpus=4))) == 2
    assert makespan(steps, Room(resources=Resources(cpus=3))) == 4
    assert makespan(steps, Room(resources=Resources(memory=1))) == 1


def test_what_says_nothing_takes_what_the_runner_gives_each() -> None:
    steps = [planned(n, seconds=1) for n in range(4)]
    assert makespan(steps, Room(resources=Resources(gpus=2), each=Resources(gpus=1))) == 2


def test_three_thirds_of_a_gpu_are_one() -> None:
    steps = [planned(n, seconds=1, resources=Resources(gpus=float(Fraction(1, 3)))) for n in range(3)]
    assert makespan(steps, Room(resources=Resources(gpus=1))) == 1


def test_a_step_that_asks_for_more_than_there_is_runs_alone() -> None:
    steps = [planned(n, seconds=1, resources=cores(9)) for n in range(2)]
    assert makespan(steps, Room(resources=Resources(cpus=2))) == 2


def test_a_small_step_goes_ahead_of_a_large_one_that_does_not_fit() -> None:
    steps = [
        planned(0, seconds=3, resources=cores(1)),
        planned(1, seconds=1, resources=cores(2)),
        planned(2, seconds=1, resources=cores(1)),
    ]
    assert makespan(steps, Room(resources=Resources(cpus=2))) == 4


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sets(st.integers(0, 30))), max_size=25),
    st.integers(1, 5),
)
def test_no_schedule_is_shorter_than_work_and_chains_allow(given: list[tuple[int, set[int]]], slots: int) -> None:
    steps = [
        planned(n, seconds=float(seconds), needs=sorted(need for need in needs if need < n))
        for n, (seconds, needs) in enumerate(given)
    ]
    work, longest = sum(seconds for seconds, _ in given), makespan(steps, Room())
    took = makespan(steps, Room(slots=slots))
    assert max(longest, work / slots) <= took <= work
    # Graham (1966): no list schedule is longer than this.
    assert took <= work / slots + longest * (1 - 1 / slots) + 1e-9
    assert makespan(steps, SERIAL) == work


def test_ten_thousand_steps_are_no_burden() -> None:
    assert makespan(fan(10_000), Room(slots=7)) == math.ceil(10_000 / 7)


def test_only_what_would_run_is_summed_up() -> None:
    steps = [planned(0, state=DONE, took=50.0), *(planned(n, seconds=2, size=10, needs=[0]) for n in (1, 2))]
    totals = totals_of(plan_of(steps, Room(slots=2)))
    assert (totals.steps, totals.done, totals.remaining) == (3, 1, 2)
    assert (totals.serial, totals.span, totals.size) == (4, 2, 20)
    assert (totals.untimed, totals.unsized) == (0, 0)


def test_steps_of_which_nothing_is_known_are_counted() -> None:
    totals = totals_of(plan_of([planned(0, seconds=1), planned(1)]))
    assert (totals.serial, totals.untimed, totals.size, totals.unsized) == (1, 1, None, 2)


def test_nothing_is_known_of_nothing_known() -> None:
    totals = totals_of(plan_of([planned(0)]))
    assert (totals.serial, totals.span, totals.size) == (None, None, None)


def test_a_plan_that_is_done_takes_no_time() -> None:
    totals = totals_of(plan_of([planned(0, state=DONE)]))
    assert (totals.remaining, totals.serial, totals.span, totals.size) == (0, 0, 0, 0)
