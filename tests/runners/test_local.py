"""Steps run side by side in worker processes, which are reused, bound, told to stop, and gone when the runner is."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mml.core.scripts.exceptions import Interrupted, MMLMisconfigurationException, RunLockedError, RunnerError
from mml.core.scripts.resources import NOTHING, Resources
from mml.core.scripts.signals import guarded_signals
from mml.runners import local_machine
from mml.runners.base import Report
from mml.runners.local import LocalRunner
from tests.support.local_runs import (
    alive,
    done,
    error_of,
    filled,
    gathered,
    lines_of,
    local_runner,
    pids_of,
    until,
    value_of,
)
from tests.support.toy_worker import toy_run, work

GB = 10**9


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[LocalRunner]:
    with local_runner(tmp_path) as opened:
        yield opened


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have eight cores and no threads that the user chose."""
    monkeypatch.setattr(local_machine, "granted_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS")


def test_no_worker_is_started_before_there_is_work(runner: LocalRunner) -> None:
    assert runner.has_room(NOTHING)
    assert pids_of(runner) == []
    assert runner.wait(None) == []


def test_steps_run_in_other_processes_and_what_they_return_is_reported(runner: LocalRunner) -> None:
    assert done(runner, work(0, "add", 1, 2), work(1, "add", 3)) == [3, 3]
    (first,) = done(runner, work(2, "process"))
    assert first["pid"] != os.getpid()
    assert first["pid"] in pids_of(runner)


def test_workers_are_reused_and_never_more_than_the_slots(runner: LocalRunner) -> None:
    seen = {value["pid"] for step in range(10) for value in done(runner, work(step, "process"))}
    assert len(seen) == 1
    for step in range(6):
        runner.submit(work(step, "process"))
    seen |= {value_of(report)["pid"] for report in gathered(runner, 6).values()}
    assert len(seen) == 2
    assert seen == set(pids_of(runner))


def test_steps_run_at_the_same_time(runner: LocalRunner, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    for step in range(2):
        runner.submit(work(step, "mark", str(marks), 60))
    assert not runner.has_room(NOTHING)
    until(lambda: len(lines_of(marks)) == 2)
    runner.interrupt()
    gathered(runner, 2)


def test_step_that_fails_is_reported_with_its_error_and_the_worker_goes_on(runner: LocalRunner) -> None:
    runner.submit(work(0, "fail", "boom"))
    error = error_of(gathered(runner)[0])
    assert (error.text, error.lost, error.misfit) == ("ValueError: boom", False, False)
    assert "in fail" in error.traceback
    pids = pids_of(runner)
    assert done(runner, work(1, "add", 1)) == [1]
    assert pids_of(runner) == pids


def test_result_that_can_not_be_sent_is_a_failed_step(runner: LocalRunner) -> None:
    runner.submit(work(0, "add", 2**63, 2**63, 2**63))
    assert "OverflowError" in error_of(gathered(runner)[0]).text
    assert done(runner, work(1, "add", 1)) == [1]


def test_big_results_and_params_arrive_whole(runner: LocalRunner) -> None:
    runner.submit(work(0, "fail", "x" * 3_000_000))
    assert len(error_of(gathered(runner)[0]).text) > 3_000_000


# --- slots


@pytest.mark.usefixtures("machine")
def test_cores_are_shared_out_as_threads(tmp_path: Path) -> None:
    with local_runner(tmp_path, workers=4) as runner:
        said = done(runner, work(0, "process"), work(1, "process", resources=Resources(cpus=3)))
        assert [value["OMP_NUM_THREADS"] for value in said] == ["2", "3"]


def test_threads_that_the_user_chose_are_left_alone(runner: LocalRunner) -> None:
    assert done(runner, work(0, "process"))[0]["OMP_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"]


def test_each_step_sees_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    with local_runner(tmp_path, workers=None) as runner:
        said = done(runner, *(work(step, "process") for step in range(4)))
        assert {value["CUDA_VISIBLE_DEVICES"] for value in said} == {"3", "5"}
        assert len({value["pid"] for value in said}) == 2
        assert done(runner, work(4, "process", resources=Resources(gpus=2)))[0]["CUDA_VISIBLE_DEVICES"] == "3,5"
        assert done(runner, work(5, "process", resources=Resources(gpus=0)))[0]["CUDA_VISIBLE_DEVICES"] == ""


def test_two_halves_share_a_gpu_while_another_step_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    half = Resources(gpus=0.5)
    with local_runner(tmp_path, workers=None) as runner:
        works = [work(0, "process", resources=half), work(1, "process", resources=half), work(2, "process")]
        said = [value["CUDA_VISIBLE_DEVICES"] for value in done(runner, *works)]
        assert said == ["0", "0", "1"]


def test_idle_worker_on_gpus_that_a_step_gets_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with local_runner(tmp_path, workers=None) as runner:
        first, _ = done(runner, work(0, "process"), work(1, "process"))
        pids = pids_of(runner)
        done(runner, work(2, "process", resources=Resources(gpus=2)))
        until(lambda: runner.wait(0.01) == [] and not any(alive(pid) for pid in pids))
        assert done(runner, work(3, "process"))[0]["pid"] not in pids
        assert first["pid"] in pids


@pytest.mark.usefixtures("machine")
def test_declared_cores_and_memory_decide_how_many_run(tmp_path: Path) -> None:
    with local_runner(tmp_path, workers=None, memory_limit="4GB") as runner:
        needs = Resources(memory=2 * GB)
        assert filled(runner, lambda step: work(step, "sleep", 60, resources=needs), needs) == 2
        assert runner.has_room(Resources(cpus=6))
        assert not runner.has_room(Resources(cpus=7))
        runner.interrupt()
        gathered(runner, 2)


@pytest.mark.usefixtures("machine")
def test_big_step_is_not_overtaken_for_ever(tmp_path: Path) -> None:
    big, step = Resources(cpus=8), 0
    with local_runner(tmp_path, workers=None) as runner:
        runner.submit(work(0, "sleep", 0.01))
        while not runner.has_room(big):
            while runner.has_room(NOTHING):
                step += 1
                runner.submit(work(step, "sleep", 0.01))
            runner.wait(None)
            assert step < 1000
        runner.submit(work(step + 1, "add", 1, resources=big))
        found: dict[int, Report] = {}
        while step + 1 not in found:  # reports of the others may be left
            found |= gathered(runner)
        assert found[step + 1].outcome is not None


def test_no_step_begins_beside_others_while_memory_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_runner(tmp_path) as runner:
        done(runner, work(0, "sleep", 0.1), work(1, "sleep", 0.1))
        monkeypatch.setattr("mml.runners.local_memory.free_memory", lambda: GB // 2)
        assert runner.has_room(NOTHING)  # as nothing runs
        runner.submit(work(2, "sleep", 60))
        time.sleep(0.2)
        assert not runner.has_room(NOTHING)
        assert len(runner._pool.idle) == 0  # what an idle worker held is given back
        monkeypatch.undo()
        assert runner.wait(None) == []  # says at once that it is worth asking again
        assert runner.has_room(NOTHING)


def test_work_that_finds_no_room_is_done_later_in_order(tmp_path: Path) -> None:
    with local_runner(tmp_path, workers=1) as runner:
        marks = tmp_path / "marks"
        for step in range(3):
            runner.submit(work(step, "mark", str(marks), 0))
        assert not runner.has_room(NOTHING)
        assert list(gathered(runner, 3)) == [0, 1, 2]
        assert [line.split()[0] for line in lines_of(marks)] == ["begin", "end"] * 3


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        (Resources(gpus=2), r"Step 3, train\('a'\) needs 2 GPUs, but there is 1 GPU \(7 by CUDA_VISIBLE_DEVICES\)\."),
        (Resources(cpus=999), r"needs 999 cores, but there are? \d+ cores?\."),
        (Resources(memory=10**15), r"needs [\d.]+ \w+ of memory, but steps may use .* \(runner\.memory_limit\)"),
    ],
)
def test_what_nobody_has_is_refused_with_what_there_is_and_the_fix(
    needs: Resources, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with local_runner(tmp_path) as runner:
        runner.check(NOTHING, "step 1, train('a')")
        with pytest.raises(MMLMisconfigurationException, match=rf"(?s){said}.*runner\.resources\.<command>"):
            runner.check(needs, "step 3, train('a')")


def test_work_that_nobody_can_do_is_a_misfit_although_nobody_asked(runner: LocalRunner) -> None:
    runner.submit(work(0, "add", 1, resources=Resources(gpus=99)))
    error = error_of(gathered(runner)[0])
    assert error.misfit
    assert "step 1, add(1) needs 99 GPUs, but there are 0 GPUs" in error.text


# --- workers that die


@pytest.mark.parametrize(
    ("signum", "said"),
    [
        (signal.SIGKILL, "was killed by SIGKILL during step 1, kill(9, 'last words'). The kernel does so when memory"),
        (signal.SIGSEGV, "was killed by SIGSEGV during step 1, kill(11, 'last words'). A library crashed"),
        (signal.SIGBUS, "was killed by SIGBUS during step 1, kill(7, 'last words'). That is what happens when shared"),
    ],
)
def test_worker_that_a_signal_ends_is_named_with_its_last_lines(
    runner: LocalRunner, signum: int, said: str, tmp_path: Path
) -> None:
    runner.submit(work(0, "kill", int(signum), "last words"))
    report = gathered(runner)[0]
    error = error_of(report)
    assert error.lost
    assert f"Worker {report.worker} {said}" in error.text
    log = tmp_path / "run" / "workers" / report.worker / "exp.log"
    assert f"The last lines of its log, {log}:\n" in error.text
    assert ("  last words" in error.text) is (signum == signal.SIGKILL)
    assert ("in kill" in error.text) is (signum != signal.SIGKILL)
    assert done(runner, work(1, "add", 1)) == [1]


def test_worker_that_ends_itself_is_named_with_its_exit_code(runner: LocalRunner) -> None:
    runner.submit(work(0, "leave", 3))
    error = error_of(gathered(runner)[0])
    assert error.lost
    assert "ended itself with exit code 3 during step 1, leave(3)" in error.text


def test_worker_that_dies_while_idle_is_replaced(runner: LocalRunner) -> None:
    done(runner, work(0, "add", 1))
    (pid,) = pids_of(runner)
    os.kill(pid, signal.SIGKILL)
    until(lambda: runner.wait(0.01) == [] and not pids_of(runner))
    assert done(runner, work(1, "add", 2)) == [2]


def test_signal_of_somebody_else_to_an_idle_worker_is_nobodys_loss(runner: LocalRunner) -> None:
    done(runner, work(0, "add", 1))
    (pid,) = pids_of(runner)
    os.kill(pid, signal.SIGTERM)
    until(lambda: not alive(pid))
    assert done(runner, work(1, "add", 2)) == [2]


def test_signal_of_somebody_else_ends_one_attempt_alone(runner: LocalRunner, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    runner.submit(work(0, "mark", str(marks), 60))
    until(lambda: lines_of(marks))
    os.kill(pids_of(runner)[0], signal.SIGTERM)
    assert error_of(gathered(runner)[0]).interrupted == signal.SIGTERM
    assert done(runner, work(1, "add", 2), work(2, "add", 3)) == [2, 3]


def test_worker_that_can_not_be_made_is_a_misfit(tmp_path: Path) -> None:
    with local_runner(tmp_path, misfit="no plugin") as runner:
        runner.submit(work(0, "add", 1))
        error = error_of(gathered(runner)[0])
        assert (error.misfit, error.text) == (True, "RuntimeError: no plugin")


def test_interpreter_that_fails_is_told_once_with_what_it_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho no libpython >&2\nexit 127\n")
    program.chmod(0o755)
    with local_runner(tmp_path) as runner:
        monkeypatch.setattr(sys, "executable", str(program))
        runner.submit(work(0, "add", 1))
        error = error_of(gathered(runner)[0])
        assert error.misfit
        assert "could not be started: it ended with exit code 127 before it took any work" in error.text
        assert "no libpython" in error.text


@pytest.mark.parametrize("program", ["/nowhere/python", ""])
def test_interpreter_that_is_not_there_is_told(
    program: str, runner: LocalRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    runner.submit(work(0, "add", 1))
    error = error_of(gathered(runner)[0])
    assert error.misfit
    assert "No worker process can be started: " in error.text
    monkeypatch.undo()
    assert done(runner, work(1, "add", 1), work(2, "add", 1)) == [1, 1]


# --- stopping


def test_running_steps_stop_when_asked_to(runner: LocalRunner, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    for step in range(3):
        runner.submit(work(step, "mark", str(marks), 60))
    until(lambda: len(lines_of(marks)) == 2)
    runner.interrupt()
    reports = gathered(runner, 3)
    assert [error_of(reports[step]).interrupted for step in range(3)] == [signal.SIGTERM] * 3
    assert not any("end" in line for line in lines_of(marks))


def test_worker_that_is_still_starting_stops_when_asked_to(runner: LocalRunner) -> None:
    runner.submit(work(0, "sleep", 60))
    runner.interrupt()
    assert error_of(gathered(runner)[0]).interrupted == signal.SIGTERM


def test_runner_works_on_after_it_was_interrupted(runner: LocalRunner) -> None:
    done(runner, work(0, "add", 1))
    runner.submit(work(1, "sleep", 60))
    runner.interrupt()
    gathered(runner)
    assert done(runner, work(2, "add", 1)) == [1]


def test_nothing_is_left_of_steps_that_do_not_stop(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    with local_runner(tmp_path) as runner:
        runner.submit(work(0, "mark", str(marks), 60))
        runner.submit(work(1, "deaf", 60))
        until(lambda: lines_of(marks))
        pids = pids_of(runner)
        runner.interrupt()
        runner.close()
        assert not any(map(alive, pids))
        runner.close()


def test_idle_workers_end_by_themselves(tmp_path: Path) -> None:
    with local_runner(tmp_path) as runner:
        done(runner, work(0, "add", 1))
        worker = runner._pool.workers[0]
        runner.close()
        assert worker._process.returncode == 0


def test_signal_of_the_driver_gets_through_while_it_waits(runner: LocalRunner) -> None:
    runner.submit(work(0, "sleep", 60))
    killer = ["sh", "-c", f"sleep 0.3; kill -TERM {os.getpid()}"]
    with guarded_signals() as guard, pytest.raises(Interrupted, match="SIGTERM"), subprocess.Popen(killer):
        runner.wait(None)
    assert guard.seen == signal.SIGTERM
    runner.interrupt()
    assert error_of(gathered(runner)[0]).interrupted


def test_waiting_ends_after_the_time_given(runner: LocalRunner) -> None:
    runner.submit(work(0, "sleep", 60))
    assert runner.wait(0) == []
    assert runner.wait(0.05) == []


def test_children_of_a_worker_end_with_it(runner: LocalRunner, tmp_path: Path) -> None:
    runner.submit(work(0, "parent", str(tmp_path / "busy")))
    until((tmp_path / "busy").exists)
    children = [int(pid) for pid in lines_of(tmp_path / "busy")]
    assert all(map(alive, children))
    os.kill(pids_of(runner)[0], signal.SIGKILL)
    assert error_of(gathered(runner)[0]).lost
    until(lambda: not any(map(alive, children)))


# --- config, and what is there already


@pytest.mark.parametrize("workers", [0, -1, 1.5, "two", True, 10_000])
def test_number_of_workers_that_makes_no_sense_is_refused(workers: object, tmp_path: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match=rf"runner\.workers={workers} .*null"):
        LocalRunner(workers=workers).open(toy_run(tmp_path / "run"))


def test_runner_that_is_not_open_says_so() -> None:
    runner = LocalRunner()
    runner.close()
    with pytest.raises(RunnerError, match="not open"):
        runner.has_room(NOTHING)


def test_keys_for_the_driver_are_taken() -> None:
    LocalRunner(cpus=None, gpus=None, memory=None, resources={}, grace=30)


def test_what_there_is_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), local_runner(tmp_path, workers=1):
        assert "Up to 1 step at a time, on " in caplog.text


def test_living_worker_of_an_earlier_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mml.runners.local._DYING", 0.2)
    with local_runner(tmp_path) as runner:
        done(runner, work(0, "add", 1))
        (pid,) = pids_of(runner)
        with pytest.raises(RunLockedError, match=rf"process {pid} on .*kill -9 {pid}"):
            LocalRunner().open(toy_run(tmp_path / "run"))
    LocalRunner().open(toy_run(tmp_path / "run"))
