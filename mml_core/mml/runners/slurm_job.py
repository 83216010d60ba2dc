"""What a job of Slurm does: one attempt at a step, whose report it leaves in the folder of the attempt.

Slurm may start the job again at any time, on another machine, and may tell it to leave: then a training has written a
checkpoint, the job asks to be started again, and the same attempt goes on.
"""

import fcntl
import logging
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from mml.core.scripts.exceptions import Interrupted, RunnerError, WorkerLostError, WorkerStepError
from mml.core.scripts.run_files import ATTEMPTS_FOLDER, REPORT_FILE
from mml.core.scripts.signals import SignalGuard, guarded_signals
from mml.core.scripts.slurm import SlurmJob, current_job, requeue
from mml.core.scripts.utils import fsync_folder
from mml.runners.base import Report, Work, Worker, WorkerSetup
from mml.runners.hosting import see_modules
from mml.runners.slurm_commands import jobs_of
from mml.runners.transport import decode_report, encode, failed_report, lost_report

logger = logging.getLogger(__name__)

STOP_FILE = "stop"  # in the folder of an attempt: its driver wants it to stop
STARTS_FILE = "starts"  # a line for each time that Slurm started its job: the name of the worker
_REQUEUES_FILE = "requeues"  # a sign for each time that the job asked to be started again
_LOCK_FILE = "job.lock"
_PATIENCE = 600.0  # seconds until an earlier start of the same job, on a machine that was given up, lets go


class JobSpec(msgspec.Struct, frozen=True):
    """What a job has to know: plain values, but for the class of the worker, which is read when modules are seen.

    Attributes:
        setup: of the run.
        worker: class of the worker, pickled by its name.
        work: the attempt.
        max_requeues: how often the job may ask to be started again.
    """

    setup: WorkerSetup
    worker: bytes
    work: Work
    max_requeues: int = 0

    @property
    def folder(self) -> Path:
        """The folder of the attempt."""
        return Path(self.setup.folder) / ATTEMPTS_FOLDER / self.work.name


def encode_spec(spec: JobSpec) -> bytes:
    """Return what a job has to know as bytes."""
    return msgspec.msgpack.encode(spec)


def run_attempt(data: bytes) -> None:
    """Be the function that a job calls.

    Args:
        data: from `encode_spec`.

    Raises:
        SystemExit: the attempt is not done, so that jobs which need it are not started.
    """
    spec = msgspec.msgpack.decode(data, type=JobSpec)
    with guarded_signals() as guard:
        # Slurm's time limit, and the one that it takes a machine away, which a guard need not know elsewhere.
        signal.signal(signal.SIGUSR2, guard.handle)
        code = _Attempt(spec, guard).make()
    if code:
        sys.exit(code)


class _Attempt:
    """One start of the job of an attempt."""

    def __init__(self, spec: JobSpec, guard: SignalGuard) -> None:
        self._spec = spec
        self._guard = guard
        self._folder = spec.folder
        self._job = current_job() or SlurmJob(f"process-{os.getpid()}")
        restarted = f".{self._job.restart}" if self._job.restart else ""
        self._name = worker_name(self._job.name) + restarted

    def make(self) -> int:
        """Make the attempt, unless it is made or given up, and return the exit code of the job."""
        if not self._folder.is_dir():
            logger.warning("Attempt %s was given up; there is nothing to do.", self._spec.work.name)
            return 0
        try:
            with _alone_in(self._folder):
                return self._make_alone()
        except FileNotFoundError:
            if self._folder.is_dir():
                raise
            return 0  # it was given up meanwhile

    def _make_alone(self) -> int:
        if (made := read_report(self._folder)) is not None:
            return _exit_code(made)
        _add_line(self._folder / STARTS_FILE, self._name)
        try:
            self._guard.check()
            if (self._folder / STOP_FILE).exists():
                raise Interrupted(signal.SIGTERM)  # noqa: TRY301 - as if the signal had come now
            report = self._execute()
        except Interrupted as error:
            report = failed_report(self._spec.work, error, self._name)
        return self._settle(report)

    def _execute(self) -> Report:
        spec = self._spec
        see_modules(spec.setup)
        os.environ["SLURM_JOB_NAME"] = "interactive"  # keeps Lightning from taking over signals and ranks of the job
        try:
            make = pickle.loads(spec.worker)
            worker: Worker = make(spec.setup, self._name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, no step can be done here
            return failed_report(spec.work, error, self._name, misfit=True)
        try:
            return worker.execute(spec.work)
        finally:
            worker.close()

    def _settle(self, report: Report) -> int:
        """Leave the report; or have the job started again, when it only has to leave its machine."""
        signum = report.error.interrupted if report.error else 0
        if signum and not (self._folder / STOP_FILE).exists():
            # Where Slurm ends the job already, it knows whether it starts again.
            asked_to_leave = (signal.SIGUSR1, signal.SIGUSR2)
            if self._state() not in (("RUNNING", "") if signum in asked_to_leave else ("RUNNING",)):
                return 1
            why = self._start_again()
            if not why or self._state() not in ("RUNNING", ""):
                return 1
            report = self._given_up(why)
        write_report(self._folder, report)
        return _exit_code(report)

    def _state(self) -> str:
        """Return the state of the job, "" when Slurm does not say it; it is running when it was sent a signal alone."""
        try:
            entry = jobs_of([self._job.name]).get(self._job.name)
        except RunnerError:
            return ""
        return entry.state if entry else ""

    def _start_again(self) -> str:
        """Ask Slurm to start the job again; return why that can't be, "" when it will."""
        most = self._spec.max_requeues
        if _count(self._folder / _REQUEUES_FILE) >= most:
            return f"it was started again {most} times already, which is the most (runner.max_requeues)"
        _add_line(self._folder / _REQUEUES_FILE, self._name)
        logger.warning("Job %s has to leave its machine, and goes on when Slurm starts it again.", self._job.name)
        return requeue(self._job) or ""

    def _given_up(self, why: str) -> Report:
        text = (
            f"Slurm job {self._job.name} had to leave its machine before {self._spec.work} was done, as its time was "
            f"up or another took its place, and is not started again: {why}. Give it more time "
            "(runner.time_limit=<minutes>)."
        )
        if _count(self._folder / _REQUEUES_FILE) >= self._spec.max_requeues:
            return failed_report(self._spec.work, WorkerStepError(text), self._name)
        return lost_report(self._spec.work, text, self._name)


def worker_name(job: str) -> str:
    """Return the name of the worker that the first start of a job is."""
    return f"slurm-{job}"


def read_report(folder: Path) -> Report | None:
    """Return the report in the folder of an attempt, None when there is none."""
    try:
        return decode_report((folder / REPORT_FILE).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None


def write_report(folder: Path, report: Report) -> None:
    """Leave a report in the folder of an attempt, for good; nothing when the attempt was given up."""
    beside = folder / f".{REPORT_FILE}.{os.getpid()}.tmp"
    with suppress(FileNotFoundError):  # never made anew, as `atomic_write` would
        with beside.open("wb") as file:
            file.write(encode(report))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(folder / REPORT_FILE)
        fsync_folder(folder)


def starts_of(folder: Path) -> list[str]:
    """Return the names of the workers that made an attempt, one for each start of its job."""
    try:
        return (folder / STARTS_FILE).read_text().split()
    except OSError:
        return []


def _exit_code(report: Report) -> int:
    interrupted = report.error is not None and report.error.interrupted
    return 0 if report.outcome is not None or interrupted else 1


def _add_line(path: Path, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, f"{line}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def _count(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other starts of the same job out while the block runs: Slurm may take one for dead that is not.

    Raises:
        WorkerLostError: another one does not let go.
        Interrupted: a signal came meanwhile.
    """
    handle = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    end = time.monotonic() + _PATIENCE
    try:
        while not _take(handle):
            if time.monotonic() > end:
                msg = f"An earlier start of this job still works on {folder.name}."
                raise WorkerLostError(msg)
            time.sleep(0.2)
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: then Slurm's word is all there is
        return True
    return True
