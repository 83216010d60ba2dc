"""The runner that runs every step in the driver's own process, one after the other."""

from collections.abc import Callable

from mml.core.scripts.schedule import Step
from mml.runners.base import StepOutcome


class SerialRunner:
    """Runs steps in this process."""

    def submit(self, step: Step, execute: Callable[[Step], StepOutcome]) -> StepOutcome:
        """Run a step here and now."""
        return execute(step)
