"""Runs that are left to the queue of a real Slurm: nothing of mml runs meanwhile, and `mml continue` collects them."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.journal import Started
from mml.core.scripts.runs import read_run
from mml.detaching import attach, check_detach, detach_override
from mml.runners.slurm_queue import queued_jobs
from mml.testing.driving import World
from mml.testing.outcomes import events_of
from mml.testing.runners import TRAINING, Expected, refuse_differences
from tests.cli.conftest import Mml
from tests.support.slurm_machine import Machine

SLURM = ("runner=slurm", "runner.cpus=1", "runner.memory=500MB")
PATIENCE = 180


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """Return what serial runs leave."""
    return Expected(tmp_path_factory.getbasetemp() / "serial")


@pytest.fixture
def world(tmp_path: Path, slurm: Machine, expected: Expected) -> Iterator[World]:
    """Return a place for a run; no job of it outlives the test."""
    world = World(tmp_path, expected.data, SLURM)
    yield world
    for folder in world.results.glob("*/runs/*"):
        for job in queued_jobs(folder):
            slurm.ask("scancel", job.job, check=False)
    world.close()


def wait_for(happened: object) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():  # type: ignore[operator]
        assert time.monotonic() < end, f"waited {PATIENCE} s"
        time.sleep(0.1)


def mml(world: World, *words: str) -> str:
    """Return what a command prints that has nothing to do with the run's own processes."""
    command = [sys.executable, "-m", "mml", *words, f"out_dir={world.results}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=world.root).stdout


@pytest.mark.slow
def test_a_detached_run_goes_on_in_the_queue_and_is_collected(world: World, expected: Expected, slurm: Machine) -> None:
    world.ends(world.plan("held", "--detach"))
    folder = world.run_folder()
    said = world.output.read_text()
    assert f"Run {folder.name} goes on in the queue" in said
    assert f"mml status {folder.name}" in said
    assert f"mml continue {folder.name}" in said
    assert read_run(folder).state == "detached"
    assert "detached" in mml(world, "runs")
    wait_for(lambda: len(world.attempts("held_a")) == 1)
    jobs = {job.step.split("'")[1]: job for job in queued_jobs(folder)}
    assert jobs["held_a"].state == "RUNNING"
    assert jobs["after_held_a"].reason == "Dependency"
    status = mml(world, "status", folder.name)
    assert "1 RUNNING" in status or "2 RUNNING" in status
    world.tell("held_a.go")
    world.tell("held_b.go")
    wait_for(lambda: all(job.state == "REPORTED" for job in queued_jobs(folder)))
    assert world.wait(world.start("continue", "latest")) == 0
    refuse_differences(world, expected.of("held"))
    assert len([event for event in events_of(folder) if isinstance(event, Started)]) == len(jobs)
    assert not (folder / "attempts").exists()


@pytest.mark.slow
def test_a_detached_training_whose_jobs_have_to_leave_ends_with_the_same_bits(
    world: World, expected: Expected, slurm: Machine
) -> None:
    world.ends(world.start(*TRAINING, *SLURM, "--detach"))
    folder = world.run_folder()
    wait_for(lambda: any(world.results.rglob("temp/TRAINING/**/*.*")))
    left = [job.job for job in queued_jobs(folder) if job.state == "RUNNING"]
    slurm.ask("scancel", "--signal=USR2", *left)
    wait_for(lambda: any(slurm.state(job) == "PENDING" for job in left))
    child = world.start("continue", "latest")  # while they wait to be started again
    held = set(left)
    while child.poll() is None:
        for job in [job for job in held if slurm.state(job) == "PENDING"]:
            slurm.release(job)
            held.remove(job)
        time.sleep(0.5)
    world.ends(child)
    assert list((folder / "workers").glob("slurm-*.1"))
    refuse_differences(world, expected.trained(TRAINING))


@pytest.mark.slow
def test_a_run_that_goes_on_elsewhere_cancels_its_jobs_first(world: World, expected: Expected, slurm: Machine) -> None:
    world.ends(world.plan("held", "--detach"))
    folder = world.run_folder()
    wait_for(lambda: len(world.attempts("held_a")) == 1)
    jobs = [job.job for job in queued_jobs(folder)]
    child = world.start("continue", "latest", "runner=serial")
    world.wait_for_attempts(child, "held_a", number=2)
    assert {slurm.state(job) for job in jobs} <= {"CANCELLED", "COMPLETED"}
    world.tell("held_a.go")
    world.tell("held_b.go")
    world.ends(child)
    refuse_differences(world, expected.of("held"))


@pytest.mark.slow
def test_who_continues_goes_on_with_jobs_that_run(world: World, expected: Expected, slurm: Machine) -> None:
    world.ends(world.plan("held", "--detach"))
    folder = world.run_folder()
    wait_for(lambda: len(world.attempts("held_a")) == len(world.attempts("held_b")) == 1)
    child = world.start("continue", "latest")
    wait_for(lambda: read_run(folder).state == "running")
    world.tell("held_a.go")
    world.tell("held_b.go")
    world.ends(child)
    refuse_differences(world, expected.of("held"))
    assert len(world.attempts("held_a")) == len(world.attempts("held_b")) == 1


@pytest.mark.slow
def test_what_a_step_fails_with_is_told_when_it_is_collected(world: World, expected: Expected) -> None:
    world.tell("bad.fail")
    world.ends(world.plan("failing", "--detach", "on_error=continue"))
    world.ends(world.start("continue", "latest"), code=1)
    assert "bad was told to fail" in world.said()
    refuse_differences(world, expected.of("failing", "on_error=continue"))


@pytest.mark.slow
def test_a_signal_while_jobs_are_collected_stops_them(world: World, expected: Expected, slurm: Machine) -> None:
    world.ends(world.plan("held", "--detach"))
    folder = world.run_folder()
    wait_for(lambda: len(world.attempts("held_b")) == 1)
    jobs = [job.job for job in queued_jobs(folder)]
    child = world.start("continue", "latest")
    wait_for(lambda: read_run(folder).state == "running")
    time.sleep(2)
    child.send_signal(signal.SIGINT)
    world.ends(child, code=130)
    assert {slurm.state(job) for job in jobs} <= {"CANCELLED", "COMPLETED"}
    world.tell("held_a.go")
    world.tell("held_b.go")
    world.ends(world.start("continue", "latest"))
    refuse_differences(world, expected.of("held"))


@pytest.mark.slow
def test_a_run_that_is_removed_leaves_no_job(world: World, slurm: Machine) -> None:
    world.ends(world.plan("held", "--detach"))
    folder = world.run_folder()
    wait_for(lambda: len(world.attempts("held_a")) == 1)
    jobs = [job.job for job in queued_jobs(folder)]
    mml(world, "runs", "rm", folder.name, "--yes")
    assert not folder.exists()
    assert {slurm.state(job) for job in jobs} <= {"CANCELLED", "COMPLETED", ""}


def test_a_runner_without_a_queue_says_who_has_one(toy: Mml) -> None:
    said = toy("toy", "--detach")
    assert said.code == 2
    assert "runner=serial has none" in said.err
    assert "runner=slurm" in said.err


def test_a_runner_with_the_key_may_detach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)  # whatever ran in this process before
    cfg = OmegaConf.create({"runner": {"_target_": "mml.runners.slurm.SlurmRunner", "detach": True}})
    check_detach(cfg)
    check_detach(OmegaConf.create({}))
    cfg.runner._target_ = "mml.runners.serial.SerialRunner"
    with pytest.raises(MMLMisconfigurationException, match=r"runner=mml.runners.serial.SerialRunner has none"):
        check_detach(cfg)


def test_the_flag_is_an_override_that_any_config_takes() -> None:
    assert detach_override(["train", "--detach"]) == ["++runner.detach=true"]
    assert detach_override(["train", "runner=slurm"]) == []


@pytest.mark.parametrize(("asked", "then"), [([], False), (["runner.detach"], True)])
def test_who_continues_a_detached_run_collects_it(asked: list[str], then: bool) -> None:
    stored = OmegaConf.create({"runner": {"detach": True}})
    attach(stored, asked)
    assert stored.runner.detach is then
    attach(OmegaConf.create({}), [])
