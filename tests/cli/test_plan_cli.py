"""`mml plan` as it is typed: what it prints, what it refuses, and that it leaves no trace."""

import json
import os
from pathlib import Path

import pytest

from mml.plan_words import own_flags, plan_parser, read_words
from tests.cli.conftest import Mml
from tests.conftest import MmlCli
from tests.packaging.test_startup_imports import HEAVY, imported
from tests.support.fake_plugins import TOY_MODE
from tests.support.runs import make_damaged
from tests.support.terminal import mml_in_terminal
from tests.support.toy_scheduler import Toy, only_run


class Circle(Toy):
    """Plans steps that wait for one another."""

    def create_routine(self) -> None:
        self.add_step(self.work, 0, after=["last"])
        self.add_step(self.work, 1, name="last")


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """Return all files and folders with their size and time of change."""
    states = {str(path): path.lstat() for path in root.rglob("*")}
    return {name: (state.st_mtime_ns, state.st_size) for name, state in states.items()}


def test_a_plan_is_a_table_a_graph_and_sums(toy: Mml) -> None:
    said = toy("plan", "toy", "mode.n=2")
    assert said.code == 0
    assert [line.rstrip() for line in said.out.splitlines()][:6] == [
        "mml toy mode.n=2 --config-dir " + said.out.splitlines()[0].split()[-1],
        "#  step     after  on      state        time  disk  estimate from",
        "1  work(0)  -      serial  ○ would run     ?     ?  -",
        "2  work(1)  1      serial  ○ would run     ?     ?  -",
        "",
        "○ 1 work(0) ── ○ 2 work(1)",
    ]
    assert "Steps: 2 to do.\nTime:  unknown" in said.out
    assert said.err == ""


def test_nothing_is_written(toy: Mml, tmp_path: Path) -> None:
    assert toy("toy", "mode.trap=begin2:error").code == 1
    run = only_run(tmp_path).name
    before = tree(tmp_path)
    for words in (
        ["toy"],
        ["mode=toy", "--all"],
        ["continue", run],
        ["continue", run, "--fork", "seed=3"],
        [f"fork={run}"],
        ["toy", "--multirun", "seed=1,2"],
        ["toy", "out_dir=new/place"],
    ):
        said = toy("plan", *words)
        assert (said.code, said.err) == (0, ""), said
    assert tree(tmp_path) == before


def test_estimates_come_from_earlier_runs(toy: Mml) -> None:
    assert toy("toy").code == 0
    said = toy("plan", "toy")
    assert said.out.count("same step, 1 run") == 3
    assert "Time:  " in said.out
    assert "s on serial (one step after the other)." in said.out
    found = json.loads(toy("plan", "toy", "seed=5", "--json").out)
    assert {step["estimate"] for step in found["steps"]} == {"same step, other settings, 1 run"}
    assert found["totals"]["seconds_unknown"] == found["totals"]["size_unknown"] == 0


def test_a_run_to_continue_shows_what_is_done(toy: Mml, tmp_path: Path) -> None:
    assert toy("toy", "mode.trap=begin1:error").code == 1
    said = toy("plan", "continue", "latest")
    assert "1  work(0)  -      serial  ✓ done" in said.out
    assert "↻ would run again: failed: ValueError: boom" in said.out
    assert "Steps: 3, of which 1 done, 2 to do." in said.out
    assert toy("plan", "continue").out.splitlines()[1:] == said.out.splitlines()[1:]


def test_a_fork_shows_what_would_be_taken_over(toy: Mml, tmp_path: Path) -> None:
    assert toy("toy").code == 0
    run = only_run(tmp_path).name
    said = toy("plan", "continue", run, "--fork")
    assert f"3 taken over from default/{run}, 0 to do." in said.out
    said = toy("plan", "continue", run, "--fork", "seed=9")
    assert "○ would run: depends on seed" in said.out
    assert "Steps: 3 to do." in said.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ty"], "Unknown mode 'ty'. Did you mean 'toy'?"),
        (["toy", "sed=1"], "Unknown config key 'sed'. Did you mean 'seed'"),
        (["toy", "task=none", "data_dir=."], "Unknown task 'none'"),
        (["seed=1"], "Which mode? Say it first"),
        (["toy", "seed=1,2"], "to try one value after the other, add --multirun"),
        (["toy", "mode.n=x"], ""),
        (["toy", "mode.scheduler._target_=no.such.Class"], "can't be loaded"),
        (["toy", "seed=-1"], "seed=-1 can't be a seed"),
        (["toy", "logging.level=LOUD"], "Unknown logging.level 'LOUD'"),
        (["info", "logging.level=LOUD"], "Unknown logging.level 'LOUD'"),
        (["toy", "notify.on=[begin]"], "Unknown event in notify.on 'begin'"),
        (["toy", "notify.urls=[me]"], "Entry 1 of notify.urls is no URL"),
        (["toy", "on_error=hope"], "Unknown on_error 'hope'"),
        (["toy", "runner=none"], "Unknown option of 'runner' 'none'"),
        (["toy", "search_space=optimizer"], "add --multirun"),
        (["continue", "none"], "There is no run 'none'"),
        (["continue", "latest"], "There is no run in"),
        (["fork=latest"], "There is no run to fork"),
        (["continue", "latest", "--multirun"], "--multirun does not go with `continue`"),
        (["runs"], "`mml runs` has no plan: it makes no run."),
        (["help"], "`mml help` has no plan"),
        (["toy", "--cfg", "job"], "--cfg does not go with `mml plan`"),
        (["toy", "--info", "all"], "--info does not go with `mml plan`"),
        (["toy", "--hydra-help"], "--hydra-help does not go with `mml plan`"),
        (["toy", "--jsn"], "Unknown flag '--jsn'. Did you mean '--json'"),
        (["toy", "--out"], "Argument --out: expected one argument. See `mml plan --help`."),
        (["toy", "--out", "plan.png"], "Unknown suffix of --out '.png'"),
    ],
)
def test_what_the_command_itself_refuses_is_refused(toy: Mml, tmp_path: Path, words: list[str], said: str) -> None:
    before = tree(tmp_path)
    found = toy("plan", *words)
    assert found.code in ((1, 2) if not said else (2,))
    assert said in found.err
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "words",
    [
        ["toy", "seed={"],
        ["toy", "proj=a/b"],
        ["toy", "task_list=[a]", "task=b"],
        ["toy", "mode.subroutines=[wrok]"],
        ["toy", "pivot.name=x"],
        ["toy", "reuse.models=none"],
        ["toy", "retries=-1"],
        ["toy", "runner.cpus=2"],
        ["toy", "--detach"],
    ],
)
def test_what_is_refused_is_refused_in_the_same_words(toy: Mml, tmp_path: Path, words: list[str]) -> None:
    planned, real = toy("plan", *words), toy(*words)
    assert (planned.code, planned.err) == (real.code, real.err)
    assert planned.code == 2
    assert not (tmp_path / "results").exists()


def test_what_a_run_to_continue_refuses_is_refused_in_the_same_words(toy: Mml, tmp_path: Path) -> None:
    assert toy("toy", "mode.trap=begin1:error").code == 1
    before = tree(tmp_path)
    for words in (["continue", "latest", "seed=3"], ["fork=latest", "mode=info"], ["continue=latest", "fork=latest"]):
        planned, real = toy("plan", *words), toy(*words)
        assert (planned.code, planned.err) == (real.code, real.err)
        assert planned.code == 2
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("runner.cpus=none", "cpus=none can't be done"),
        ("runner.workers=0", "runner.workers=0"),
        ("+runner.resources.work.cpu=1", "Unknown resource of runner.resources.work 'cpu'"),
        ("runner.resources=3", "Resources of runner.resources can't be 3"),
    ],
)
def test_settings_of_the_runner_that_can_not_be_are_refused(toy: Mml, setting: str, said: str) -> None:
    found = toy("plan", "toy", "runner=local", setting)
    assert found.code == 2
    assert said in found.err


def test_a_plan_with_a_circle_is_refused(mml: Mml, tmp_path: Path) -> None:
    folder = tmp_path / "configs" / "mode"
    folder.mkdir(parents=True)
    (folder / "circle.yaml").write_text(TOY_MODE.replace("tests.support.toy_scheduler.Toy", f"{__name__}.Circle"))
    said = mml("plan", "circle", "--config-dir", str(tmp_path / "configs"))
    assert said.code == 2
    assert "steps wait for one another" in said.err


def test_resources_that_nobody_has_are_refused(toy: Mml) -> None:
    said = toy("plan", "toy", "runner=local", "runner.cpus=100000")
    assert said.code == 2
    assert "step 1, work(0) needs 100000 cores" in said.err.lower()
    said = toy("plan", "toy", "runner=local", "+runner.resources.wrk.cpus=1")
    assert "Unknown command in runner.resources 'wrk'. Did you mean 'work'" in said.err


def test_a_folder_that_no_run_could_be_made_in_is_refused(toy: Mml, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = toy("plan", "toy", f"out_dir={tmp_path}/file")
    assert said.code == 2
    assert "Results can't be written to" in said.err


def test_steps_run_side_by_side_where_the_runner_has_room(toy: Mml) -> None:
    found = json.loads(toy("plan", "toy", "runner=local", "runner.workers=2", "--json").out)
    assert (found["runner"]["name"], found["runner"]["slots"]) == ("local", 2)
    assert {step["runner"] for step in found["steps"]} == {"local"}


def test_damaged_runs_of_others_are_left_out_and_named(toy: Mml, tmp_path: Path) -> None:
    assert toy("toy").code == 0
    make_damaged(tmp_path / "results", "2026-11-20_09-00-00_toy")
    fifo = tmp_path / "results" / "default" / "runs" / "2026-11-20_08-00-00_toy"
    fifo.mkdir()
    os.mkfifo(fifo / "journal.jsonl")
    said = toy("plan", "toy")
    assert said.code == 0
    assert said.out.count("same step, 1 run") == 3
    assert "No estimates from 2 runs with a damaged journal: " in said.out


def test_names_that_are_no_text_are_shown_as_far_as_they_can_be(toy: Mml, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    folder = tmp_path / "results" / "default" / "runs" / name
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_bytes(b"x\n{}\n")
    said = toy("plan", "toy")
    assert said.code == 0
    assert "No estimates from 1 run with a damaged journal: " in said.out


@pytest.mark.parametrize("suffix", ["svg", "dot", "json"])
def test_the_graph_is_written_to_a_file_besides(toy: Mml, tmp_path: Path, suffix: str) -> None:
    said = toy("plan", "toy", f"--out={tmp_path}/plan.{suffix}")
    assert "Steps: 3 to do." in said.out
    assert "work" in (tmp_path / f"plan.{suffix}").read_text()
    assert not (tmp_path / "results").exists()


def test_json_is_all_that_is_said_with_it(toy: Mml, tmp_path: Path) -> None:
    said = toy("plan", "toy", "--json", "--out", str(tmp_path / "plan.json"))
    assert json.loads(said.out) == json.loads((tmp_path / "plan.json").read_text())
    assert json.loads(said.out)["title"].startswith("mml toy")


def test_a_long_plan_is_folded_unless_all_is_asked_for(toy: Mml) -> None:
    folded = toy("plan", "toy", "mode.n=1000").out
    assert "1-1000  work(0) and 999 more" in folded
    assert "○ work ×1000 in a row" in folded
    assert len(folded.splitlines()) < 10
    assert len(toy("plan", "toy", "mode.n=1000", "--all").out.splitlines()) > 2000


def test_values_that_may_be_secret_are_not_repeated(toy: Mml) -> None:
    said = toy("plan", "toy", "notify.urls=[mailto://me:hunter2@box]")
    assert said.code == 0
    assert "hunter2" not in said.out


def test_without_words_it_explains_itself(mml: Mml) -> None:
    said = mml("plan")
    assert said.code == 0
    assert said.out.startswith("Usage: mml plan <what mml would do>")
    for flag in (*own_flags(), "--fork", "--multirun"):
        assert flag in said.out


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["train", "--help"], ["train", "task=digits", "-h"]])
def test_help_explains_it_too(mml: Mml, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        mml("plan", *words)
    assert ended.value.code == 0
    assert capsys.readouterr().out == plan_parser().format_help()


def test_flags_may_stand_anywhere_and_the_rest_keeps_its_order() -> None:
    given, rest = read_words(["--all", "train", "--out", "a.svg", "task=x", "--multirun", "--json", "seed=1,2"])
    assert (given.all, given.json, given.out) == (True, True, "a.svg")
    assert rest == ["train", "task=x", "--multirun", "seed=1,2"]


def test_a_narrow_terminal_gets_a_narrow_plan(tmp_path: Path) -> None:
    with mml_in_terminal(["plan", "info"], tmp_path, columns=50) as terminal:
        assert terminal.finish() == 0
    lines = [line.rstrip() for line in terminal.text.splitlines()]
    assert max(map(len, lines)) <= 50
    assert "↓ ○ 2 list_models()" in lines  # too wide side by side
    assert "estimate from" not in terminal.text


def test_a_terminal_without_box_characters_gets_others(mml_cli: MmlCli) -> None:
    said = mml_cli("plan", "info", env={"PYTHONIOENCODING": "ascii"})
    assert said.returncode == 0
    assert "o 1 list_tasks() -- o 2 list_models()" in said.stdout


@pytest.mark.parametrize("words", [["plan"], ["plan", "--help"], ["plan", "info"]])
def test_nothing_heavy_is_loaded_for_it(words: list[str]) -> None:
    assert imported("-m", "mml", *words) & HEAVY == set()
