"""From attempts to jobs: those that ask for the same go to Slurm as one array, those that others need before them."""

import io
import os
import shlex
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any, NamedTuple

from submitit import SlurmExecutor
from submitit.core.utils import FailedJobError

from mml.core.scripts.resources import Resources
from mml.core.scripts.signals import signals_held_back
from mml.runners.base import Work
from mml.runners.slurm_commands import refusal
from mml.runners.slurm_job import run_attempt
from mml.runners.slurm_options import SlurmOptions, sbatch_options, signal_seconds, thread_lines

# Below what clusters allow by default (MaxArraySize 1001).
LARGEST_ARRAY = 500
# Variables of a job that the driver may be in, which sbatch would take for wishes.
_OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")
_KEPT = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_CLUSTERS")
# Options of sbatch that submitit has parameters of its own for; all others go through as they are.
_PARAMETERS = {
    "partition": "partition",
    "time": "time",
    "account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "cpus-per-task": "cpus_per_task",
    "gpus-per-node": "gpus_per_node",
    "mem": "mem",
}


class Batch(NamedTuple):
    """Attempts that go to Slurm together.

    Attributes:
        name: of the job or array.
        works: the attempts.
        resources: of each.
        needs: names of the attempts that have to end well before these begin.
    """

    name: str
    works: list[Work]
    resources: Resources
    needs: frozenset[str] = frozenset()


def batches(works: Sequence[Work], prefix: str) -> list[Batch]:
    """Return attempts as batches, those that others need first.

    Args:
        works: the attempts.
        prefix: of the names of jobs.
    """
    levels: dict[str, int] = {}
    groups: dict[tuple[int, Resources, frozenset[str]], list[Work]] = {}
    for work in sorted(works, key=lambda work: work.step):
        levels[work.name] = 1 + max((levels.get(name, -1) for name in work.pending), default=-1)
        groups.setdefault((levels[work.name], work.resources, frozenset(work.pending)), []).append(work)
    found = []
    for (_, resources, needs), members in sorted(groups.items(), key=lambda item: (item[0][0], item[1][0].step)):
        for start in range(0, len(members), LARGEST_ARRAY):
            part = members[start : start + LARGEST_ARRAY]
            found.append(Batch(f"{prefix}-{part[0].name}", part, resources, needs))
    return found


def dependency(needs: Collection[str], jobs: Mapping[str, str], sizes: Mapping[str, int]) -> str:
    """Return the option of sbatch that lets a job wait until attempts have ended well, "" when it waits for none.

    Args:
        needs: names of the attempts.
        jobs: name -> number of the job, of those that are not over.
        sizes: number of an array -> number of its elements.
    """
    numbers = {jobs[name] for name in needs if name in jobs}
    for array, size in sizes.items():
        elements = {f"{array}_{element}" for element in range(size)}
        if elements <= numbers:
            numbers = (numbers - elements) | {array}
    return ":".join(["afterok", *sorted(numbers)]) if numbers else ""


class Launcher:
    """Submits batches through submitit.

    Args:
        folder: where submitit keeps scripts, functions and logs of the jobs.
        run: the run folder, which all jobs have as comment.
        options: of all jobs.
    """

    def __init__(self, folder: Path, run: Path, options: SlurmOptions) -> None:
        self._folder, self._run, self._options = folder, run, options
        folder.mkdir(parents=True, exist_ok=True)

    def launch(self, batch: Batch, wait_for: str, encoded: Callable[[Work], bytes]) -> list[str]:
        """Submit a batch and return the numbers of its jobs, one for each attempt.

        Args:
            batch: the attempts.
            wait_for: from `dependency`.
            encoded: returns what the job of an attempt has to know.

        Raises:
            SlurmAwayError: Slurm can't be reached; the jobs may be there all the same.
            SlurmRefusedError: sbatch refuses.
        """
        executor = SlurmExecutor(self._folder, python=self._options.python)
        executor.update_parameters(**self._parameters(batch, wait_for))
        try:
            with _undisturbed(), _outside_of_jobs(), redirect_stderr(io.StringIO()):  # submitit prints errors, too
                jobs = executor.map_array(run_attempt, [encoded(work) for work in batch.works])
        except FailedJobError as error:
            raise refusal(_words_of(error)) from error
        return [str(job.job_id) for job in jobs]

    def _parameters(self, batch: Batch, wait_for: str) -> dict[str, Any]:
        asked = sbatch_options(self._options, batch.resources)
        known = {_PARAMETERS[name]: value for name, value in asked.items() if name in _PARAMETERS}
        others = {name: value for name, value in asked.items() if name not in _PARAMETERS}
        needed = {"dependency": wait_for, "kill-on-invalid-dep": "yes"} if wait_for else {}
        return {
            "time": None,  # else submitit would ask for five minutes
            "wckey": None,
            **known,
            "job_name": batch.name,
            "comment": str(self._run),
            "signal_delay_s": signal_seconds(self._options),
            "array_parallelism": self._options.array_parallelism,
            "setup": [*self._options.setup, *thread_lines(batch.resources)],
            # Else srun takes one core, whatever the job has; and a job that asks for none would get none.
            "srun_args": [f"--cpus-per-task={known['cpus_per_task']}"] if "cpus_per_task" in known else None,
            "additional_parameters": {**needed, **others, "requeue": True},
        }


def _words_of(error: FailedJobError) -> str:
    """Return what sbatch said, without the frame that submitit puts around it."""
    lines = [line for line in str(error).splitlines() if line.startswith(("sbatch:", "Try ", "slurm"))]
    return "\n".join(lines) or str(error)


def job_name(run: Path) -> str:
    """Return the beginning of the names of all jobs of a run."""
    return f"mml-{run.name}"


def python_command(python: str | None) -> str | None:
    """Return what starts Python in a job, as a shell reads it; None: the driver's own."""
    return None if python is None else shlex.quote(python) if Path(python).exists() else python


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let signals wait until sbatch has answered, and keep the Ctrl-C of a terminal from it."""
    with signals_held_back():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Hide the job that the driver itself may be in."""
    hidden = {name: os.environ[name] for name in os.environ if name.startswith(_OF_A_JOB) and name not in _KEPT}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)
