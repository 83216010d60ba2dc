"""Whoever kills the driver, and however, kills its workers and all that they started."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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
