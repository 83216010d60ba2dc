"""A `LocalRunner` with toy workers, and what tests ask of it and of processes."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mml.core.scripts.resources import NOTHING, Resources
from mml.core.scripts.signals import SignalGuard
from mml.runners.base import Report, Work
from mml.runners.local import LocalRunner
from tests.support.toy_worker import ToyWorker, toy_run

SECONDS = 60  # within which everything that a test waits for has happened


class Parent(ToyWorker):
    """A toy that has children, and never lets go of the interpreter."""

    def parent(self, _: SignalGuard, path: str) -> None:
        """Start a program and a fork, write down which, and be busy for ever."""
        program = subprocess.Popen(["sleep", "600"])
        if (fork := os.fork()) == 0:
            time.sleep(600)
        Path(f"{path}.new").write_text(f"{program.pid}\n{fork}\n")
        Path(f"{path}.new").rename(path)
        re.match(r"(a+)+$", "a" * 100 + "b")


@contextmanager
def local_runner(folder: Path, workers: int | None = 2, misfit: str = "", **options: Any) -> Iterator[LocalRunner]:
    """Give a runner that is open, and see that it leaves no process."""
    runner = LocalRunner(workers=workers, **options)
    runner.open(toy_run(folder / "run", **({"misfit": misfit} if misfit else {}))._replace(worker=Parent))
    try:
        yield runner
    finally:
        pids = [worker.pid for worker in runner._pool.workers] if runner._open else []
        runner.close()
        assert not any(map(alive, pids))


def gathered(runner: LocalRunner, count: int = 1) -> dict[int, Report]:
    """Return so many reports by step."""
    found: dict[int, Report] = {}
    end = time.monotonic() + SECONDS
    while len(found) < count:
        assert time.monotonic() < end, f"only {found}"
        found |= {report.step: report for report in runner.wait(1.0)}
    return found


def done(runner: LocalRunner, *works: Work) -> list[Any]:
    """Submit work and return the values of the steps, in that order."""
    for work in works:
        runner.submit(work)
    reports = gathered(runner, len(works))
    return [value_of(reports[work.step]) for work in works]


def value_of(report: Report) -> Any:
    assert report.outcome is not None, report.error
    return report.outcome.value


def error_of(report: Report) -> Any:
    assert report.error is not None
    return report.error


def pids_of(runner: LocalRunner) -> list[int]:
    return [worker.pid for worker in runner._pool.workers]


def filled(runner: LocalRunner, make: Any, needs: Resources = NOTHING, most: int = 20) -> int:
    """Submit as long as there is room, and return how many."""
    count = 0
    while count < most and runner.has_room(needs):
        runner.submit(make(count))
        count += 1
    return count


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(holds: Any, what: str = "") -> None:
    """Wait until something holds."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, what or holds
        time.sleep(0.01)


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def hang_up(*handles: int) -> None:
    """Close what is open as these numbers, which stay taken, so that closing them again closes nobody else's file."""
    with Path(os.devnull).open() as nothing:
        for handle in handles:
            os.dup2(nothing.fileno(), handle)
