"""The runner that runs every step in the driver's own process, one after the other."""

from typing import ClassVar

from mml.core.scripts.resources import Resources
from mml.runners.base import Report, RunSetup, Work


class SerialRunner:
    """Runs steps in this process."""

    in_process: ClassVar[bool] = True
    fenced: ClassVar[bool] = False
    chained = False
    detaches = False

    def __init__(self) -> None:
        self._run: RunSetup | None = None
        self._report: Report | None = None

    def open(self, run: RunSetup) -> list[Work]:
        """Get ready; nothing of an earlier process can still run."""
        self._run = run
        return []

    def check(self, resources: Resources, what: str) -> None:
        """Find that the step can be done: it gets all that this machine has."""

    def has_room(self, resources: Resources) -> bool:  # noqa: ARG002 # one step is one step
        """Tell whether the last step was reported."""
        return self._report is None

    def submit(self, work: Work) -> None:
        """Run a step here and now; its error is raised here."""
        assert self._run is not None, "the runner is not open"
        outcome = self._run.execute(work)
        self._report = Report(work.step, work.attempt, outcome)

    def wait(self, seconds: float | None) -> list[Report]:  # noqa: ARG002 # what was submitted is over
        """Return the report of the step that was submitted last."""
        report, self._report = self._report, None
        return [] if report is None else [report]

    def interrupt(self) -> None:
        """Do nothing: a signal interrupts this process itself."""

    def close(self) -> None:
        """Do nothing: nothing runs any more."""
