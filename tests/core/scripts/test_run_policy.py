"""What a run does about a step that fails, as the config says it."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from mml.core.scripts.exceptions import (
    Interrupted,
    JournalError,
    MMLError,
    MMLMisconfigurationException,
    PlanError,
    RunLockedError,
    TaskDataError,
    TaskDescriptionError,
    UnknownNameError,
    WorkerLostError,
)
from mml.core.scripts.run_policy import LONGEST_PAUSE, RunPolicy, fails_a_step, read_policy


def policy(**keys: Any) -> RunPolicy:
    return read_policy(OmegaConf.create(keys))


def test_config_without_a_policy_stops_at_the_first_failure() -> None:
    assert policy() == RunPolicy("stop", 0, 5.0)
    assert not policy().goes_on
    assert not policy().tries_again(OSError(), 1)


def test_policy_is_that_of_the_config() -> None:
    assert policy(on_error="continue", retries=2, retry_pause=0) == RunPolicy("continue", 2, 0.0)
    assert policy(on_error="continue").goes_on


@pytest.mark.parametrize("value", ["contine", "ignore", None, True, 3])
def test_other_ways_to_go_on_are_refused_with_the_choices(value: Any) -> None:
    with pytest.raises(UnknownNameError, match=f"Unknown on_error '{value}'.*continue.*`stop` ends"):
        policy(on_error=value)


@pytest.mark.parametrize("value", [-1, 1.5, True, "2", None])
def test_number_of_retries_is_a_whole_number(value: Any) -> None:
    with pytest.raises(MMLMisconfigurationException, match=f"retries={value} can't be done"):
        policy(retries=value)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), True, "5", None])
def test_pause_is_a_number_of_seconds(value: Any) -> None:
    with pytest.raises(MMLMisconfigurationException, match=f"retry_pause={value} can't be a pause"):
        policy(retry_pause=value)


@pytest.mark.parametrize(
    ("pause", "waits"), [(5, [5, 10, 20, 40]), (0, [0] * 4), (400, [400, 600, 600, 600]), (1000, [1000] * 4)]
)
def test_pause_doubles_up_to_a_limit(pause: float, waits: list[float]) -> None:
    assert [RunPolicy(pause=pause).pause_after(attempt) for attempt in range(1, 5)] == waits


def test_pause_after_thousands_of_attempts_is_the_longest() -> None:
    assert RunPolicy(pause=0.1).pause_after(10_000) == LONGEST_PAUSE


def test_step_is_tried_again_as_often_as_asked() -> None:
    assert [RunPolicy(retries=2).tries_again(ValueError(), attempt) for attempt in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (OSError(), True),
        (RuntimeError(), True),
        (ValueError(), True),
        (MemoryError(), True),
        (MMLError(), True),
        (TaskDataError(), True),
        (MMLMisconfigurationException(), False),
        (PlanError(), False),
        (TaskDescriptionError(), False),
        (JournalError(), False),
        (NameError(), False),
        (NotImplementedError(), False),
        (SyntaxError(), False),
        (SystemExit(1), False),
        (KeyboardInterrupt(), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_what_would_fail_alike_is_not_tried_again(error: BaseException, again: bool) -> None:
    assert RunPolicy(retries=1).tries_again(error, 1) is again


@pytest.mark.parametrize(
    ("error", "fails"),
    [
        (ValueError(), True),
        (MMLMisconfigurationException(), True),
        (SystemExit(0), True),
        (RunLockedError(), False),
        (Interrupted(15), False),
        (KeyboardInterrupt(), False),
        (GeneratorExit(), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_being_asked_to_stop_is_no_failure_of_a_step(error: BaseException, fails: bool) -> None:
    assert fails_a_step(error) is fails


def test_step_whose_worker_died_is_tried_again_where_failures_are_not() -> None:
    lost = WorkerLostError("killed")
    assert [policy().tries_again(lost, attempt) for attempt in (1, 2, 3)] == [True, True, False]
    assert policy(retries_lost=0).tries_again(lost, 1) is False
    assert policy(retries=5, retries_lost=1).retries_after(lost) == 5
    assert policy(retries=5).retries_after(OSError()) == 5


@pytest.mark.parametrize("value", [-1, 1.5, True, "2", None])
def test_number_of_retries_of_lost_steps_is_a_whole_number(value: Any) -> None:
    with pytest.raises(MMLMisconfigurationException, match=f"retries_lost={value} can't be done"):
        policy(retries_lost=value)
