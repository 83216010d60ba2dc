"""What is on its way to Slurm: attempts become jobs in order, also when sbatch does not answer or takes no more now."""

import logging
import pickle
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from mml.core.scripts.exceptions import RunnerError
from mml.core.scripts.signals import signals_held_back
from mml.report.tables import seconds_text
from mml.runners.base import Report, RunSetup, Work
from mml.runners.slurm_check import crowded, refused_submission
from mml.runners.slurm_commands import SlurmAwayError, SlurmRefusedError
from mml.runners.slurm_job import JobSpec, encode_spec
from mml.runners.slurm_options import SlurmOptions
from mml.runners.slurm_queue import JobNote, end_jobs, jobs_noted
from mml.runners.slurm_watch import Watch
from mml.runners.transport import failed_report

if TYPE_CHECKING:
    from mml.runners.slurm_launch import Batch, Launcher

logger = logging.getLogger(__name__)

_PAUSE, _CROWDED_PAUSE = 10.0, 30.0  # seconds until sbatch is asked again
_END_SECONDS = 120.0  # that jobs get to end which sbatch had submitted without saying so


class Patience:
    """Bears a Slurm that is away for a while: tells it once, and gives up in the end.

    Args:
        minutes: how long it may be away.
    """

    def __init__(self, minutes: float) -> None:
        self._seconds = 60 * minutes
        self._since: float | None = None

    def answered(self) -> None:
        """Take note that Slurm is there."""
        if self._since is not None:
            logger.warning("Slurm answers again.")
        self._since = None

    def away(self, error: RunnerError) -> None:
        """Take note that Slurm is away.

        Raises:
            RunnerError: for too long.
        """
        if self._since is None:
            self._since = time.monotonic()
            logger.warning(
                "Slurm can't be reached: %s It is asked again for %s; jobs that run go on.",
                str(error).rstrip(".") + ".",
                seconds_text(self._seconds),
            )
        if time.monotonic() - self._since >= self._seconds:
            msg = (
                f"Slurm could not be reached for {seconds_text(self._seconds)} (runner.patience): {error} Its jobs go "
                "on, if it does: continue the run when `squeue` answers again."
            )
            raise RunnerError(msg) from error


class Outbox:
    """Submits attempts.

    Args:
        run: whose they are.
        launcher: submits batches.
        options: of all jobs.
        watch: over the attempts that are submitted.
        max_requeues: how often a job may ask to be started again.
        patience: with a Slurm that is away.
    """

    def __init__(  # noqa: PLR0913 # what belongs together elsewhere
        self,
        run: RunSetup,
        launcher: "Launcher",
        options: SlurmOptions,
        watch: Watch,
        *,
        max_requeues: int,
        patience: Patience,
    ) -> None:
        self._run, self._launcher, self._options, self._watch = run, launcher, options, watch
        self._max_requeues, self._patience = max_requeues, patience
        self._worker = pickle.dumps(run.worker)
        self.waiting: list[Work] = []
        # Of batches that sbatch may have taken, although it did not say so.
        self._unclear: dict[str, JobNote] = {}
        self._sizes: dict[str, int] = {}
        self._pause_until = 0.0

    @property
    def seconds_left(self) -> float:
        """Seconds until sbatch is asked again."""
        return max(0.0, self._pause_until - time.monotonic())

    def flush(self) -> list[Report]:
        """Submit what waits, as far as Slurm takes it; return the reports of attempts that it refuses for good.

        Raises:
            RunnerError: Slurm is away for too long.
        """
        if not self.waiting or self.seconds_left:
            return []
        from mml.runners.slurm_launch import batches, job_name

        refused: list[Report] = []
        for batch in batches(self.waiting, job_name(self._run.folder)):
            try:
                self._end_unclear(batch.name)
                self._launch(batch)
            except SlurmAwayError as error:
                self._pause_until = time.monotonic() + _PAUSE
                self._patience.away(error)
                break
            except SlurmRefusedError as error:
                if self._watch.flights and crowded(error.said):
                    self._pause_until = time.monotonic() + _CROWDED_PAUSE
                    logger.info("Slurm takes no more of your jobs for now: %s", error.said)
                    break
                refused += self._refused(batch, error)
            else:
                self._patience.answered()
        return refused

    def end_unclear(self) -> None:
        """End jobs that sbatch may have submitted without saying so.

        Raises:
            SlurmAwayError: Slurm can't be reached.
            SlurmRefusedError: it does not answer.
        """
        for name in list(self._unclear):
            self._end_unclear(name)

    def _end_unclear(self, name: str) -> None:
        if note := self._unclear.get(name):
            end_jobs(jobs_noted(note), _END_SECONDS)
            del self._unclear[name]

    def _launch(self, batch: "Batch") -> None:
        """Submit a batch, and write down before and after it what a later process needs to find its jobs."""
        from mml.runners.slurm_launch import dependency

        many = len(batch.works) > 1
        run = str(self._run.folder)
        notes = [
            JobNote(batch.name, run, str(work), element=element if many else None)
            for element, work in enumerate(batch.works)
        ]
        for work, note in zip(batch.works, notes, strict=True):
            self._run.take_down(work, note.as_job())
        wait_for = dependency(batch.needs, self._jobs(), self._sizes)
        self._unclear[batch.name] = JobNote(batch.name, run, "")
        with signals_held_back():
            jobs = self._launcher.launch(batch, wait_for, self._encoded)
            del self._unclear[batch.name]
            if many:
                self._sizes[jobs[0].partition("_")[0]] = len(jobs)
            for work, note, job in zip(batch.works, notes, jobs, strict=True):
                self.waiting.remove(work)
                self._watch.add(work, job)
                with suppress(OSError):  # it is found by its name, too
                    self._run.take_down(work, note.numbered(job).as_job())

    def _encoded(self, work: Work) -> bytes:
        return encode_spec(JobSpec(self._run.setup, self._worker, work, self._max_requeues))

    def _jobs(self) -> Mapping[str, str]:
        return {name: flight.job for name, flight in self._watch.flights.items()}

    def _refused(self, batch: "Batch", error: SlurmRefusedError) -> list[Report]:
        self._unclear.pop(batch.name, None)
        reports = []
        for work in batch.works:
            self.waiting.remove(work)
            reports.append(failed_report(work, refused_submission(error.said, self._options, str(work)), misfit=True))
        return reports
