"""The Ray runner on two machines: attempts, losses, signals and the end, with workers that have no scheduler."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.exceptions import Interrupted, MMLMisconfigurationException, RunnerError
from mml.core.scripts.resources import NOTHING, Resources
from mml.core.scripts.run_lock import is_held
from mml.core.scripts.signals import guarded_signals
from mml.runners.base import Earlier, Report, RunSetup, Work
from mml.runners.ray import RayRunner
from tests.support.ray_cluster import QUIET, RayCluster, can_hide, started, until
from tests.support.toy_worker import toy_run, work

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quiet_ray")]
ray = pytest.importorskip("ray")

Open = Callable[..., tuple[RayRunner, RunSetup]]


@pytest.fixture(scope="class")
def quiet_class() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def opened(ray_cluster: RayCluster, tmp_path: Path) -> Iterator[Open]:
    """Open runners of the shared Ray, which are closed at the end."""
    runners: list[RayRunner] = []

    def open_runner(
        address: str = ray_cluster.address, options: Any = None, **config: Any
    ) -> tuple[RayRunner, RunSetup]:
        runner = RayRunner(address, **(options or {}))
        runners.append(runner)
        run = toy_run(tmp_path / "run", **config)
        assert runner.open(run) == []
        return runner, run

    yield open_runner
    for runner in runners:
        runner.close()


def reports(runner: RayRunner, count: int, seconds: float = 60) -> list[Report]:
    """Wait for reports, in the order of their steps."""
    found: list[Report] = []
    end = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < end:
        found += runner.wait(1.0)
    assert len(found) == count, found
    return sorted(found, key=lambda report: report.step)


def do(runner: RayRunner, *works: Work) -> list[Report]:
    """Do work as the driver does: submit what finds room."""
    waiting, found = list(works), []
    while len(found) < len(works):
        while waiting and runner.has_room(waiting[0].resources):
            runner.submit(waiting.pop(0))
        found += runner.wait(None)
    return sorted(found, key=lambda report: report.step)


def value(report: Report) -> Any:
    assert report.outcome is not None, report
    return report.outcome.value


def error(report: Report) -> Any:
    assert report.error is not None, report
    return report.error


class TestOneRunner:
    """What one runner does, one after the other; its workers hold all cores meanwhile."""

    @pytest.fixture(scope="class")
    @classmethod
    def runner(
        cls, ray_cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory, quiet_class: None
    ) -> Iterator[RayRunner]:
        runner = RayRunner(ray_cluster.address)
        runner.open(toy_run(tmp_path_factory.mktemp("shared") / "run"))
        yield runner
        runner.close()

    def test_values_errors_and_files_come_back(self, runner: RayRunner) -> None:
        added, failed = do(runner, work(0, "add", 1, 2.5), work(1, "fail", "oh no"))
        assert value(added) == 3.5
        assert error(failed).text == "ValueError: oh no"
        assert not error(failed).lost
        assert added.worker

    def test_both_machines_work_at_the_same_time_in_workers_that_are_kept(
        self, runner: RayRunner, tmp_path: Path
    ) -> None:
        # Each of the two waits for the other.
        met = [work(step, "meet", str(tmp_path), step) for step in range(2)]
        assert [value(report) for report in do(runner, *met)] == [0, 1]
        processes = {value(report)["pid"] for report in do(runner, *(work(step, "process") for step in range(30)))}
        assert len(processes) <= 2

    def test_workers_have_the_threads_of_the_driver_and_no_gpu(self, runner: RayRunner) -> None:
        (report,) = do(runner, work(0, "process"))
        assert value(report)["CUDA_VISIBLE_DEVICES"] == ""
        assert value(report)["OMP_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"]

    def test_no_more_begins_than_the_machines_have_cores(self, runner: RayRunner) -> None:
        for step in range(2):
            assert runner.has_room(NOTHING)
            runner.submit(work(step, "sleep", 1.0))
        time.sleep(0.2)  # a worker that did something in no time may take more of it for a moment
        assert not runner.has_room(NOTHING)
        assert not runner.has_room(Resources(cpus=0.5))
        assert len(reports(runner, 2)) == 2
        assert runner.has_room(NOTHING)

    def test_idle_workers_give_way_to_those_of_another_size(self, runner: RayRunner) -> None:
        do(runner, *(work(step, "nothing") for step in range(4)))
        halves = [work(step, "process", resources=Resources(cpus=0.5)) for step in range(2)]
        assert all(value(report)["pid"] for report in do(runner, *halves))
        assert all(value(report)["pid"] for report in do(runner, work(0, "process")))

    def test_a_thousand_steps_of_no_time_are_done_each_once(self, runner: RayRunner) -> None:
        assert [report.step for report in do(runner, *(work(step, "nothing") for step in range(1000)))] == list(
            range(1000)
        )

    def test_waiting_without_work_ends(self, runner: RayRunner) -> None:
        assert runner.wait(0.2) == []
        assert runner.wait(None) == []

    def test_what_no_machine_has_is_refused_with_what_there_is(self, runner: RayRunner) -> None:
        runner.check(NOTHING, "step 1")
        for wanted in (Resources(cpus=2), Resources(gpus=1), Resources(memory=10**15)):
            with pytest.raises(
                MMLMisconfigurationException, match=r"Step 1 needs .*\((head|far): 1 CPUs, .*; (head|far): 1 CPUs"
            ):
                runner.check(wanted, "step 1")

    def test_worker_that_dies_is_reported_with_its_log_and_replaced(self, runner: RayRunner) -> None:
        report, *_ = do(runner, work(0, "kill", int(signal.SIGKILL), "last words"))
        assert error(report).lost
        assert f"Worker {report.worker} on machine " in error(report).text
        assert "was lost during step 1, kill(9, 'last words'). Its process ended all of a sudden" in error(report).text
        assert error(report).text.endswith("  last words")
        left, *_ = do(runner, work(1, "leave", 3))
        assert error(left).lost
        assert value(do(runner, work(2, "add", 1, 1))[0]) == 2

    def test_signal_gets_through_while_the_driver_waits(self, runner: RayRunner) -> None:
        runner.submit(work(0, "sleep", 5.0))
        script = f"import os, time; time.sleep(1); os.kill({os.getpid()}, {int(signal.SIGTERM)})"
        with guarded_signals(), subprocess.Popen([sys.executable, "-c", script]), pytest.raises(Interrupted):
            runner.wait(None)
        assert len(reports(runner, 1)) == 1


def test_all_attempts_stop_when_they_are_asked_to(opened: Open) -> None:
    runner, run = opened()
    for step in range(4):
        runner.submit(work(step, "sleep", 600))
    until(lambda: runner.wait(0.1) == [] and len(list(run.folder.glob("workers/*/exp.log"))) == 2)
    time.sleep(0.3)
    runner.interrupt()
    stopped = reports(runner, 4)
    assert all(error(report).interrupted for report in stopped)
    assert not any(error(report).lost for report in stopped)
    runner.close()
    assert not any(is_held(folder) for folder in run.folder.glob("workers/*"))


def test_what_does_not_stop_is_ended(opened: Open) -> None:
    runner, run = opened()
    runner.submit(work(0, "deaf", 600))
    until(lambda: runner.wait(0.1) == [] and any(is_held(folder) for folder in run.folder.glob("workers/*")))
    runner.interrupt()
    assert runner.wait(0.5) == []
    runner.close()
    runner.close()
    assert not any(is_held(folder) for folder in run.folder.glob("workers/*"))
    assert not ray.is_initialized()


def test_worker_that_does_not_fit_says_so(opened: Open) -> None:
    runner, _ = opened(misfit="another version of mml")
    for _ in range(2):
        (report,) = do(runner, work(0, "nothing"))
        assert error(report).misfit
        assert "another version of mml" in error(report).text


def test_attempts_that_go_on_are_written_down_for_a_later_driver(ray_cluster: RayCluster, tmp_path: Path) -> None:
    taken: list[tuple[str, dict[str, Any]]] = []
    run = toy_run(tmp_path / "run")._replace(take_down=lambda work, job: taken.append((work.name, job)))
    runner = RayRunner(ray_cluster.address)
    try:
        runner.open(run)
        do(runner, work(0, "nothing"))
        taken.clear()
        do(runner, *(work(step, "nothing") for step in range(20)), work(20, "sleep", 1.5))
    finally:
        runner.close()
    job = dict(taken)["0021.1.1"]
    assert len(taken) < 20
    assert job["cancel"] == "mml.runners.ray_jobs:cancel"
    assert job["address"] == ray_cluster.address
    assert job["worker"]
    assert job["node"] in ("head", "far")
    assert runner.open(run._replace(earlier=[Earlier(work(20, "sleep", 1.5), job)])) == []
    runner.close()


def test_step_of_a_lost_machine_runs_on_another_one(opened: Open, ray_cluster: RayCluster) -> None:
    two = Resources(cpus=2)
    try:
        for name in ("left", "right"):
            ray_cluster.add(name, "--num-cpus=2")
        runner, _ = opened()
        runner.submit(work(0, "process", resources=two))
        process = value(reports(runner, 1)[0])["pid"]
        lost, kept = ("left", "right") if process in ray_cluster.processes("left") else ("right", "left")
        runner.submit(work(1, "sleep", 600, resources=two))
        runner.wait(1.0)
        ray_cluster.kill(lost)
        (report,) = reports(runner, 1)
        assert error(report).lost
        assert f"on machine {lost} was lost during step 2" in error(report).text
        (again,) = do(runner, work(1, "process", attempt="1.2", resources=two))
        assert value(again)["pid"] in ray_cluster.processes(kept)
    finally:
        for name in ("left", "right"):
            ray_cluster.end(name)


@pytest.mark.parametrize("part", ["gcs_server", "raylet/raylet"], ids=["head", "raylet"])
def test_loss_of_the_head_ends_the_run_in_order(part: str, tmp_path: Path) -> None:
    with started() as cluster:
        cluster.add("head")
        runner = RayRunner(cluster.address, patience=2)
        try:
            runner.open(toy_run(tmp_path / "run"))
            runner.submit(work(0, "sleep", 600))
            runner.wait(1.0)
            cluster.kill("head", part)
            with pytest.raises(RunnerError, match="can't be reached for 2 s|is no part of Ray any more"):
                reports(runner, 2)  # of the one attempt, a loss may be told before the head has noticed
        finally:
            runner.close()
        assert not ray.is_initialized()


@pytest.mark.skipif(not can_hide(), reason="needs mounts of its own")
@pytest.mark.parametrize("blind", ["folder", "mml"])
def test_machine_that_lacks_folder_or_mml_is_named(blind: str, ray_cluster: RayCluster, tmp_path: Path) -> None:
    import mml

    hidden = tmp_path if blind == "folder" else Path(mml.__file__).parent
    runner = RayRunner(ray_cluster.address)
    try:
        ray_cluster.add("blind", hide=hidden)
        with pytest.raises(MMLMisconfigurationException) as caught:
            runner.open(toy_run(tmp_path / "run"))
        text = str(caught.value)
        assert "Machine blind of Ray" in text
        if blind == "folder":
            assert f"does not see the run folder {tmp_path / 'run'}" in text
            assert "out_dir=<folder>" in text
        else:
            assert "can't import mml (ModuleNotFoundError: No module named 'mml" in text
            assert "pip install 'mml-core[ray]'" in text
        assert list((tmp_path / "run").glob(".seen*")) == []
    finally:
        runner.close()
        ray_cluster.end("blind")


def test_every_worker_has_a_gpu_of_its_own_unless_it_wants_none(tmp_path: Path) -> None:
    runner = RayRunner(num_cpus=2, num_gpus=2)
    assert not runner.fenced  # what it starts itself it can kill for certain
    try:
        runner.open(toy_run(tmp_path / "run"))
        do(runner, *(work(step, "meet", str(tmp_path), step) for step in range(2)))
        for step in range(2):
            runner.submit(work(step, "process"))
        assert {value(report)["CUDA_VISIBLE_DEVICES"] for report in reports(runner, 2)} == {"0", "1"}
        (without,) = do(runner, work(2, "process", resources=Resources(gpus=0)))
        assert value(without)["CUDA_VISIBLE_DEVICES"] == ""
    finally:
        runner.close()


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from mml.runners.ray import RayRunner
from tests.support.toy_worker import toy_run, work
runner = RayRunner(sys.argv[1])
runner.open(toy_run(Path(sys.argv[2])))
for step in range(2):
    runner.submit(work(step, "deaf", 600))
while True:
    runner.wait(0.5)
"""


def test_workers_of_a_driver_that_is_killed_end(ray_cluster: RayCluster, tmp_path: Path, opened: Open) -> None:
    words = [ray_cluster.address, str(tmp_path / "run"), str(Path(__file__).parents[2])]
    driver = subprocess.Popen([sys.executable, "-c", KILLED, *words])
    workers = tmp_path / "run" / "workers"
    until(lambda: sum(is_held(folder) for folder in workers.glob("*")) == 2)
    driver.kill()
    driver.wait()
    runner, _ = opened()  # which waits for their end
    assert not any(is_held(folder) for folder in workers.glob("*"))
    assert value(do(runner, work(0, "add", 1, 1))[0]) == 2
