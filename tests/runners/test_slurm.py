"""Steps as jobs of a real Slurm."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.attempts import AttemptFolder
from mml.core.scripts.resources import Resources
from mml.runners.slurm_job import starts_of
from mml.runners.transport import received_error
from tests.support.slurm_machine import Machine
from tests.support.slurm_runs import LIMIT, Driver
from tests.support.toy_worker import work

pytestmark = pytest.mark.slow


@pytest.fixture
def driver(tmp_path: Path, slurm: Machine) -> Iterator[Callable[..., Driver]]:
    """Make drivers of the run in `tmp_path / "my run"`; none leaves a job behind."""
    made: list[Driver] = []

    def make(**options: Any) -> Driver:
        made.append(Driver(tmp_path / "my run", **options))
        return made[-1]

    yield make
    for one in made:
        one.runner.detaches = False
        one.runner.close()


def wait_for(ready: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not ready():
        assert time.monotonic() < end, f"waited {LIMIT} s"
        time.sleep(0.1)


def begun(path: Path) -> bool:
    return path.exists() and "begin" in path.read_text()


def test_attempts_of_a_kind_are_one_array_and_each_reports(driver: Callable[..., Driver], slurm: Machine) -> None:
    one = driver()
    assert one.open() == []
    works = [work(0, "add", 1, 2), work(1, "fail", "boom"), work(2, "process")]
    more = work(3, "process", resources=Resources(cpus=2, gpus=1, memory=300 * 2**20))
    one.runner.check(more.resources, "step 4")
    one.submit(*works, more)
    reports = one.collect(4)
    assert reports[0].outcome is not None
    assert reports[0].outcome.value == 3
    assert str(received_error(reports[1].error)) == "boom"  # type: ignore[arg-type]
    processes = [reports[step].outcome.value for step in (2, 3)]  # type: ignore[union-attr]
    assert len({process["pid"] for process in processes}) == 2
    assert [process["OMP_NUM_THREADS"] for process in processes] == [os.environ["OMP_NUM_THREADS"], "2"]
    numbers = [one.job(item) for item in (*works, more)]
    array = numbers[0].partition("_")[0]
    assert numbers[:3] == [f"{array}_{element}" for element in range(3)]
    assert "_" not in numbers[3]
    said = slurm.ask("scontrol", "show", "job", numbers[3])
    assert "TRES=cpu=2,mem=300M,node=1" in said
    assert f"JobName=mml-my run-{more.name}" in said
    assert "TresPerNode=gres:gpu:1" in said


def test_a_job_that_dies_is_lost_and_its_last_words_are_told(driver: Callable[..., Driver]) -> None:
    one = driver()
    one.open()
    one.submit(work(0, "kill", signal.SIGKILL, "last words"))
    error = one.collect()[0].error
    assert error is not None
    assert error.lost
    assert f"Slurm job {one.job(work(0, ''))} on " in error.text
    assert "SIGKILL" in error.text
    assert "last words" in error.text


def test_a_job_that_somebody_cancels_is_lost(driver: Callable[..., Driver], slurm: Machine, tmp_path: Path) -> None:
    one, item = driver(), work(0, "mark", str(tmp_path / "mark"), 60)
    one.open()
    one.submit(item)
    one.until(lambda: begun(tmp_path / "mark"))
    slurm.ask("scancel", one.job(item))
    error = one.collect()[0].error
    assert error is not None
    assert error.lost
    assert "CANCELLED" in error.text
    assert "end" not in (tmp_path / "mark").read_text()


def test_jobs_stop_when_they_are_told_and_those_that_wait_leave_the_queue(
    driver: Callable[..., Driver], slurm: Machine, tmp_path: Path
) -> None:
    one = driver()
    one.open()
    runs, waits = work(0, "mark", str(tmp_path / "mark"), 60), work(1, "nothing", resources=Resources(cpus=slurm.cpus))
    one.submit(runs)
    one.until(lambda: begun(tmp_path / "mark"))
    one.submit(waits)
    one.queue()
    one.submit(work(2, "nothing"))
    one.runner.interrupt()
    reports = one.collect(3)
    assert [report.error and report.error.interrupted for report in reports.values()] == [signal.SIGTERM] * 3
    assert reports[0].worker
    one.runner.close()
    wait_for(lambda: slurm.state(one.job(runs)) == "COMPLETED")  # it was not cancelled, but has stopped
    assert slurm.state(one.job(waits)) == "CANCELLED"


def test_close_ends_what_still_runs(driver: Callable[..., Driver], slurm: Machine, tmp_path: Path) -> None:
    one, item = driver(), work(0, "deaf", 60)
    one.open()
    one.submit(item)
    one.queue()
    one.runner.close()
    assert slurm.state(one.job(item)) == "CANCELLED"
    one.runner.close()


@pytest.mark.parametrize("signum", ["USR2", "USR1", "TERM"])
def test_a_job_that_has_to_leave_is_started_again_and_the_same_attempt_reports_once(
    driver: Callable[..., Driver], slurm: Machine, tmp_path: Path, signum: str
) -> None:
    one, item = driver(), work(0, "mark", str(tmp_path / "mark"), 3)
    one.open()
    one.submit(item)
    one.until(lambda: begun(tmp_path / "mark"))
    job = one.job(item)
    slurm.ask("scancel", f"--signal={signum}", job)
    one.until(lambda: slurm.state(job) == "PENDING")
    slurm.release(job)
    report = one.collect()[0]
    assert report.outcome is not None
    assert report.worker == f"slurm-{job}.1"
    assert [line.split()[0] for line in (tmp_path / "mark").read_text().splitlines()] == ["begin", "begin", "end"]
    assert starts_of(AttemptFolder(one.folder, item.name).path) == [f"slurm-{job}", f"slurm-{job}.1"]


def test_a_job_that_has_to_leave_too_often_is_a_failure(
    driver: Callable[..., Driver], slurm: Machine, tmp_path: Path
) -> None:
    one, item = driver(max_requeues=0), work(0, "mark", str(tmp_path / "mark"), 60)
    one.open()
    one.submit(item)
    one.until(lambda: begun(tmp_path / "mark"))
    slurm.ask("scancel", "--signal=USR2", one.job(item))
    error = one.collect()[0].error
    assert error is not None
    assert not error.lost
    assert not error.interrupted
    assert "runner.max_requeues" in error.text
