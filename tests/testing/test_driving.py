"""Tests of runners start commands in worlds of their own, find what these started, and leave nothing running."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mml.testing import driving
from mml.testing.driving import MARK, World, processes_with


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, tmp_path / "data", ["runner=serial"])
    yield world
    world.close()


def sleeper(world: World, mark: str | None = None) -> "subprocess.Popen[bytes]":
    """Start a process that sleeps, with the mark of a world."""
    env = {**os.environ, MARK: mark or str(world.root)}
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=env)


def test_command_ends_with_its_exit_code_and_its_words_are_kept(world: World) -> None:
    world.ends(world.start("info"))
    assert "$ mml info\n" in world.said()
    with pytest.raises(AssertionError, match="exit code 2, not 0"):
        world.ends(world.start("no_such_mode"))


@pytest.mark.parametrize(("module", "code"), [("mml.testing", 0), ("mml", 2)])
def test_mode_of_the_contract_is_known_to_its_commands_alone(module: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-m", module, "help", "contract"], capture_output=True, check=False)
    assert (done.returncode, b"Steps of every kind" in done.stdout) == (code, code == 0)


def test_command_that_hangs_is_killed(world: World) -> None:
    child = world.plan("held", f"task={driving.TASK}")
    assert world.wait(child, 0.05) == -signal.SIGKILL


def test_processes_are_found_by_their_mark(world: World) -> None:
    own, other = sleeper(world), sleeper(world, "elsewhere")
    try:
        deadline = time.monotonic() + 30
        while own.pid not in world.left_running() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert set(world.left_running()) == {own.pid}
        assert "time.sleep(60)" in processes_with(MARK, str(world.root))[own.pid]
        world.close()
        assert own.wait() == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for child in (own, other):
            child.kill()
            child.wait()


def test_waiting_for_what_can_not_happen_any_more_ends(world: World) -> None:
    child = world.start("info")
    with pytest.raises(AssertionError, match="the command ended before attempt 1 at held"):
        world.wait_for_attempts(child, "held")


def test_waiting_for_what_does_not_happen_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "PATIENCE", 0.1)
    child = sleeper(world)
    with pytest.raises(AssertionError, match="the moon did not happen"):
        world.wait_for("the moon", lambda: False, child)
    child.kill()
    child.wait()


def test_attempts_are_told_in_order(world: World) -> None:
    for name in ("a.2", "a.10", "a.1", "a.1.end", "ab.1"):
        (world.trace / name).write_text("host 7")
    assert [path.name for path in world.attempts("a")] == ["a.1", "a.2", "a.10"]
    assert world.worker_of("a") == 7
