"""The simulated runner ends attempts in the order of virtual time, as its seed says, and does nothing."""

import random
import signal
from pathlib import Path
from typing import Any

from mml.core.scripts.resources import NOTHING, Resources
from mml.core.scripts.schedule import StepRecord
from mml.runners.base import Report, RunSetup, Work, WorkerSetup
from mml.runners.simulated import Chances, SimulatedRunner

STEADY = Chances(seconds=10.0, spread=0.0, stragglers=0.0)


def opened(**options: Any) -> SimulatedRunner:
    runner = SimulatedRunner(**options)
    setup = RunSetup(Path("/nowhere"), Any, WorkerSetup("/nowhere", {}), Any, lambda *_: None)
    assert runner.open(setup) == []
    return runner


def work(step: int, attempt: str = "1.1") -> Work:
    return Work(step, StepRecord("train", ["a", step]), attempt)


def drained(runner: SimulatedRunner, steps: int) -> list[Report]:
    """Run so many steps, each when there is room, and return the reports."""
    reports: list[Report] = []
    waiting = list(range(steps))
    while waiting or len(reports) < steps:
        while waiting and runner.has_room(NOTHING):
            runner.submit(work(waiting.pop(0)))
        reports += runner.wait(None)
    return reports


def test_every_attempt_is_reported_once() -> None:
    runner = opened(workers=7, seed=3)
    reports = drained(runner, 50)
    assert sorted(report.step for report in reports) == list(range(50))
    assert {report.attempt for report in reports} == {"1.1"}
    assert runner.reported == 50
    assert runner.wait(None) == runner.wait(0.0) == []


def test_time_is_that_of_the_workers() -> None:
    runner = opened(workers=2, chances=STEADY)
    drained(runner, 5)
    assert (runner.now, runner.busy) == (30.0, 50.0)


def test_reports_of_one_moment_come_together() -> None:
    runner = opened(workers=3, chances=STEADY)
    for step in range(3):
        runner.submit(work(step))
    assert [report.step for report in runner.wait(None)] == [0, 1, 2]


def test_there_is_room_for_as_many_attempts_as_workers() -> None:
    runner = opened(workers=2, chances=STEADY)
    runner.check(Resources(cpus=64), "step 1")
    runner.submit(work(0))
    assert runner.has_room(Resources(gpus=8))
    runner.submit(work(1))
    assert not runner.has_room(NOTHING)
    runner.wait(None)
    assert runner.has_room(NOTHING)


def test_waiting_ends_when_its_time_is_over() -> None:
    runner = opened(workers=2, chances=STEADY)
    runner.submit(work(0))
    assert runner.wait(4.0) == []
    assert runner.now == 4.0
    assert [report.step for report in runner.wait(100.0)] == [0]
    assert runner.now == 10.0
    assert runner.wait(5.0) == []
    assert runner.now == 15.0


def test_fate_is_that_of_seed_and_attempt_whatever_came_before() -> None:
    order = list(range(20))
    random.Random(1).shuffle(order)
    ends = []
    for steps in (range(20), order):
        runner = opened(workers=20, seed=5)
        for step in steps:
            runner.submit(work(step))
        ends.append({r.step: r.outcome.seconds for _ in range(20) for r in runner.wait(None) if r.outcome})
    assert ends[0] == ends[1]
    other = opened(workers=20, seed=6)
    other.submit(work(0))
    (report,) = other.wait(None)
    assert report.outcome is not None
    assert report.outcome.seconds != ends[0][0]


def test_stragglers_take_longer() -> None:
    runner = opened(workers=1, chances=STEADY._replace(stragglers=1.0, slowdown=3.0))
    drained(runner, 2)
    assert runner.now == 60.0


def test_failure_is_reported_at_the_end() -> None:
    runner = opened(workers=1, chances=STEADY._replace(failures=1.0))
    runner.submit(work(0))
    (report,) = runner.wait(None)
    assert report.outcome is None
    assert report.error is not None
    assert (report.error.text, report.error.lost, runner.now) == ("RuntimeError: failed, as simulated", False, 10.0)
    assert runner.has_room(NOTHING)


def test_lost_worker_is_reported_and_replaced_later() -> None:
    runner = opened(workers=1, chances=STEADY._replace(losses=1.0), back=30.0)
    runner.submit(work(0))
    (report,) = runner.wait(None)
    assert report.error is not None
    assert (report.error.lost, runner.now) == (True, 5.0)
    assert not runner.has_room(NOTHING)
    assert runner.wait(None) == []
    assert (runner.now, runner.has_room(NOTHING)) == (35.0, True)


def test_shares_are_as_asked_for() -> None:
    reports = drained(opened(workers=100, chances=Chances(failures=0.2, losses=0.1)), 3000)
    lost = sum(report.error is not None and report.error.lost for report in reports)
    failed = sum(report.error is not None and not report.error.lost for report in reports)
    assert 240 < lost < 360
    assert 520 < failed < 680


def test_interrupt_ends_all_attempts_now() -> None:
    runner = opened(workers=3, chances=STEADY)
    for step in range(3):
        runner.submit(work(step))
    runner.wait(4.0)
    runner.interrupt()
    errors = [report.error for report in runner.wait(None)]
    assert [error.interrupted for error in errors if error is not None] == [signal.SIGTERM] * 3
    assert runner.now == 4.0


def test_closing_forgets_what_goes_on() -> None:
    runner = opened(workers=1, chances=STEADY)
    runner.submit(work(0))
    runner.close()
    runner.close()
    assert runner.wait(None) == []
    assert runner.has_room(NOTHING)
