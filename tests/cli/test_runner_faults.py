"""What can be wrong about where steps run ends with a clear sentence, soon, and nothing is left running."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mml.testing.driving import World, make_task
from tests.support.fake_plugins import CHECKOUT, install_toy
from tests.support.ray_cluster import can_hide, started
from tests.support.slurm_machine import Machine

# Takes a library from a process, as if it were not installed.
HIDE = """
import sys
from importlib.abc import MetaPathFinder


class Hide(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Hide())
"""
# In a local worker: another version of a library, or no plugins.
IN_WORKERS = """
import importlib.metadata, sys

if any("local_worker" in word for word in sys.orig_argv):
    version, entry_points = importlib.metadata.version, importlib.metadata.entry_points
    if {what!r} == "version":
        importlib.metadata.version = lambda name: "0.0.1" if name == "torch" else version(name)
    else:
        importlib.metadata.entry_points = lambda **given: entry_points(group="nothing")
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with a task."""
    root = tmp_path_factory.mktemp("faults")
    make_task(World(root, root / "data"))
    return root / "data"


@pytest.fixture
def world(tmp_path: Path, data: Path) -> Iterator[World]:
    """Return a place for a run, after which nothing may still run."""
    world = World(tmp_path, data)
    yield world
    left = world.left_running()
    world.close()
    assert not left


def refused(world: World, *words: str, plan: str = "diamond", code: int = 2) -> str:
    """Run a schedule that is refused, soon, before there is a run and without a traceback; return what is said.

    With code 1 there is a run, which can be continued: only its engine, or a worker, could tell.
    """
    assert world.wait(world.plan(plan, *words), patience=60) == code, world.said()
    said = " ".join(world.output.read_text().split())
    assert "Traceback (most recent call last)" not in said
    assert not list(world.trace.iterdir()), "a step was begun"
    assert bool(list(world.results.glob("*/runs/*"))) == (code == 1)
    return said


def site_with(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let children run code at their start; return the folder that they import from."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", f"{site}:{CHECKOUT}")
    return site


@pytest.mark.parametrize(("runner", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_runner_whose_extra_is_not_installed_names_the_command(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: str, library: str
) -> None:
    site_with(tmp_path, HIDE.format(names=[library]), monkeypatch)
    said = refused(world, f"runner={runner}")
    assert f"runner={runner} needs {library}, which is not installed: pip install 'mml-core[{runner}]'" in said


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["runner.cpus=1000"], "1000 cores, but there"),
        (["runner.gpus=9"], "9 GPUs, but there"),
        (["runner.memory=1000TB"], "of memory, but steps may use"),
        (["runner.resources={join:{cpus:999}}"], "999 cores, but there"),
        (["runner.resources={jion:{cpus:1}}"], "jion"),
        (["runner.workers=0"], "runner.workers=0 can't be done"),
    ],
)
def test_local_resources_that_nobody_has_are_refused(world: World, words: list[str], fault: str) -> None:
    assert fault in refused(world, "runner=local", *words)


def test_unreachable_ray_is_named(world: World) -> None:
    assert "runner.address=127.0.0.1:9" in refused(world, "runner=ray", "runner.address=127.0.0.1:9", code=1)


@pytest.mark.slow
def test_resources_that_no_machine_of_ray_has_are_refused(world: World) -> None:
    said = refused(world, "runner=ray", "runner.num_cpus=1", "runner.cpus=64")
    assert "needs 64 CPUs" in said
    assert "no machine of Ray has that" in said


@pytest.mark.slow
@pytest.mark.skipif(not can_hide(), reason="needs the right to mount")
def test_machine_of_ray_that_does_not_see_the_results_is_named(world: World) -> None:
    with started() as cluster:
        cluster.add("head", "--num-cpus=0")
        world.results.mkdir()
        cluster.add("blind", hide=world.results)
        said = refused(world, "runner=ray", f"runner.address={cluster.address}", code=1)
    assert "blind of Ray does not see the run folder" in said
    assert "out_dir" in said


@pytest.mark.parametrize(
    ("what", "fault"),
    [("version", "torch 0.0.1, the driver has"), ("plugin", "mml-toy is missing, the driver has 1.2.3")],
)
def test_worker_with_another_version_or_without_a_plugin_is_named(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, fault: str
) -> None:
    install_toy(site_with(tmp_path, IN_WORKERS.format(what=what), monkeypatch))
    said = refused(world, "runner=local", "runner.workers=2", code=1)
    assert "differs from the driver" in said
    assert fault in said
    assert "mml continue" in said


def test_params_that_can_not_be_sent_are_refused_before_any_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(world, "runner=local", plan="unsendable")
    assert "can't be journaled" in said
    assert "step 1" in said


def test_missing_slurm_is_named(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refused(world, "runner=slurm")
    assert "sbatch" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["runner.partition=nowhere"], "nowhere"),
        (["runner.partition=closed"], "closed"),
        (["runner.cpus=1000"], "1000"),
        (["runner.account=nobodys"], "nobodys"),
        (["runner.partition=short", "runner.time_limit=9:00:00"], "time_limit"),
    ],
)
def test_slurm_that_refuses_is_understood(world: World, slurm: Machine, words: list[str], fault: str) -> None:
    assert fault in refused(world, "runner=slurm", *words)
    assert not slurm.ask("squeue", "-h").strip()


@pytest.mark.slow
def test_slurm_whose_controller_is_gone_is_named(world: World, slurm: Machine) -> None:
    slurm.stop("slurmctld")
    try:
        said = refused(world, "runner=slurm")
    finally:
        slurm.start("slurmctld")
    assert "Slurm" in said
