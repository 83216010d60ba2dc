"""WorkerWatch: what the workers of a run say, brought before people's eyes and into the run's log now and then."""

import time
from pathlib import Path

from mml.core.scripts.exceptions import WorkerLostError
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.run_files import LOG_FILE, WORKERS_FOLDER
from mml.core.scripts.worker_logs import WorkerLogs

LOOK_SECONDS = 1.0


class WorkerWatch:
    """Looks at the workers of a run.

    Args:
        folder: the run folder.
        progress: the display of the run.
    """

    def __init__(self, folder: Path, progress: RunProgress) -> None:
        self._folder, self._progress = folder, progress
        self._logs = WorkerLogs(folder, progress.console)
        self._due = 0.0
        progress.follow_workers(folder)

    def seconds_left(self) -> float:
        """Return the seconds until the next look is due."""
        return max(0.0, self._due - time.monotonic())

    def look(self) -> None:
        """Look if it is time to."""
        if time.monotonic() >= self._due:
            self._look()

    def explain(self, error: BaseException, worker: str) -> None:
        """Bring what a worker said before an error of a step, and say in a note of the error where it came from."""
        self._look()
        log = self._folder / WORKERS_FOLDER / worker / LOG_FILE
        if worker and not isinstance(error, WorkerLostError) and log.exists():
            error.add_note(f"It happened on worker {worker}, whose log is {log}")

    def _look(self) -> None:
        self._logs.poll()
        for worker, number in self._logs.begun.items():
            self._progress.assign_attempt(worker, number)
        self._progress.look()
        self._due = time.monotonic() + LOOK_SECONDS

    def close(self) -> None:
        """Look a last time, at all that is left."""
        self._logs.close()
