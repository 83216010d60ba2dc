"""The serial runner runs a step here and now, and hands on what comes of it."""

import os
from pathlib import Path

import pytest

from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.schedule import Step, make_step
from mml.runners.base import Runner, StepOutcome
from mml.runners.serial import SerialRunner

STEP = make_step(3, "train", ["a", 0], PathRoots(Path("/r"), Path("/d")))


@pytest.fixture
def runner() -> Runner:
    return SerialRunner()


def test_step_runs_in_this_process_and_its_outcome_is_returned(runner: Runner) -> None:
    seen: list[tuple[Step, int]] = []

    def execute(step: Step) -> StepOutcome:
        seen.append((step, os.getpid()))
        return StepOutcome(seconds=1.5, value=7)

    assert runner.submit(STEP, execute) == StepOutcome(seconds=1.5, value=7)
    assert seen == [(STEP, os.getpid())]


def test_error_of_a_step_is_raised_as_it_is(runner: Runner) -> None:
    error = ValueError("boom")

    def execute(step: Step) -> StepOutcome:
        raise error

    with pytest.raises(ValueError, match="boom") as caught:
        runner.submit(STEP, execute)
    assert caught.value is error
