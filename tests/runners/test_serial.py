"""The serial runner runs a step here and now, and hands on what comes of it."""

import os
from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.resources import NOTHING
from mml.core.scripts.schedule import StepRecord
from mml.runners.base import Report, RunSetup, StepOutcome, Work, WorkerSetup
from mml.runners.serial import SerialRunner

WORK = Work(3, StepRecord("train", ["a", 0]), "1.1")


def opened(execute: Any) -> SerialRunner:
    runner = SerialRunner()
    assert runner.open(RunSetup(Path("/run"), Any, WorkerSetup("/run", {}), execute, lambda *_: None)) == []
    return runner


def test_step_runs_in_this_process_and_its_outcome_is_reported_once() -> None:
    seen: list[tuple[Work, int]] = []

    def execute(work: Work) -> StepOutcome:
        seen.append((work, os.getpid()))
        return StepOutcome(seconds=1.5, value=7)

    runner = opened(execute)
    runner.submit(WORK)
    assert seen == [(WORK, os.getpid())]
    assert runner.wait(None) == [Report(3, "1.1", StepOutcome(seconds=1.5, value=7))]
    assert runner.wait(None) == []


def test_there_is_room_for_one_step_until_it_is_reported() -> None:
    runner = opened(lambda work: StepOutcome(seconds=0.0))
    assert runner.has_room(NOTHING)
    runner.submit(WORK)
    assert not runner.has_room(NOTHING)
    runner.wait(0)
    assert runner.has_room(NOTHING)


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(3), KeyboardInterrupt()])
def test_error_of_a_step_is_raised_as_it_is(error: BaseException) -> None:
    def execute(work: Work) -> StepOutcome:
        raise error

    with pytest.raises(type(error)) as caught:
        opened(execute).submit(WORK)
    assert caught.value is error
