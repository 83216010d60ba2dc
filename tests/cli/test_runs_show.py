"""`mml runs show`: all that is known of a run, however it ended."""

import json
from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.run_labels import set_label
from mml.core.scripts.run_lock import RunLock
from mml.runs_show import some, time_text
from tests.cli.conftest import Mml
from tests.support.runs import NAME, make_damaged, make_run

CONFIG = {
    "arch": {"_target_": "mml.core.models.tiny.TinyModel", "_partial_": True, "width": 32, "deep": {"er": 1}},
    "task": "digits",
    "flags": [True, None],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


def test_a_finished_run_tells_all(mml: Mml, root: Path) -> None:
    make_run(root, paths=["default/a.txt"], config=CONFIG, overrides=["mode=toy", "lr=0.1"], value={"acc": 0.5})
    set_label(root / "default", NAME, "best")
    said = mml("runs", "show", "latest")
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert said.code == 0
    assert lines[0] == f"Run {NAME} finished"
    for line in (
        "project default",
        "label best",
        "mode toy",
        "tasks digits",
        "progress 3/3 steps, 6.00 s",
        'value {"acc": 0.5}',
        "command mml toy (box, process 42)",
        "versions torch 2.0",
        "overrides mode=toy lr=0.1",
        "keys flags=[true,null] seed=1",
        "arch TinyModel(width=32)",
        "Steps: 3 of 3 done",
        "Files: 1, 4 B",
        f"made 4 B {root / 'default' / 'a.txt'}",
    ):
        assert line in lines
    assert "Continue with" not in said.out


@pytest.mark.parametrize("state", ["failed", "crashed", "interrupted"])
def test_one_that_stopped_ends_with_the_command_that_continues(mml: Mml, root: Path, state: str) -> None:
    make_run(root, project="mine", state=state)
    said = mml("runs", "show", "latest")
    assert said.out.rstrip().endswith(f"Continue with: mml continue {NAME} proj=mine")
    moved = mml("runs", "show", "latest", f"out_dir={root}")
    assert moved.out.rstrip().endswith(f"Continue with: mml continue {NAME} proj=mine out_dir={root}")


def test_errors_are_told_with_their_files(mml: Mml, root: Path) -> None:
    folder = make_run(root, state="failed")
    said = mml("runs", "show", NAME).out
    assert ", step 2: ValueError: boom" in said
    assert str(folder / "errors" / "step_0002.txt") in said


def test_a_running_one_says_how_to_watch_it(mml: Mml, root: Path) -> None:
    with RunLock(make_run(root, state="crashed")):
        assert f"Watch it with: mml status {NAME} --watch" in mml("runs", "show", NAME).out


def test_a_damaged_one_says_what_is_wrong(mml: Mml, root: Path) -> None:
    make_damaged(root, NAME)
    said = mml("runs", "show", NAME)
    assert said.code == 0
    assert "journal.jsonl, line 1, is damaged" in said.out
    assert "seed=1" in said.out
    (root / "default" / "runs" / "2020-01-01_00-00-00_x").mkdir()
    assert "killed before it had written its config" in mml("runs", "show", "2020").out


def test_the_whole_config_is_shown_when_asked(mml: Mml, root: Path) -> None:
    make_run(root, config=CONFIG)
    assert "er: 1" not in mml("runs", "show", NAME).out
    assert "er: 1" in mml("runs", "show", NAME, "--config").out


def test_many_files_are_cut_unless_all_are_asked_for(mml: Mml, root: Path) -> None:
    make_run(root, paths=[f"default/{number:02d}.txt" for number in range(40)])
    assert "... and 16 files more: --all shows them" in mml("runs", "show", NAME).out
    assert "39.txt" in mml("runs", "show", NAME, "--all").out


def test_json_has_everything(mml: Mml, root: Path) -> None:
    make_run(root, state="failed", paths=["default/a.txt"], config=CONFIG, overrides=["lr=0.1"])
    said: dict[str, Any] = json.loads(mml("runs", "show", NAME, "--json").out)
    assert (said["name"], said["state"], said["overrides"]) == (NAME, "failed", ["lr=0.1"])
    assert said["config"]["arch"]["width"] == 32
    assert [step["state"] for step in said["steps"]] == ["done", "failed", "waiting"]
    assert [(file["key"], file["exists"], file["size"]) for file in said["files"]] == [("made", True, 4)]
    assert said["errors"][0]["error"] == "ValueError: boom"
    assert said["commands"][0]["command"] == ["mml", "toy"]
    assert (said["versions"], said["continue"]) == ({"torch": "2.0"}, f"mml continue {NAME}")
    assert said["size"] > 500
    make_damaged(root, "2999-01-01_00-00-00_x")
    assert json.loads(mml("runs", "show", "latest", "--json").out)["steps"] == []


def test_a_run_that_is_not_there_is_said(mml: Mml, root: Path) -> None:
    make_run(root)
    said = mml("runs", "show", "nope")
    assert said.code == 2
    assert "There is no run 'nope'" in said.err


@pytest.mark.parametrize(
    ("most", "wanted", "shown", "left"), [(10, 0, "abcde", 0), (3, 0, "abc", 2), (3, 2, "bcd", 2), (3, 9, "cde", 2)]
)
def test_of_a_long_list_that_around_the_point_of_interest_is_shown(
    most: int, wanted: int, shown: str, left: int
) -> None:
    assert some("abcde", most, wanted) == (shown, left)


def test_times_are_told_to_the_second() -> None:
    assert len(time_text(1e9)) == len("2001-09-09 01:46:40")
    assert time_text(None) == ""
