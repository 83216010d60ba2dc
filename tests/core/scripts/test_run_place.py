"""Where a run would run: what the runner says of itself, and what is refused before anything begins."""

import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from omegaconf import OmegaConf

from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.resources import NOTHING, Resources
from mml.core.scripts.run_place import RunnerPlace
from mml.core.scripts.schedule import Step, StepRecord
from mml.runners.base import Room
from mml.runners.serial import SerialRunner
from tests.support.crew import Crew, crew_config, do


class RoomyRunner(SerialRunner):
    """Has two cores, and says so."""

    def __init__(self, **_: Any) -> None:
        super().__init__()

    def room(self) -> Room:
        return Room(slots=4, resources=Resources(cpus=2), text="two cores")

    def check(self, resources: Resources, what: str) -> None:
        if (resources.cpus or 0) > 2:
            msg = f"{what} needs too much."
            raise MMLMisconfigurationException(msg)


class Elsewhere(SerialRunner):
    """Says nothing of what it has."""

    in_process: ClassVar[bool] = False


def place(target: str | None = None, **runner: Any) -> RunnerPlace:
    return RunnerPlace(OmegaConf.create({"runner": {"_target_": target, **runner}} if target else {}))


def step(position: int, command: str = "work", resources: Resources = NOTHING) -> Step:
    record = StepRecord(command, [], [], "", resources)
    return Step(position, record, [], record.key)


def test_without_a_runner_steps_run_one_after_the_other() -> None:
    found = place()
    assert (found.name, found.room.slots) == ("serial", 1)


def test_a_runner_says_what_it_has() -> None:
    found = place(f"{__name__}.RoomyRunner")
    assert (found.name, found.room.text) == ("roomy", "two cores")


def test_of_a_runner_that_says_nothing_nothing_is_promised() -> None:
    found = place(f"{__name__}.Elsewhere")
    assert (found.name, found.room.slots, found.room.shared) == ("elsewhere", None, True)


def test_the_local_runner_has_what_this_machine_has() -> None:
    found = place("mml.runners.local.LocalRunner", workers=2)
    assert (found.name, found.room.slots) == ("local", 2)
    assert found.room.resources.cpus is not None
    assert not found.room.shared


def test_ray_on_this_machine_has_what_it_would_be_started_with() -> None:
    found = place("mml.runners.ray.RayRunner", num_cpus=2, num_gpus=0)
    assert (found.name, found.room.resources.cpus, found.room.resources.gpus, found.room.shared) == ("ray", 2, 0, False)
    with pytest.raises(MMLMisconfigurationException, match="no machine of Ray has that"):
        found.resources_of([step(0, resources=Resources(gpus=1))])
    grown = place("mml.runners.ray.RayRunner", num_cpus=2, autoscale=True)
    assert grown.resources_of([step(0, resources=Resources(cpus=64))])


def test_what_another_ray_has_only_it_itself_knows() -> None:
    found = place("mml.runners.ray.RayRunner", address="nowhere:1")
    assert (found.room.slots, found.room.shared) == (None, True)
    assert found.resources_of([step(0, resources=Resources(cpus=64))])


def test_in_slurm_jobs_wait_for_a_place() -> None:
    found = place("mml.runners.slurm.SlurmRunner", partition="gpu", max_jobs=7)
    assert (found.name, found.room.slots, found.room.shared) == ("slurm", 7, True)
    assert "gpu" in found.room.text


@pytest.mark.parametrize(
    ("target", "module", "extra"),
    [("mml.runners.ray.RayRunner", "ray", "ray"), ("mml.runners.slurm.SlurmRunner", "submitit", "slurm")],
)
def test_a_runner_whose_engine_is_not_installed_is_refused(
    monkeypatch: pytest.MonkeyPatch, target: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as if it could not be found
    with pytest.raises(MMLMisconfigurationException, match=rf"pip install 'mml-core\[{extra}\]'"):
        place(target)


def test_resources_of_the_config_come_before_those_of_the_plan() -> None:
    found = place(f"{__name__}.RoomyRunner", cpus=1, resources={"work": {"memory": "1GB"}})
    steps = [step(0, resources=Resources(cpus=2)), step(1, "rest")]
    assert found.resources_of(steps) == {0: Resources(cpus=2, memory=10**9), 1: Resources(cpus=1)}


def test_what_nobody_has_is_refused_in_the_words_of_the_runner() -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"step 1, work\(\) needs too much\."):
        place(f"{__name__}.RoomyRunner").resources_of([step(0, resources=Resources(cpus=3))])


def test_a_command_that_no_step_has_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'work'"):
        place(f"{__name__}.RoomyRunner", resources={"wrok": {"cpus": 1}}).resources_of([step(0)])


def test_run_that_its_runner_can_not_do_is_refused_before_there_is_a_run(tmp_path: Path) -> None:
    for runner in (
        {"_target_": f"{__name__}.RoomyRunner", "cpus": 3},
        {"_target_": f"{__name__}.RoomyRunner", "cpus": "x"},
    ):
        cfg = crew_config(tmp_path, do("nothing"), task_list=[])
        cfg.runner = runner
        with pytest.raises(MMLMisconfigurationException):
            Crew(cfg).run()
        assert not (tmp_path / "results").exists()
