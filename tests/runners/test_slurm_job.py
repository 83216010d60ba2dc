"""What a job does, in processes as Slurm would start them, and what it leaves."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mml.core.scripts.attempts import AttemptFolder
from mml.core.scripts.resources import NOTHING
from mml.runners.base import StepOutcome, Work
from mml.runners.slurm_job import (
    STOP_FILE,
    JobSpec,
    encode_spec,
    read_report,
    starts_of,
    worker_name,
    write_report,
)
from mml.runners.transport import failed_report, report_of
from tests.support.toy_worker import toy_run, work

LIMIT = 60
JOB = """
import sys
from mml.runners.slurm_job import run_attempt
run_attempt(sys.stdin.buffer.read())
"""


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """Return a folder with an `scontrol` that takes notes, and a `squeue` that has the job running."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, line in (("scontrol", f'echo "$@" >> {tmp_path / "asked"}'), ("squeue", "cat $SAID_OF_QUEUE")):
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    (tmp_path / "queue").write_text("12|RUNNING||n1|||\n")
    return folder


class Job:
    """A job of Slurm without Slurm."""

    def __init__(self, tmp_path: Path, item: Work, max_requeues: int = 1) -> None:
        self.folder = tmp_path / "run"
        self._path, self._env = f"{tmp_path / 'bin'}:{os.environ['PATH']}", {"SAID_OF_QUEUE": str(tmp_path / "queue")}
        run = toy_run(self.folder)
        self.attempt = AttemptFolder(self.folder, item.name)
        self.attempt.create()
        self.spec = encode_spec(JobSpec(run.setup, pickle.dumps(run.worker), item, max_requeues))

    def start(self, restart: int = 0) -> "subprocess.Popen[bytes]":
        env = {"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": str(restart), "PATH": self._path, **self._env}
        child = subprocess.Popen(
            [sys.executable, "-c", JOB], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **env}
        )
        assert child.stdin
        child.stdin.write(self.spec)
        child.stdin.close()
        return child

    def run(self, restart: int = 0) -> int:
        child = self.start(restart)
        code = child.wait(LIMIT)
        assert child.stderr
        child.stderr.close()
        return code

    def signalled(self, mark: Path, signum: int) -> int:
        """Send a signal to a job as soon as its step has begun, and return the exit code."""
        child = self.start()
        end = time.monotonic() + LIMIT
        while not mark.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        child.send_signal(signum)
        code = child.wait(LIMIT)
        assert child.stderr
        child.stderr.close()
        return code


def test_a_job_leaves_its_report_and_ends_well_or_not(tmp_path: Path) -> None:
    job = Job(tmp_path, work(0, "add", 1, 2))
    assert job.run() == 0
    report = read_report(job.attempt.path)
    assert report is not None
    assert report.outcome is not None
    assert (report.outcome.value, report.worker) == (3, "slurm-12")
    job = Job(tmp_path, work(1, "fail", "boom"))
    assert job.run() == 1  # so that jobs which need it are not started


def test_a_job_that_is_started_again_after_its_report_does_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    job = Job(tmp_path, work(0, "mark", str(mark), 0))
    assert job.run() == 0
    assert job.run(1) == 0
    assert mark.read_text().count("begin") == 1
    assert starts_of(job.attempt.path) == ["slurm-12"]


def test_a_job_whose_attempt_was_given_up_does_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    job = Job(tmp_path, work(0, "mark", str(mark), 0))
    job.attempt.revoke()
    assert job.run() == 0
    assert not mark.exists()
    assert not job.attempt.path.exists()


def test_a_job_that_shall_stop_before_it_began_says_so(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    job = Job(tmp_path, work(0, "mark", str(mark), 0))
    (job.attempt.path / STOP_FILE).touch()
    assert job.run() == 0
    report = read_report(job.attempt.path)
    assert report is not None
    assert report.error is not None
    assert report.error.interrupted == signal.SIGTERM
    assert not mark.exists()


def test_a_worker_that_can_not_be_made_is_a_misfit(tmp_path: Path) -> None:
    item = work(0, "nothing")
    job = Job(tmp_path, item)
    run = toy_run(job.folder, misfit="other version")
    job.spec = encode_spec(JobSpec(run.setup, pickle.dumps(run.worker), item))
    assert job.run() == 1
    report = read_report(job.attempt.path)
    assert report is not None
    assert report.error is not None
    assert report.error.misfit
    assert "other version" in report.error.text


@pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM])
def test_a_job_that_has_to_leave_asks_to_be_started_again(tmp_path: Path, bin_folder: Path, signum: int) -> None:
    mark = tmp_path / "mark"
    job = Job(tmp_path, work(0, "mark", str(mark), 30))
    assert job.signalled(mark, signum) == 1
    assert (tmp_path / "asked").read_text() == "requeue 12\n"
    assert read_report(job.attempt.path) is None


def test_a_job_that_slurm_ends_asks_for_nothing(tmp_path: Path, bin_folder: Path) -> None:
    (tmp_path / "queue").write_text("12|COMPLETING||n1|||\n")
    mark = tmp_path / "mark"
    job = Job(tmp_path, work(0, "mark", str(mark), 30))
    assert job.signalled(mark, signal.SIGTERM) == 1
    assert not (tmp_path / "asked").exists()
    assert read_report(job.attempt.path) is None
    (bin_folder / "squeue").write_text("#!/bin/sh\nexit 1\n")  # nor when Slurm says nothing
    mark.unlink()
    assert job.signalled(mark, signal.SIGTERM) == 1
    assert not (tmp_path / "asked").exists()


def test_a_job_that_its_driver_stops_reports_so(tmp_path: Path, bin_folder: Path) -> None:
    mark = tmp_path / "mark"
    job = Job(tmp_path, work(0, "mark", str(mark), 30))
    child = job.start()
    end = time.monotonic() + LIMIT
    while not mark.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    (job.attempt.path / STOP_FILE).touch()
    child.send_signal(signal.SIGTERM)
    assert child.wait(LIMIT) == 0
    assert child.stderr
    child.stderr.close()
    report = read_report(job.attempt.path)
    assert report is not None
    assert report.error is not None
    assert report.error.interrupted == signal.SIGTERM


def test_a_job_that_slurm_does_not_start_again_is_lost_and_says_why(tmp_path: Path, bin_folder: Path) -> None:
    (bin_folder / "scontrol").write_text("#!/bin/sh\necho Requested operation is presently disabled >&2\nexit 1\n")
    mark = tmp_path / "mark"
    job = Job(tmp_path, work(0, "mark", str(mark), 30), max_requeues=5)
    assert job.signalled(mark, signal.SIGUSR2) == 1
    report = read_report(job.attempt.path)
    assert report is not None
    assert report.error is not None
    assert report.error.lost
    assert "presently disabled" in report.error.text


def test_two_starts_of_a_job_never_work_at_the_same_time(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    job = Job(tmp_path, work(0, "mark", str(mark), 2))
    first = job.start()
    end = time.monotonic() + LIMIT
    while not mark.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert job.run(1) == 0
    assert first.wait(LIMIT) == 0
    assert first.stderr
    first.stderr.close()
    assert [line.split()[0] for line in mark.read_text().splitlines()] == ["begin", "end"]


def test_a_report_is_whole_or_not_there(tmp_path: Path) -> None:
    item = work(0, "nothing")
    folder = AttemptFolder(tmp_path, item.name)
    write_report(folder.path, report_of(item, StepOutcome(1.0)))
    assert not folder.path.exists()  # it was given up
    folder.create()
    assert read_report(folder.path) is None
    write_report(folder.path, failed_report(item, ValueError("boom")))
    found = read_report(folder.path)
    assert found is not None
    assert found.error is not None
    assert [path.name for path in folder.path.iterdir()] == ["report.bin"]
    (folder.path / "report.bin").write_bytes(b"half")
    assert read_report(folder.path) is None


def test_names_of_workers_are_those_of_their_starts(tmp_path: Path) -> None:
    assert worker_name("12_3") == "slurm-12_3"
    assert starts_of(tmp_path) == []
    assert work(0, "nothing", resources=NOTHING).name == "0001.1.1"
