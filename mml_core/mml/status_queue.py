"""The jobs of a run in the queue of Slurm, as `mml status` shows them; asked for seldom, as others wait for it, too."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mml.core.scripts.exceptions import RunnerError
from mml.core.scripts.run_files import ATTEMPTS_FOLDER, JOB_FILE
from mml.report.texts import count_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mml.runners.slurm_queue import QueuedJob

ASK_SECONDS = 5.0  # between two questions while a run is watched
SHOWN = 20  # jobs; the others are a number
REPORTED = "REPORTED"  # the state of a job whose step is over
_RUNNER = "mml.runners.slurm"
_STYLES = {"RUNNING": "bold blue", "COMPLETING": "bold blue", "PENDING": "yellow", REPORTED: "green"}
_BAD = "red"


class Queue(NamedTuple):
    """What Slurm says of the jobs of a run.

    Attributes:
        jobs: in the order of the plan.
        fault: why Slurm does not answer, "" when it does.
    """

    jobs: "Sequence[QueuedJob]"
    fault: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether a step of the run may still begin or end, as far as anybody knows."""
        return bool(self.fault) or any(job.state != REPORTED for job in self.jobs)


class QueueReader:
    """Asks Slurm for the jobs of runs, not more often than once in some seconds."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[float, Queue | None]] = {}

    def __call__(self, folder: Path) -> Queue | None:
        """Return what Slurm says of the jobs of a run folder, None when none of its steps is a job."""
        asked, queue = self._known.get(folder, (float("-inf"), None))
        if time.monotonic() - asked >= ASK_SECONDS:
            queue = read_queue(folder)
            self._known[folder] = (time.monotonic(), queue)
        return queue


def read_queue(folder: Path) -> Queue | None:
    """Return what Slurm says of the jobs of a run folder, None when none of its steps is a job."""
    if not _has_jobs(folder):
        return None
    try:
        from mml.runners.slurm_queue import queued_jobs

        return Queue(queued_jobs(folder))
    except RunnerError as error:
        return Queue((), str(error))


def _has_jobs(folder: Path) -> bool:
    for path in (folder / ATTEMPTS_FOLDER).glob(f"*/{JOB_FILE}"):
        with suppress(OSError, msgspec.MsgspecError):
            job = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
            return job.get("runner") == "slurm" or str(job.get("runner_class", "")).startswith(_RUNNER)
    return False


def queue_record(queue: Queue | None) -> dict[str, Any]:
    """Return a queue as plain JSON values."""
    if queue is None:
        return {"queue": None, "queue_error": None}
    return {"queue": [job._asdict() for job in queue.jobs], "queue_error": queue.fault or None}


def draw_queue(queue: Queue, shown: int = SHOWN) -> Iterator["RenderableType"]:
    """Yield what is shown of a queue: how many jobs are in which state, and the first of them."""
    from rich.table import Table  # nothing of it is wanted by `mml status --json`
    from rich.text import Text

    if queue.fault:
        yield Text.assemble(("  queue  ", "dim"), (f"Slurm does not answer: {queue.fault}", _BAD))
    if not queue.jobs:
        return
    counts = ", ".join(f"{count:,} {state}" for state, count in Counter(job.state for job in queue.jobs).items())
    yield Text.assemble(("  queue  ", "dim"), f"{count_text(len(queue.jobs), 'job')}: {counts}")
    table = Table.grid(padding=(0, 2, 0, 0))
    for name in ("job", "state", "step", "where", "since"):
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1 if name == "step" else None)
    for job in queue.jobs[:shown]:
        state = Text(job.state, style=_STYLES.get(job.state, _BAD))
        table.add_row(f"    {job.job or '?'}", state, job.step, _where_or_why(job), job.since.replace("T", " "))
    yield table
    if (more := len(queue.jobs) - shown) > 0:
        yield Text(f"    and {count_text(more, 'more job')}", style="dim")


def _where_or_why(job: "QueuedJob") -> str:
    reason = "is over, `mml continue` takes it" if job.state == REPORTED else job.reason
    return " ".join(part for part in (job.where, f"({reason})" if reason else "") if part)
