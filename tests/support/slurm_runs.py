"""A driver of toy steps for tests of the runner that has Slurm do them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mml.core.scripts.attempts import AttemptFolder
from mml.runners.base import Earlier, Report, RunSetup, Work
from mml.runners.slurm import SlurmRunner
from tests.support.toy_worker import toy_run

LIMIT = 120.0


class Driver:
    """Does what the driver of a run does with a runner: gives attempts their folders, and keeps what is taken down.

    Args:
        folder: the run folder.
        options: of the runner.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.runner = SlurmRunner(**options)
        self.config: dict[str, Any] = {}

    def open(self, *earlier: Work) -> list[Work]:
        """Open the runner; return the attempts of an earlier driver that it goes on with."""
        found = [Earlier(work, AttemptFolder(self.folder, work.name).job() or {}) for work in earlier]
        return self.runner.open(self.setup()._replace(earlier=found))

    def setup(self) -> RunSetup:
        """Return what the runner gets."""

        def take_down(work: Work, job: dict[str, Any]) -> None:
            AttemptFolder(self.folder, work.name).take_down(job)

        return toy_run(self.folder, **self.config)._replace(take_down=take_down)

    def submit(self, *works: Work) -> None:
        """Hand attempts to the runner."""
        for work in works:
            AttemptFolder(self.folder, work.name).create()
            self.runner.submit(work)

    def collect(self, number: int = 1) -> dict[int, Report]:
        """Return the reports of so many attempts, by the number of the step."""
        reports: list[Report] = []
        end = time.monotonic() + LIMIT
        while len(reports) < number:
            assert time.monotonic() < end, f"{len(reports)} of {number} reports came within {LIMIT} s"
            reports += self.runner.wait(1)
        return {report.step: report for report in reports}

    def queue(self) -> None:
        """Have all that was handed over submitted."""
        self.until(lambda: not self.runner._box.waiting)

    def until(self, ready: Callable[[], object]) -> None:
        """Let the runner work until something holds; no report may come meanwhile."""
        end = time.monotonic() + LIMIT
        while not ready():
            assert time.monotonic() < end, f"waited {LIMIT} s"
            assert self.runner.wait(0.1) == []

    def job(self, work: Work) -> str:
        """Return the number of the job of an attempt."""
        return str((AttemptFolder(self.folder, work.name).job() or {}).get("job", ""))
