"""Slurm: a job that lost its machine is started again with the same commands, and each goes on with its own run.

Every process that works on a run in a job leaves a small file in the run folder, created exclusively and named by the
job and how often it was restarted. So a command of the restarted job finds the runs of the earlier one, and of equal
commands each takes another, in the order in which they were started.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from mml.core.scripts.redaction import redacted
from mml.core.scripts.run_files import CONFIG_FILE, RUNS_FOLDER
from mml.core.scripts.utils import fsync_folder

JOBS_FOLDER = "slurm"  # in a run folder
_PATIENCE = 60.0  # seconds that scontrol may take
_KEPT = "._-"


class SlurmJob(NamedTuple):
    """The job that this process belongs to.

    Attributes:
        name: as Slurm and its users call it: `123`, or `120_4` for the fourth of an array.
        cluster: on which numbers of jobs are unique.
        restart: how often it was started again.
        task: number of this process among those that one `srun` starts.
    """

    name: str
    cluster: str = ""
    restart: int = 0
    task: int = 0

    @property
    def stem(self) -> str:
        """The beginning of the names of its files."""
        text = f"{self.cluster or 'slurm'}-{self.name}-{self.task}"
        return "".join(sign if sign.isalnum() or sign in _KEPT else "_" for sign in text)


class JobMark(msgspec.Struct, frozen=True):
    """What a process of a job says in a run folder: its words, the overrides that Hydra made of them, and when."""

    command: list[str]
    overrides: list[str]
    time: float


def current_job(env: Mapping[str, str] | None = None) -> SlurmJob | None:
    """Return the job of this process, as Slurm's variables tell it; None outside of jobs."""
    env = os.environ if env is None else env
    name = env.get("SLURM_JOB_ID", "")
    if not name:
        return None
    array, number = env.get("SLURM_ARRAY_JOB_ID"), env.get("SLURM_ARRAY_TASK_ID")
    if array and number:  # the last of an array has the number of the whole
        name = f"{array}_{number}"
    return SlurmJob(
        name, env.get("SLURM_CLUSTER_NAME", ""), _number(env, "SLURM_RESTART_COUNT"), _number(env, "SLURM_PROCID")
    )


def mark(folder: Path, job: SlurmJob, overrides: Sequence[str]) -> bool:
    """Leave the file of a job in a run folder; return whether no process of its present start had done so before."""
    path = folder / JOBS_FOLDER / f"{job.stem}.{job.restart}.json"
    path.parent.mkdir(exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(JobMark(_words(), redacted(overrides), time.time())))
        file.flush()
        os.fsync(handle)
    fsync_folder(path.parent)
    return True


def own_run(proj_path: Path, job: SlurmJob, overrides: Sequence[str] | None) -> Path | None:
    """Return the run that this very command began before its job was started again, and mark it; None if there is none.

    Args:
        proj_path: folder of the project.
        job: that of this process.
        overrides: those of the command; None when its words alone count.
    """
    for folder in _runs_of(proj_path, job, overrides) if job.restart else ():
        if (folder / CONFIG_FILE).exists() and mark(folder, job, overrides or ()):
            return folder
    return None


def requeue(job: SlurmJob) -> str | None:
    """Ask Slurm to start the job again; return why it can't, None if it will."""
    try:
        done = subprocess.run(
            ["scontrol", "requeue", job.name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"


def _runs_of(proj_path: Path, job: SlurmJob, overrides: Sequence[str] | None) -> list[Path]:
    """Return the runs of earlier starts of a job that were begun with this command, in the order of their beginning."""
    first: dict[Path, float] = {}
    for path in (proj_path / RUNS_FOLDER).glob(f"*/{JOBS_FOLDER}/{job.stem}.*.json"):
        restart = path.name.split(".")[-2]
        found = _read(path) if restart.isdigit() and int(restart) < job.restart else None
        wanted = None if overrides is None else redacted(overrides)
        if found is not None and found.command == _words() and wanted in (None, found.overrides):
            folder = path.parent.parent
            first[folder] = min(found.time, first.get(folder, found.time))
    return sorted(first, key=lambda folder: (first[folder], folder.name))


def _read(path: Path) -> JobMark | None:
    """Return what a file of a job says; None when its process was killed before it was written."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=JobMark)
    except (OSError, ValueError):
        return None


def _words() -> list[str]:
    return [word.encode(errors="backslashreplace").decode() for word in redacted(sys.argv[1:])]


def _number(env: Mapping[str, str], name: str) -> int:
    text = env.get(name, "")
    return int(text) if text.isdecimal() else 0
