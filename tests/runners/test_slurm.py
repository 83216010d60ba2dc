"""Steps as jobs of a real Slurm."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mml.core.scripts.attempts import AttemptFolder
from mml.core.scripts.exceptions import MMLMisconfigurationException, RunnerError
from mml.core.scripts.resources import Resources
from mml.core.scripts.run_files import REPORT_FILE
from mml.runners.base import Room
from mml.runners.slurm import SlurmRunner
from mml.runners.slurm_job import starts_of
from mml.runners.slurm_queue import queued_jobs
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
    runs = work(0, "mark", str(tmp_path / "mark"), 60)
    waits, too = (work(number, "nothing", resources=Resources(cpus=slurm.cpus)) for number in (1, 3))
    one.submit(runs)
    one.until(lambda: begun(tmp_path / "mark"))
    one.submit(waits, too)
    one.queue()
    one.submit(work(2, "nothing"))
    one.runner.interrupt()
    reports = one.collect(4)
    assert all(report.error and report.error.interrupted for report in reports.values())
    assert reports[0].worker
    one.runner.close()
    assert slurm.state(one.job(runs)) == "COMPLETED"  # it was not cancelled, but has stopped
    assert slurm.state(one.job(waits)) in ("CANCELLED", "")


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
    assert report.outcome is not None, report.error
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


def test_another_driver_takes_up_what_is_in_the_queue_or_has_reported(
    driver: Callable[..., Driver], slurm: Machine, tmp_path: Path
) -> None:
    first, path = driver(), tmp_path / "mark"
    first.open()
    done, runs, dies = work(0, "add", 4, 5), work(1, "mark", str(path), 3), work(2, "leave", 3)
    first.submit(done, runs, dies)
    first.queue()
    wait_for(lambda: (AttemptFolder(first.folder, done.name).path / REPORT_FILE).exists() and begun(path))
    wait_for(lambda: slurm.state(first.job(dies)) == "FAILED")
    first.runner.detaches = True  # as if it were killed: it cancels nothing
    other = driver()
    assert other.open(done, runs, dies, work(3, "nothing")) == [done, runs]
    reports = other.collect(2)
    assert reports[0].outcome is not None
    assert reports[0].outcome.value == 9
    assert reports[1].outcome is not None
    assert path.read_text().count("begin") == 1


def test_jobs_of_a_driver_that_died_before_it_had_their_numbers_are_found_by_their_name(
    driver: Callable[..., Driver], slurm: Machine, tmp_path: Path
) -> None:
    first, items = driver(), [work(number, "mark", str(tmp_path / str(number)), 60) for number in range(3)]
    first.open()
    first.submit(*items)
    first.queue()
    jobs = [first.job(item) for item in items]
    first.runner.detaches = True
    for item in items:
        folder = AttemptFolder(first.folder, item.name)
        folder.take_down({**(folder.job() or {}), "job": ""})
    (first.folder / "slurm" / f"{jobs[1]}_submitted.pkl").unlink()
    other = driver()
    assert other.open(*items) == [items[0], items[2]]
    assert [other.job(item) for item in items] == [jobs[0], "", jobs[2]]
    assert slurm.state(jobs[1]) in ("CANCELLED", "")  # it would not have known what to do


def test_work_that_needs_other_work_waits_for_it_in_the_queue(
    driver: Callable[..., Driver], slurm: Machine, tmp_path: Path
) -> None:
    one, path = driver(detach=True), tmp_path / "order"
    one.open()
    folds = [work(number, "mark", str(path), 1) for number in range(2)]
    last = msgspec.structs.replace(work(2, "mark", str(path), 0), pending=[fold.name for fold in folds])
    assert one.runner.has_room(last.resources)
    one.submit(*folds, last)
    assert one.runner.wait(0) == []
    array = one.job(folds[0]).partition("_")[0]
    assert slurm.ask("squeue", "-h", "-o", "%E", "-j", one.job(last)).startswith(f"afterok:{array}")
    one.runner.close()  # leaves them to the queue
    jobs = queued_jobs(one.folder)
    assert [(job.step, job.job) for job in jobs] == [(str(item), one.job(item)) for item in (*folds, last)]
    assert jobs[2].state == "PENDING"
    assert jobs[2].reason == "Dependency"
    again = driver(detach=True)
    assert again.open(*folds, last) == [*folds, last]
    other = driver()
    assert other.open(*folds, last) == folds  # what waits for others is submitted by who knows what became of them
    assert all(report.outcome for report in other.collect(2).values())
    other.submit(last)
    assert other.collect()[2].outcome
    assert [line.split()[0] for line in path.read_text().splitlines()][-2:] == ["begin", "end"]


def test_work_that_needs_what_failed_leaves_the_queue(driver: Callable[..., Driver], slurm: Machine) -> None:
    one = driver(detach=True)
    one.open()
    fails = work(0, "fail", "boom")
    needs = msgspec.structs.replace(work(1, "nothing"), pending=[fails.name])
    one.submit(fails, needs)
    one.runner.wait(0)
    wait_for(lambda: slurm.state(one.job(needs)) == "CANCELLED")
    other = driver()
    assert other.open(fails, needs) == [fails]


def test_jobs_outlive_a_daemon_of_their_machine(driver: Callable[..., Driver], slurm: Machine, tmp_path: Path) -> None:
    one, item = driver(), work(0, "mark", str(tmp_path / "mark"), 3)
    one.open()
    one.submit(item)
    one.until(lambda: begun(tmp_path / "mark"))
    slurm.stop("slurmd")
    try:
        assert one.collect()[0].outcome is not None
    finally:
        slurm.start("slurmd")


def test_an_attempt_that_was_given_up_does_nothing(
    driver: Callable[..., Driver], slurm: Machine, tmp_path: Path
) -> None:
    one, item = driver(), work(0, "mark", str(tmp_path / "mark"), 60)
    one.open()
    first = work(1, "sleep", 2, resources=Resources(cpus=slurm.cpus))
    one.submit(first)
    one.queue()
    one.submit(item)
    one.queue()
    job = one.job(item)
    AttemptFolder(one.folder, item.name).revoke()
    one.collect()
    wait_for(lambda: slurm.state(job) == "COMPLETED")
    assert not (tmp_path / "mark").exists()
    assert not AttemptFolder(one.folder, item.name).path.exists()


def test_a_job_that_waits_for_ever_is_told_once(
    driver: Callable[..., Driver], slurm: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    one, item = driver(partition="closed"), work(0, "nothing")
    one.open()
    one.submit(item)
    one.until(lambda: "does not end by itself" in caplog.text)
    time.sleep(3)
    one.runner.wait(1)
    assert caplog.text.count("does not end by itself") == 1
    assert f"Slurm job {one.job(item)} of step 1, nothing() waits" in caplog.text
    assert "runner.partition" in caplog.text


def test_what_sbatch_refuses_is_a_misfit_with_its_words(driver: Callable[..., Driver], slurm: Machine) -> None:
    one = driver(account="nobody")
    one.open()
    one.submit(work(0, "nothing"))
    error = one.collect()[0].error
    assert error is not None
    assert error.misfit
    assert "runner.account=nobody" in error.text
    assert "Invalid account" in error.text


def test_an_interpreter_that_is_not_there_is_told_at_once(driver: Callable[..., Driver]) -> None:
    one = driver(python="/nowhere/python")
    one.open()
    one.submit(work(0, "nothing"))
    error = one.collect()[0].error
    assert error is not None
    assert error.misfit
    assert "runner.python" in error.text
    assert "/nowhere/python" in error.text


def test_only_so_many_jobs_are_in_the_queue(driver: Callable[..., Driver]) -> None:
    one = driver(max_jobs=2)
    one.open()
    for number in range(2):
        assert one.runner.has_room(Resources())
        one.submit(work(number, "nothing"))
    assert not one.runner.has_room(Resources())
    one.collect(2)
    assert one.runner.has_room(Resources())


def test_a_job_that_gives_way_to_another_is_started_again_by_slurm(
    driver: Callable[..., Driver], slurm: Machine, tmp_path: Path
) -> None:
    one, item = driver(), work(0, "mark", str(tmp_path / "mark"), 10, resources=Resources(cpus=slurm.cpus))
    one.open()
    one.submit(item)
    one.until(lambda: begun(tmp_path / "mark"))
    job = one.job(item)
    other = ("-p", "urgent", "-c", str(slurm.cpus), "--mem=100", "-o", str(tmp_path / "out"), "--parsable")
    urgent = slurm.ask("sbatch", *other, "--wrap=true").strip()
    one.until(lambda: slurm.state(urgent) == "COMPLETED")
    one.until(lambda: slurm.state(job) == "PENDING")
    slurm.release(job)
    report = one.collect()[0]
    assert report.outcome is not None
    assert report.worker == f"slurm-{job}.1"


def test_a_slurm_that_is_not_there_or_not_to_be_reached_is_told_with_the_fix(
    tmp_path: Path, slurm: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = tmp_path / "away.conf"
    away.write_text((slurm.folder / "slurm.conf").read_text().replace("SlurmctldPort=", "SlurmctldPort=1\n#"))
    monkeypatch.setenv("SLURM_CONF", str(away))
    with pytest.raises(MMLMisconfigurationException, match=r"Unable to contact.*`scontrol ping`.*runner=local"):
        Driver(tmp_path / "run").open()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MMLMisconfigurationException, match=r"this machine has no sbatch, srun, .*login node"):
        Driver(tmp_path / "run").open()


@pytest.mark.parametrize("name", ["100%", "a\\b"])
def test_a_folder_that_slurm_would_read_as_another_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match="Choose another out_dir"):
        Driver(tmp_path / name).open()


def test_options_are_checked_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match="runner.time_limit=soon"):
        Driver(tmp_path, time_limit="soon").open()


def test_what_may_be_in_the_queue_is_told() -> None:
    assert SlurmRunner(max_jobs=7, partition="gpu").room() == Room(7, text="Slurm, partition gpu", shared=True)
    assert SlurmRunner(detach=True, setup="module load cuda").room().slots is None


def test_a_runner_that_was_never_opened_has_nothing_to_close() -> None:
    SlurmRunner().close()


# Last, as Slurm takes most of a minute to start jobs again after its controller was away.
def test_a_controller_that_is_away_for_a_while_is_no_failure(
    driver: Callable[..., Driver], slurm: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, runs = driver(), work(0, "mark", str(tmp_path / "mark"), 3)
    one.open()
    one.submit(runs)
    one.until(lambda: begun(tmp_path / "mark"))
    slurm.stop("slurmctld", signal.SIGTERM)  # killed, it would forget the jobs of the last seconds
    try:
        one.submit(work(1, "add", 1, 1))
        assert one.collect()[0].outcome is not None  # jobs report without Slurm
        assert "Slurm can't be reached" in caplog.text
    finally:
        slurm.start("slurmctld")
    assert one.collect()[1].outcome is not None
    assert caplog.text.count("Slurm can't be reached") == 1
    assert "Slurm answers again" in caplog.text


def test_a_controller_that_stays_away_ends_the_run(driver: Callable[..., Driver], slurm: Machine) -> None:
    one = driver(patience=0.001)
    one.open()
    one.submit(work(0, "nothing"))
    slurm.stop("slurmctld", signal.SIGTERM)
    try:
        with pytest.raises(RunnerError, match="could not be reached for .* continue the run when"):
            one.collect()
        one.runner.interrupt()
        one.runner.close()
    finally:
        slurm.start("slurmctld")
