"""What is said of jobs that left no report."""

import time
from pathlib import Path

import pytest

from mml.core.scripts.attempts import AttemptFolder
from mml.runners.base import Report, StepOutcome
from mml.runners.slurm_job import write_report
from mml.runners.slurm_watch import Watch, _never_began, _signal_of, waited_for
from mml.runners.transport import report_of
from tests.support.slurm_machine import Machine
from tests.support.toy_worker import work


@pytest.mark.parametrize(
    ("code", "signum"), [("137:0", 9), ("0:15", 15), ("1:0", 0), ("0:53", 0), ("0:125", 0), ("", 0), ("x:y", 0)]
)
def test_the_signal_that_ended_a_process_is_told_from_exit_codes(code: str, signum: int) -> None:
    assert _signal_of(code) == signum


def test_reports_are_collected_once_and_attempts_given_up_are_forgotten(tmp_path: Path) -> None:
    watch, items = Watch(tmp_path, tmp_path), [work(number, "add") for number in range(3)]
    for item in items:
        AttemptFolder(tmp_path, item.name).create()
        watch.add(item, "1")
    write_report(AttemptFolder(tmp_path, items[0].name).path, report_of(items[0], StepOutcome(1.0)))
    AttemptFolder(tmp_path, items[1].name).revoke()
    assert [report.step for report in watch.collect()] == [0]
    assert watch.collect() == []
    assert list(watch.flights) == [items[2].name]


def test_a_job_that_slurm_does_not_know_is_lost_after_a_while(tmp_path: Path, slurm: Machine) -> None:
    watch, item = Watch(tmp_path, tmp_path), work(0, "add")
    AttemptFolder(tmp_path, item.name).create()
    watch.add(item, "999999")
    assert watch.look() == []
    assert watch.doubtful
    end = time.monotonic() + 60
    while not (reports := watch.look()):
        assert time.monotonic() < end
        time.sleep(0.2)
    (report,) = reports
    assert report.error is not None
    assert report.error.lost
    assert "Slurm job 999999 is not known to Slurm any more before it had reported." in report.error.text
    assert watch.look() == []
    assert not watch.doubtful


def test_a_folder_that_machines_do_not_share_is_named(tmp_path: Path) -> None:
    said = _never_began("Slurm job 1 ended as FAILED.\n  a line", "0:53", tmp_path)
    assert said.splitlines()[1] == "  a line"
    assert f"can't write to {tmp_path}" in said
    assert "out_dir=<folder>" in said
    assert "runner.python" in _never_began("It ended.", "1:0", tmp_path)


def test_waiting_ends_with_a_report_with_time_and_when_none_can_come() -> None:
    report = Report(0, "1.1")
    found: list[list[Report]] = [[], [report]]
    assert waited_for(None, lambda: found.pop(0), idle=lambda: False) == [report]
    assert waited_for(0.05, lambda: [], idle=lambda: False) == []
    assert waited_for(None, lambda: [], idle=lambda: True) == []
