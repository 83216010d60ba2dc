"""The jobs of a run in Slurm's queue, as notes of its attempts name them: looked at, found again, cancelled."""

import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mml.core.scripts.exceptions import RunnerError
from mml.core.scripts.run_files import ATTEMPTS_FOLDER, JOB_FILE, REPORT_FILE
from mml.runners.slurm_commands import QueueEntry, SlurmRefusedError, cancel_jobs, jobs_named, jobs_of, own_jobs
from mml.runners.slurm_states import ended

RUNNER = "slurm"
_PATIENCE = 300.0  # seconds that a cancelled job gets to end
_LOOK = 0.5


class QueuedJob(NamedTuple):
    """A job of a run.

    Attributes:
        step: number, command and params.
        job: its number, `12_3` for an element of an array; "" when Slurm does not know it.
        state: one of Slurm's words, e.g. `PENDING`; `REPORTED` when the step is over and waits for `mml continue`.
        reason: why it is in this state, "" when nothing is said.
        where: the machine, "" when on none.
        since: when it began, or else when it was submitted, as `2026-11-20T13:30:32`.
    """

    step: str
    job: str
    state: str
    reason: str = ""
    where: str = ""
    since: str = ""


class JobNote(msgspec.Struct, frozen=True):
    """What is kept of the job of an attempt.

    Attributes:
        name: of the job, or of the array that it is an element of; unique in the run.
        run: the run folder, which all its jobs have as comment.
        step: for people.
        job: its number, "" as long as sbatch has not said it.
        element: number in the array, None when it is in none.
        runner: name of the runner.
        cancel: the function that ends the job for certain.
    """

    name: str
    run: str
    step: str
    job: str = ""
    element: int | None = None
    runner: str = RUNNER
    cancel: str = f"{__name__}:cancel"

    def numbered(self, job: str) -> "JobNote":
        """Return the note with the number of its job."""
        return msgspec.structs.replace(self, job=job)

    def as_job(self) -> dict[str, Any]:
        """Return the note as it is kept."""
        return msgspec.structs.asdict(self)


def read_note(job: Mapping[str, Any]) -> JobNote | None:
    """Return the note that was kept, None when it is none of this runner."""
    try:
        note = msgspec.convert({key: value for key, value in job.items()}, JobNote)
    except msgspec.ValidationError:
        return None
    return note if note.runner == RUNNER else None


def entries_noted(note: JobNote) -> list[QueueEntry]:
    """Return the jobs that a note may mean and that are not over.

    Those are the one that it names or, when sbatch had not said it, those with its name.

    Raises:
        SlurmAwayError: Slurm can't be reached.
        SlurmRefusedError: it does not answer.
    """
    if note.job:
        entry = own_jobs([note.job], note.run).get(note.job)
        found = [entry] if entry else []
    else:
        found = jobs_named(note.name, note.run)
        if note.element is not None:
            found = [entry for entry in found if entry.job.endswith(f"_{note.element}")]
    return [entry for entry in found if not ended(entry.state)]


def jobs_noted(note: JobNote) -> list[str]:
    """Return the numbers of those jobs; `entries_noted` says which they are."""
    return [entry.job for entry in entries_noted(note)]


def queued_jobs(folder: Path) -> list[QueuedJob]:
    """Return the jobs of a run, in the order of its plan.

    Args:
        folder: the run folder.

    Raises:
        SlurmAwayError: Slurm can't be reached.
        SlurmRefusedError: it does not answer.
    """
    notes = list(_notes_of(folder))
    entries = own_jobs([note.job for _, note in notes], str(folder))
    return [_queued(path, note, entries.get(note.job)) for path, note in notes]


def _notes_of(folder: Path) -> Iterable[tuple[Path, JobNote]]:
    for path in sorted((folder / ATTEMPTS_FOLDER).glob(f"*/{JOB_FILE}")):
        try:
            job = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.MsgspecError):  # it is being removed
            continue
        if (note := read_note(job)) is not None:
            yield path.parent, note


def _queued(attempt: Path, note: JobNote, entry: QueueEntry | None) -> QueuedJob:
    reported = (attempt / REPORT_FILE).exists()
    if entry is None:
        return QueuedJob(note.step, note.job, "REPORTED" if reported else "UNKNOWN")
    state = "REPORTED" if reported else entry.state
    return QueuedJob(note.step, note.job, state, "" if reported else entry.reason, entry.node, entry.since)


def cancel(job: Mapping[str, Any]) -> None:
    """Cancel the job of a note, and return when it is over for certain.

    Args:
        job: from `JobNote.as_job`.

    Raises:
        RunnerError: nobody knows whether it is over; says what to do.
    """
    note = read_note(job)
    if note is None:
        msg = f"{dict(job)} is no note of a Slurm job."
        raise RunnerError(msg)
    what = f"job {note.job}" if note.job else f"jobs with the name {note.name}"
    command = f"scancel {note.job}" if note.job else f"scancel --name={note.name}"
    try:
        left = end_jobs(jobs_noted(note), _PATIENCE)
    except RunnerError as error:
        msg = (
            f"Slurm says nothing of {what}: {error} When it answers again, `{command}` ends it; "
            "`squeue` shows when it is over."
        )
        raise RunnerError(msg) from error
    if left:
        msg = f"Slurm job {', '.join(left)} was cancelled, but does not end. `scontrol show job {left[0]}` says more."
        raise RunnerError(msg)


def end_jobs(jobs: Collection[str], patience: float) -> list[str]:
    """Cancel jobs, wait until they are over, and return those that are not.

    Args:
        jobs: their numbers.
        patience: seconds to wait at most.

    Raises:
        SlurmAwayError: Slurm can't be reached.
        SlurmRefusedError: it refuses.
    """
    try:
        cancel_jobs(jobs)
    except SlurmRefusedError:
        if left := await_jobs(jobs, 0):  # they may be over all the same
            raise
        return left
    return await_jobs(jobs, patience)


def await_jobs(jobs: Collection[str], patience: float) -> list[str]:
    """Wait until jobs are over, and return those that are not.

    Args:
        jobs: their numbers.
        patience: seconds to wait at most.

    Raises:
        SlurmAwayError: Slurm can't be reached.
        SlurmRefusedError: it does not answer.
    """
    left, end = list(jobs), time.monotonic() + patience
    while left:
        known = jobs_of(left)
        left = [job for job in left if job in known and not ended(known[job].state)]
        if not left or time.monotonic() >= end:
            break
        time.sleep(_LOOK)
    return left
