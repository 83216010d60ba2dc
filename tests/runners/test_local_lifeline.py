"""Whoever kills the driver, and however, kills its workers and all that they started."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mml.runners import local_lifeline
from tests.support.local_runs import alive, lines_of, until

DRIVER = """
import os, sys, time
from pathlib import Path
from mml.runners import local_lifeline
from mml.runners.local import LocalRunner
from tests.support.local_runs import Parent
from tests.support.toy_worker import toy_run, work

folder = Path(sys.argv[1])
runner = LocalRunner(workers=2)
runner.open(toy_run(folder / "run")._replace(worker=Parent))
runner.submit(work(0, "parent", str(folder / "busy")))
runner.submit(work(1, "mark", str(folder / "idle"), 0))
while not ((folder / "busy").exists() and runner._pool.idle):
    runner.wait(0.1)
fork = os.fork()
if fork:
    print(fork, *(worker.pid for worker in runner._pool.workers), flush=True)
time.sleep(600)
"""


@contextmanager
def driven(folder: Path) -> Iterator[tuple[int, list[int]]]:
    """Give a driver, and the processes that have to die with it: workers, and what they started; its fork need not."""
    command = [sys.executable, "-c", DRIVER, str(folder)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as driver:
        assert driver.stdout is not None
        fork, *workers = [int(pid) for pid in driver.stdout.readline().split()]
        try:
            yield driver.pid, [*workers, *map(int, lines_of(folder / "busy"))]
        finally:
            driver.kill()
            assert alive(fork)
            os.kill(fork, signal.SIGKILL)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_nothing_outlives_a_driver_that_is_killed(tmp_path: Path, signum: int) -> None:
    with driven(tmp_path) as (driver, others):
        assert len(others) == 4
        assert all(map(alive, others))
        os.kill(driver, signum)
        until(lambda: not any(map(alive, others)), "processes outlive their driver")


# --- what a worker process does, on systems of all kinds

FOLLOWER = """
import os, subprocess, sys
from mml.runners import local_lifeline
sys.platform = sys.argv[2]
if sys.argv[3] == "refuse":
    def refuse(*arguments):
        raise OSError("not in this kernel")
    local_lifeline.fcntl.fcntl = refuse
child = subprocess.Popen(["sleep", "600"])
local_lifeline.follow(os.getppid(), int(sys.argv[1]))
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize(("platform", "kernel"), [("linux", "watch"), ("linux", "refuse"), ("darwin", "watch")])
def test_end_of_the_pipe_ends_the_process_and_its_children(platform: str, kernel: str) -> None:
    read, write = os.pipe()
    command = [sys.executable, "-c", FOLLOWER, str(read), platform, kernel]
    with subprocess.Popen(
        command, pass_fds=[read], start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as process:
        os.close(read)
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert alive(child)
        os.close(write)
        assert process.wait(60) == -signal.SIGKILL
        until(lambda: not alive(child))


class Ended(BaseException):
    """Stands for the end of this process."""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return the groups that are killed, with what; this process is not to end."""
    killed: list[tuple[int, int]] = []

    def leave(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(os, "killpg", lambda group, signum: killed.append((group, signum)))
    monkeypatch.setattr(os, "_exit", leave)
    return killed


def test_worker_whose_driver_died_before_it_could_follow_ends_at_once(
    ends: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_lifeline, "_kernel_watches", lambda _: True)
    monkeypatch.setattr(os, "getpgrp", os.getpid)
    monkeypatch.setattr(sys, "platform", "darwin")
    local_lifeline.follow(os.getppid(), 0)
    with pytest.raises(Ended):
        local_lifeline.follow(os.getppid() + 1, 0)
    assert ends == [(os.getpid(), signal.SIGKILL)]


def test_group_that_is_not_its_own_is_left_alone(ends: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpgrp", lambda: os.getpid() + 1)
    with pytest.raises(Ended):
        local_lifeline._end_group()
    assert ends == []


def test_pipe_that_ended_before_the_kernel_watched_ends_the_process(
    ends: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.close(write)
    monkeypatch.setattr(local_lifeline.fcntl, "fcntl", lambda *_: 0)
    with pytest.raises(Ended):
        local_lifeline._kernel_watches(read)
    with pytest.raises(Ended):
        local_lifeline._watch(read)
    os.close(read)
