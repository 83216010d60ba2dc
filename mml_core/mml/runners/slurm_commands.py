"""The commands of Slurm: called in a group of their own, their answers read, and a Slurm that is away told from a no.

One call is made for any number of jobs: a controller has many users.
"""

import os
import re
import subprocess
from collections.abc import Collection, Iterable
from typing import NamedTuple

from mml.core.scripts.exceptions import RunnerError

_PATIENCE = 60.0  # seconds that a command may take
_AWAY = re.compile(
    r"(?i)unable to contact|connection (refused|timed out|reset)|connect failure|socket timed out|zero bytes were|"
    r"communication (connection )?failure|backup controller|unable to establish|in standby mode|munge|"
    r"authentication (error|failure)|temporarily (unavailable|unable)|retrying|did not answer"
)
_OVER_ALREADY = re.compile(r"(?i)already completing or completed|invalid job id|job has finished")
_UNKNOWN_JOB = re.compile(r"(?i)invalid job id")
# What a user may have set to have other output than ours is read as.
_OTHER_OUTPUT = ("SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_", "SLURM_TIME_FORMAT")
_FIELDS = "%i|%T|%r|%N|%S|%V|%k"


class SlurmAwayError(RunnerError):
    """Slurm can't be reached at the moment; what it was asked for may be asked for again."""


class SlurmRefusedError(RunnerError):
    """Slurm has refused; the text is what it said.

    Args:
        said: by the command.
    """

    def __init__(self, said: str) -> None:
        self.said = said
        super().__init__(said)


class QueueEntry(NamedTuple):
    """What Slurm says of a job.

    Attributes:
        job: its number; `12_3` for an element of an array.
        state: one of Slurm's words, e.g. `PENDING`.
        reason: why it is in this state, "" when nothing is said.
        node: where it runs or ran, "" when nowhere.
        since: when it began, or else when it was submitted, as `2026-11-20T13:30:32`.
        comment: as given when it was submitted.
    """

    job: str
    state: str
    reason: str = ""
    node: str = ""
    since: str = ""
    comment: str = ""


def ask(*command: str, seconds: float = _PATIENCE, told: str = "") -> str:
    """Return what a command of Slurm prints.

    Args:
        command: its words.
        seconds: how long it may take.
        told: its standard input.

    Raises:
        SlurmAwayError: Slurm can't be reached.
        SlurmRefusedError: the command failed in another way.
    """
    try:
        done = subprocess.run(
            command,
            input=told,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the driver, which still needs answers then
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{command[0]} did not answer within {seconds:g} s."
        raise SlurmAwayError(msg) from error
    except OSError as error:
        raise SlurmRefusedError(str(error)) from error
    if done.returncode:
        raise refusal(done.stderr.strip() or done.stdout.strip() or f"{command[0]} ended with {done.returncode}")
    return done.stdout


def refusal(said: str) -> SlurmAwayError | SlurmRefusedError:
    """Return the error for what a command of Slurm said when it failed."""
    return SlurmAwayError(said) if _AWAY.search(said) else SlurmRefusedError(said)


def jobs_of(ids: Iterable[str]) -> dict[str, QueueEntry]:
    """Return what the controller knows of jobs, ended ones included as long as it remembers them.

    Args:
        ids: their numbers; those of an element, too.

    Raises:
        SlurmAwayError: it can't be reached.
        SlurmRefusedError: it does not answer this.
    """
    wanted = sorted({number.partition("_")[0] for number in ids if number})
    if not wanted:
        return {}
    return {entry.job: entry for entry in _entries("-j", ",".join(wanted))}


def own_jobs(ids: Iterable[str], comment: str) -> dict[str, QueueEntry]:
    """Return what the controller knows of jobs with a comment: a number may be another job's after it lost its memory.

    Raises:
        SlurmAwayError: it can't be reached.
        SlurmRefusedError: it does not answer this.
    """
    return {job: entry for job, entry in jobs_of(ids).items() if entry.comment == comment}


def jobs_named(name: str, comment: str) -> list[QueueEntry]:
    """Return the jobs with a name and a comment.

    Raises:
        SlurmAwayError: the controller can't be reached.
        SlurmRefusedError: it does not answer this.
    """
    return [entry for entry in _entries(f"--name={name}") if entry.comment == comment]


def _entries(*which: str) -> list[QueueEntry]:
    try:
        said = ask("squeue", "-h", "-r", "-t", "all", "-o", _FIELDS, *which)
    except SlurmRefusedError as error:
        if _UNKNOWN_JOB.search(error.said):
            return []
        raise
    return [entry for line in said.splitlines() if (entry := _entry(line))]


def _entry(line: str) -> QueueEntry | None:
    """Return the job of a line of squeue."""
    fields = line.split("|", _FIELDS.count("|"))
    if len(fields) <= _FIELDS.count("|"):
        return None
    job, state, reason, node, start, submitted, comment = ("" if _nothing(field) else field for field in fields)
    return QueueEntry(job, state, reason, node, start or submitted, comment)


def _nothing(field: str) -> bool:
    return field.strip() in ("", "None", "N/A", "(null)")


def account_of(job: str) -> tuple[str, str]:
    """Return state and node of a job that the controller has forgotten, as accounting says; "" where it is off."""
    from submitit.slurm.slurm import SlurmInfoWatcher

    try:
        said = ask("sacct", "-n", "-o", "JobID,State,NodeList", "--parsable2", "-j", job.partition("_")[0])
    except RunnerError:
        return "", ""
    info = SlurmInfoWatcher().read_info("JobID|State|NodeList\n" + said).get(job, {})
    return str(info.get("State", "")).partition(" ")[0], str(info.get("NodeList", ""))


def details_of(job: str) -> dict[str, str]:
    """Return what `scontrol show job` says of a job, by its keys; nothing when it says nothing."""
    try:
        said = ask("scontrol", "-o", "show", "job", job)
    except RunnerError:
        return {}
    return dict(re.findall(r"(?:^|\s)([A-Z][\w:/]*)=(\S*)", said.partition("\n")[0]))


def cancel_jobs(ids: Collection[str], *options: str) -> None:
    """Cancel jobs, or send them a signal; those that are over already are no error.

    Args:
        ids: their numbers.
        options: of scancel, e.g. `--signal=TERM`.

    Raises:
        SlurmAwayError: Slurm can't be reached.
        SlurmRefusedError: it refuses.
    """
    if not ids:
        return
    try:
        ask("scancel", *options, *sorted(ids))
    except SlurmRefusedError as error:
        lines = [line for line in error.said.splitlines() if line.strip() and not _OVER_ALREADY.search(line)]
        if lines:
            raise SlurmRefusedError("\n".join(lines)) from error


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OTHER_OUTPUT)}
