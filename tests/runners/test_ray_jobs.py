"""Attempts of a driver that is dead are over when no worker of theirs lives."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mml.core.scripts.exceptions import RunnerError
from mml.runners.ray_jobs import CANCEL, await_workers, cancel, job_of

HOLDER = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    folder = tmp_path / "workers" / "host-77"
    folder.mkdir(parents=True)
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder / "run.lock")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def test_job_names_what_cancels_it(tmp_path: Path) -> None:
    job = job_of(tmp_path, "head:6379", "01000000", "host-77", "far")
    module, _, function = CANCEL.partition(":")
    assert getattr(sys.modules[module], function) is cancel
    assert job["cancel"] == CANCEL
    assert job["runner"] == "ray"


def test_attempt_of_a_worker_that_is_gone_is_over(tmp_path: Path) -> None:
    cancel(job_of(tmp_path, "head:6379", "01000000", "host-77", "far"))
    cancel(job_of(tmp_path, "head:6379", "01000000", "", ""))


def test_worker_that_lives_on_is_named(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    job = job_of(tmp_path, "head:6379", "01000000", "host-77", "far")
    for names in (None, ["host-77"]):
        with pytest.raises(RunnerError) as caught:
            await_workers(tmp_path, names, job, 0.1)
        assert "Worker host-77 of an earlier process" in str(caught.value)
        assert "Ray at head:6379" in str(caught.value)
        assert "`kill -9 77`" in str(caught.value)
    await_workers(tmp_path, ["another"], job, 0.1)


def test_end_of_a_worker_is_awaited(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    holder.send_signal(signal.SIGKILL)
    cancel(job_of(tmp_path, "head:6379", "01000000", "host-77", "far"))
    assert holder.wait() == -signal.SIGKILL
