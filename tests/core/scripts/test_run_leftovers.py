"""What an earlier process left is taken over or ended for certain before a step runs again, and its files go."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mml.core.data_loading.claims import claim
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts import run_leftovers
from mml.core.scripts.attempts import AttemptFolder
from mml.core.scripts.exceptions import ContinueError, RunnerError
from mml.core.scripts.journal import Done, RunRecord
from mml.core.scripts.run_leftovers import living_workers, settle_earlier, take_down, wait_for_workers
from mml.core.scripts.schedule import StepRecord
from mml.runners.base import Work
from mml.runners.serial import SerialRunner
from tests.support.crew import DirectRunner

WORK = Work(1, StepRecord("add", ["t"]), "1.1", planned=3, value={"a": [1.5]}, visible=[(0, 1)])
NOTHING_DONE = RunRecord([])
CANCELLED: list[dict[str, Any]] = []


def cancel(job: dict[str, Any]) -> None:
    CANCELLED.append(job)


def cancel_in_vain(job: dict[str, Any]) -> None:
    msg = "Slurm can't be reached."
    raise RunnerError(msg)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    CANCELLED.clear()
    folder = tmp_path / "results" / "default" / "runs" / "one"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def fm(tmp_path: Path, run: Path) -> MMLFileManager:
    MMLFileManager.clear_instance()
    manager: MMLFileManager = MMLFileManager(tmp_path / "data", tmp_path / "results" / "default")
    manager.open_run(run)
    return manager


def leave(run: Path, fm: MMLFileManager, name: str = "0002.1.1", file: str = "note_0001.txt") -> Path:
    """Leave an attempt that was killed when it had half-written a file."""
    path = fm.proj_path / "CREW" / "t" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    claim(path, run.name)
    path.write_text("half")
    folder = AttemptFolder(run, name)
    folder.create()
    folder.announce(fm.roots.to_text(path), "crew")
    return path


def job(what: str = "cancel") -> dict[str, Any]:
    return {"runner": "direct", "cancel": f"{__name__}:{what}"}


def test_nothing_left_is_nothing_to_do(run: Path, fm: MMLFileManager) -> None:
    assert settle_earlier(run, NOTHING_DONE, SerialRunner(), fm) == []
    assert list(run.iterdir()) == []


def test_files_of_an_attempt_that_is_over_are_removed(run: Path, fm: MMLFileManager) -> None:
    path = leave(run, fm)
    assert settle_earlier(run, NOTHING_DONE, SerialRunner(), fm) == []
    assert not path.exists()
    assert not (run / "attempts").exists()


def test_files_of_an_attempt_that_was_given_up_are_removed(run: Path, fm: MMLFileManager) -> None:
    path = leave(run, fm)
    AttemptFolder(run, "0002.1.1").revoke()
    settle_earlier(run, NOTHING_DONE, SerialRunner(), fm)
    assert not path.exists()


def test_files_of_the_attempt_that_did_the_step_stay(run: Path, fm: MMLFileManager) -> None:
    mine, other = leave(run, fm), leave(run, fm, "0002.1.2", "note_0002.txt")
    record = RunRecord([Done(time=1.0, step=1, seconds=0.0, attempt="1.1")])
    settle_earlier(run, record, SerialRunner(), fm)
    assert mine.exists()
    assert not other.exists()


def test_attempt_of_the_same_kind_of_runner_is_offered_to_it(run: Path, fm: MMLFileManager) -> None:
    path = leave(run, fm)
    runner = DirectRunner()
    take_down(run, runner, WORK, job())
    (earlier,) = settle_earlier(run, NOTHING_DONE, DirectRunner(), fm)
    assert earlier.work == WORK
    assert earlier.job["runner"] == "direct"
    assert path.exists()
    assert CANCELLED == []


def test_attempt_of_another_kind_of_runner_is_ended_before_its_files_go(run: Path, fm: MMLFileManager) -> None:
    path = leave(run, fm)
    take_down(run, DirectRunner(), WORK, job())
    assert settle_earlier(run, NOTHING_DONE, SerialRunner(), fm) == []
    assert [found["runner"] for found in CANCELLED] == ["direct"]
    assert not path.exists()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (job("cancel_in_vain"), "Slurm can't be reached"),
        ({"cancel": "no_such_module:cancel"}, "No module named"),
        ({"cancel": f"{__name__}:no_such_function"}, "no_such_function"),
    ],
)
def test_attempt_that_can_not_be_ended_for_certain_keeps_the_run_from_going_on(
    run: Path, fm: MMLFileManager, what: dict[str, Any], said: str
) -> None:
    path = leave(run, fm)
    take_down(run, DirectRunner(), WORK, what)
    refused = rf"Step 2 may still run, started by tests\.support\.crew\.DirectRunner: .*{said}"
    with pytest.raises(ContinueError, match=refused):
        settle_earlier(run, NOTHING_DONE, SerialRunner(), fm)
    assert path.exists()


def test_attempt_whose_note_is_damaged_is_over(run: Path, fm: MMLFileManager) -> None:
    path = leave(run, fm)
    (run / "attempts" / "0002.1.1" / "job.json").write_bytes(msgspec.json.encode({"work": {"step": "x"}}))
    assert settle_earlier(run, NOTHING_DONE, DirectRunner(), fm) == []
    assert not path.exists()


# --- workers that live


def worker(run: Path, seconds: float) -> "subprocess.Popen[str]":
    code = f"""
        import time
        from mml.runners.base import WorkerSetup
        from mml.runners.hosting import hosted
        with hosted(WorkerSetup({str(run)!r}, {{}}), "host-7"):
            open({str(run / "ready")!r}, "w").close()
            time.sleep({seconds})
    """
    (run / "journal.jsonl").touch()
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], text=True)
    while not (run / "ready").exists():
        assert child.poll() is None
        time.sleep(0.01)
    return child


def test_worker_that_dies_soon_is_waited_for(run: Path) -> None:
    child = worker(run, 0.5)
    try:
        assert [*living_workers(run)] == ["host-7"]
        wait_for_workers(run)
        assert [*living_workers(run)] == []
    finally:
        child.wait(timeout=60)


def test_worker_that_lives_on_keeps_the_run_from_going_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_leftovers, "_PATIENCE", 0.2)
    child = worker(run, 60)
    try:
        with pytest.raises(ContinueError, match=r"Run one can't be continued yet, .* still live: host-7"):
            wait_for_workers(run)
    finally:
        child.kill()
        child.wait(timeout=60)
    wait_for_workers(run)
