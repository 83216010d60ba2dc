"""Trainings that are struck wherever their steps run are judged by what they leave; here with a schedule of no time."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.engines import Engine, SerialEngine, kill_driver, kill_worker, workers_of
from chaos.runners import Study, opened
from chaos.table import Options, is_loss
from mml.testing.driving import TASK, World, make_task


@pytest.fixture(scope="module")
def make_study(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Study]:
    """Make studies of a schedule of the mode `contract`."""
    root = tmp_path_factory.mktemp("data")
    make_task(World(root, root / "data"))

    def make(plan: str) -> Study:
        folder = tmp_path_factory.mktemp(plan)
        words = ["contract", f"task={TASK}", f"mode.plan={plan}", f"mode.control={folder / 'control'}"]
        return Study(Options(seed=1, points=None, quick=True, folder=folder), words, root / "data")

    return make


@pytest.mark.parametrize("make", [Engine, SerialEngine])
def test_rows_tell_what_was_struck(make_study: Callable[[str], Study], tmp_path: Path, make: type[Engine]) -> None:
    with opened(make, tmp_path) as engine:
        rows = make_study("diamond").with_engine(engine, 1)
    victims = [f"SIGKILL to {victim}, runner={engine.name}" for victim in engine.victims]
    assert [row.injected for row in rows] == [f"nothing, runner={engine.name}", *victims]
    assert not any(map(is_loss, rows)), rows


def test_what_a_run_lost_is_told_and_stays_to_be_looked_at(make_study: Callable[[str], Study], tmp_path: Path) -> None:
    def rob(world: World, driver: "subprocess.Popen[bytes]", _: random.Random) -> bool:
        driver.wait()
        next(world.results.rglob("note_0001.txt")).unlink()
        return True

    engine = SerialEngine(tmp_path)
    engine.victims["a file"] = rob
    study = make_study("diamond")
    verdict = study.struck(engine, "a file", "robbed", [0.0])
    assert verdict.survived
    assert any("missing" in line for line in verdict.differing)
    assert "struck True" in verdict.story
    (told,) = study.folder.rglob("loss.txt")
    assert "missing" in told.read_text()


def test_run_that_does_not_go_on_has_not_survived(make_study: Callable[[str], Study], tmp_path: Path) -> None:
    def break_it(world: World, driver: "subprocess.Popen[bytes]", _: random.Random) -> bool:
        journals = list(world.results.rglob("journal.jsonl"))
        if not journals or b"done" not in journals[0].read_bytes():
            return False
        driver.kill()
        driver.wait()
        journals[0].with_name("config.yaml").write_text("no: [yaml")
        return True

    engine = SerialEngine(tmp_path)
    engine.victims["the config"] = break_it
    verdict = make_study("everything").struck(engine, "the config", "broken", [0.0])
    assert not verdict.survived


def test_workers_are_found_by_the_lock_that_they_hold(tmp_path: Path) -> None:
    world = World(tmp_path / "world", tmp_path)
    folder = world.results / "default" / "runs" / "r" / "workers" / "w"
    folder.mkdir(parents=True)
    code = f"import time; file = open({str(folder / 'run.lock')!r}, 'w'); print('ready', flush=True); time.sleep(60)"
    child = subprocess.Popen(["python3", "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert workers_of(world) == [child.pid]
        assert kill_worker(world, child, random.Random(1))
        assert child.wait() == -9
        assert not kill_worker(world, child, random.Random(1))
    finally:
        child.kill()
        child.communicate()


def test_driver_is_killed(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "60"])
    assert kill_driver(World(tmp_path, tmp_path), child, random.Random(1))
    assert child.wait() == -9
