"""What a runner is: it takes a step and gives back what came of it. Only the driver writes the journal."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from mml.core.data_loading.task_struct import StructChange
from mml.core.scripts.schedule import Step, StepRecord


class StepOutcome(msgspec.Struct, frozen=True):
    """What a step changed.

    Attributes:
        seconds: wall time of the step.
        tasks: task name -> change of its struct.
        value: the return value, `msgspec.UNSET` when the step did not set it.
        grown: steps that the step added to the plan.
    """

    seconds: float
    tasks: dict[str, StructChange] = {}
    value: Any = msgspec.UNSET
    grown: list[StepRecord] = []


class Runner(Protocol):
    """Runs steps somewhere."""

    def submit(self, step: Step, execute: Callable[[Step], StepOutcome]) -> StepOutcome:
        """Run a step and return its outcome; an error of the step is raised here.

        Args:
            step: what to run.
            execute: runs it in a process that has the scheduler.
        """
        ...
