"""What came of a step is a value that can be sent from process to process."""

import msgspec
import pytest

from mml.core.data_loading.task_struct import StructChange
from mml.core.scripts.schedule import StepRecord
from mml.runners.base import StepOutcome


def test_step_that_changed_nothing_says_so() -> None:
    outcome = StepOutcome(seconds=0.5)
    assert (outcome.tasks, outcome.value, outcome.grown) == ({}, msgspec.UNSET, [])


@pytest.mark.parametrize("value", [None, 0.5, {"a": [1]}])
def test_outcome_comes_back_from_another_process(value: object) -> None:
    outcome = StepOutcome(
        seconds=0.5, tasks={"a": StructChange(paths={"x": "p/x"})}, value=value, grown=[StepRecord("test", [1])]
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(outcome), type=StepOutcome) == outcome


def test_outcome_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        StepOutcome(seconds=0.5).seconds = 1.0  # type: ignore[misc]
