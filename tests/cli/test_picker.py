"""`mml continue` without a name: the only run that waits, or the one that is picked."""

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mml.core.scripts.exceptions import ContinueError
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.runs import RunInfo, read_run
from mml.picker import Picker, choose_run
from tests.cli.conftest import Mml
from tests.support.runs import LONG_AGO, make_run
from tests.support.terminal import mml_in_terminal
from tests.support.toy_scheduler import only_run

ANSWERS = ("continue", "--cfg", "job", "-p", "continue")


def name(number: int) -> str:
    return f"2026-11-{number:02d}_10-00-00_toy"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a results folder with three runs that wait, and one that does not."""
    root = tmp_path / "results"
    for number, state, project in ((1, "crashed", "a"), (2, "failed", "b"), (3, "interrupted", "default")):
        make_run(root, name(number), project, state, created=LONG_AGO + number, tasks=[f"task_{number}"])
    make_run(root, name(4), created=LONG_AGO + 4)
    return root


def infos(root: Path, many: int = 3) -> list[RunInfo]:
    runs = [read_run(folder) for folder in sorted(root.glob("*/runs/*"), key=lambda folder: folder.name)[:3]]
    return [runs[2 - number % 3]._replace(name=name(many - number)) for number in range(many)]


def picked(runs: list[RunInfo], *keys: str) -> RunInfo | None:
    picker = Picker(runs, LONG_AGO)
    for key in keys:
        assert not picker.over
        picker.press(key)
    assert picker.over
    return picker.picked


def text(picker: Picker, height: int = 20) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(picker.draw(height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_only_one_that_waits_goes_on_and_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = choose_run(root, "b")
    assert run is not None
    assert (run.name, run.project) == (name(2), "b")
    assert capsys.readouterr().err == f"Continuing run {name(2)} of project b: failed, 1/3 steps done.\n"


def test_a_running_one_does_not_wait(root: Path) -> None:
    with RunLock(root / "b" / "runs" / name(2)):
        assert choose_run(root, "b") is None
    assert choose_run(root / "nowhere") is None


def test_without_a_terminal_the_commands_are_listed(root: Path) -> None:
    with pytest.raises(ContinueError) as caught:
        choose_run(root, out_dir="my results")
    assert str(caught.value).splitlines() == [
        f"3 runs of {root} wait to be continued, and nobody is there to pick one. Name it:",
        f"  mml continue {name(3)} 'out_dir=my results'",
        f"  mml continue {name(2)} proj=b 'out_dir=my results'",
        f"  mml continue {name(1)} proj=a 'out_dir=my results'",
    ]


def test_of_many_the_newest_commands_are_listed(root: Path) -> None:
    for number in range(10, 22):
        make_run(root, name(number), "b", "failed")
    with pytest.raises(ContinueError, match=r"13 runs of project 'b' in(.|\n)*\.\.\. and 3 more: mml runs"):
        choose_run(root, "b")


def test_without_input_nobody_can_pick(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ContinueError, match="Name it"):
        choose_run(root)


@pytest.mark.parametrize(
    ("keys", "number"),
    [
        (["enter"], 3),
        (["down", "enter"], 2),
        (["j", "j", "enter"], 1),
        (["j", "k", "enter"], 3),
        (["up", "enter"], 3),
        (["down", "down", "down", "down", "enter"], 1),
        (["bottom", "enter"], 1),
        (["bottom", "home", "enter"], 3),
        (["page down", "page up", "enter"], 3),
        (["other", "enter"], 3),
        (["1"], 3),
        (["3"], 1),
        (["9", "2"], 2),
        (["q"], None),
        (["escape"], None),
        (["end"], None),
        ([*"fail", "enter"], 2),
        ([*"task_1", "enter"], 1),
        (["j", *"crash", "enter"], 1),
        (["/", *"q", "backspace", *"crash", "enter"], 1),
        (["/", *"j", "ctrl-u", "enter"], 3),
        ([*"zzz", "enter", "backspace", "backspace", "backspace", "enter"], 3),
        ([*"zzz", "escape", "enter"], 3),
        (["/", "1", "0", "enter"], 3),
        ([*"toy", "down", "enter"], 2),
        ([*"toy", "down", "x", "backspace", "enter"], 3),
        (["/", "escape", "q"], None),
        (["backspace", "q"], None),
    ],
)
def test_keys_do_what_they_say(root: Path, keys: list[str], number: int | None) -> None:
    runs = infos(root)
    run = picked(runs, *keys)
    assert (run and run.name) == (name(number) if number else None)


def test_enter_where_nothing_fits_waits_for_another_key(root: Path) -> None:
    picker = Picker(infos(root), LONG_AGO)
    for key in [*"zzz", "enter"]:
        picker.press(key)
    assert not picker.over
    assert "No run fits" in text(picker)
    assert "filter: zzz" in text(picker)


def test_the_list_says_what_one_picks_by(root: Path) -> None:
    shown = text(Picker(infos(root), LONG_AGO + 60.5)).splitlines()
    assert shown[0] == "Which run shall go on?"
    assert shown[2].split() == ["❯", "1", name(3), "default", "interrupted", "toy", "1/3", "57", "s", "ago", "task_3"]
    assert "ValueError: boom" in shown[3]
    assert "enter continues" in shown[-1]


@pytest.mark.parametrize(("presses", "first", "last"), [(0, 30, 23), (15, 19, 12), (29, 8, 1)])
def test_a_long_list_moves_with_the_mark(root: Path, presses: int, first: int, last: int) -> None:
    picker = Picker(infos(root, 30), LONG_AGO)
    for _ in range(presses):
        picker.press("down")
    shown = [line for line in text(picker, 8).splitlines() if "2026" in line]
    assert len(shown) == 8
    assert name(first) in shown[0]
    assert name(last) in shown[-1]
    assert sum("❯" in line for line in shown) == 1
    assert "of 30)" in text(picker, 8)


def test_at_a_terminal_one_is_picked_with_keys(root: Path, tmp_path: Path) -> None:
    with mml_in_terminal(["continue", *ANSWERS[1:], "out_dir=results"], tmp_path) as terminal:
        terminal.wait_for("q leaves")
        terminal.press("\x1b[B")
        terminal.wait_for("q leaves")
        terminal.press("x\x7f2")
        terminal.finish()
    assert f"Continuing run {name(2)} of project b." in terminal.text


@pytest.mark.parametrize(("key", "code", "said"), [("q", 2, "No run was picked"), ("\x03", 130, "Interrupted")])
def test_one_may_leave_without_any(root: Path, tmp_path: Path, key: str, code: int, said: str) -> None:
    with mml_in_terminal(["continue"], tmp_path) as terminal:
        terminal.wait_for("q leaves")
        terminal.press(key)
        assert terminal.finish() == code
    assert said in terminal.text


def test_the_run_that_waits_in_another_project_goes_on(toy: Mml, mml: Mml, tmp_path: Path) -> None:
    assert toy("toy", "mode.trap=begin1:error", "proj=other").code == 1
    config = only_run(tmp_path, "other") / "config.yaml"
    config.write_text(config.read_text().replace("trap: begin1:error", "trap: null"))
    said = mml("continue")
    assert said.code == 0, said.err
    assert f"Continuing run {only_run(tmp_path, 'other').name} of project other: failed, 1/3 steps done." in said.err
    assert "step 1/3" not in said.err
    assert read_run(only_run(tmp_path, "other")).state == "finished"
