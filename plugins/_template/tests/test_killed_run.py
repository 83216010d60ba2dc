import json
import signal
from pathlib import Path

from conftest import Mml

START = ("brightness", "task=shapes", "mode.scheduler._target_=killed.KilledScheduler")


def results(project: Path) -> dict[str, bytes]:
    """Return all files of a project but those in run folders and the marks of who owns what."""
    files = {path.relative_to(project): path for path in project.rglob("*") if path.is_file()}
    return {
        str(name): path.read_bytes()
        for name, path in files.items()
        if name.parts[0] != "runs" and ".claims" not in name.parts
    }


def events(project: Path) -> list[dict[str, object]]:
    (journal,) = project.glob("runs/*_brightness/journal.jsonl")
    return [json.loads(line) for line in journal.read_text().splitlines()]


def test_a_killed_run_goes_on_at_the_step_it_was_killed_in(mml: Mml, tmp_path: Path) -> None:
    created = mml("create", "task=shapes")
    assert created.returncode == 0, created.stderr
    whole = mml(*START, "proj=whole")
    assert whole.returncode == 0, whole.stderr

    killed = mml(*START, "proj=killed", kill_at=1)
    assert killed.returncode == -signal.SIGKILL
    assert len(results(tmp_path / "results" / "killed")) == 4, "two of three classes have left numbers and a picture"

    continued = mml("continue=latest", "proj=killed")
    assert continued.returncode == 0, continued.stderr
    assert results(tmp_path / "results" / "killed") == results(tmp_path / "results" / "whole")
    recorded = events(tmp_path / "results" / "killed")
    assert [event["step"] for event in recorded if event["event"] == "start"] == [0, 1, 1, 2, 3]
    assert recorded[-1]["value"] == events(tmp_path / "results" / "whole")[-1]["value"]


def test_a_finished_run_tells_the_brightness_of_each_class(mml: Mml) -> None:
    mml("create", "task=shapes")
    done = mml("brightness", "task=shapes")
    assert done.returncode == 0, done.stderr
    for label in ("disc", "square", "triangle", "Contrast"):
        assert label in done.stdout
