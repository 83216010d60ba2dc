"""`mml status`: which runs it shows, and its words."""

import json
from pathlib import Path

import pytest

from mml.core.scripts.run_lock import RunLock
from tests.cli.conftest import Mml
from tests.conftest import MmlCli
from tests.support.runs import LONG_AGO, make_damaged, make_run
from tests.support.toy_scheduler import only_run, start_child, toy_config

OLD, MID, NEW = (f"2026-11-{day}_10-00-00_toy" for day in (18, 19, 20))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    make_run(root, OLD, state="crashed", created=LONG_AGO - 200)
    make_run(root, MID, "other", state="crashed", created=LONG_AGO - 100)
    make_run(root, NEW, created=LONG_AGO)
    return root


def names(mml: Mml, *words: str) -> list[str]:
    listed = [run["name"] for run in json.loads(mml("status", *words, "--json").out)]
    heads = [line.split()[1] for line in mml("status", *words).out.splitlines() if line.startswith("Run ")]
    assert heads == listed
    return listed


def test_without_a_name_it_is_the_newest_when_none_runs(mml: Mml, root: Path) -> None:
    assert names(mml) == [NEW]
    assert names(mml, "proj=other") == [MID]


def test_without_a_name_it_is_all_that_run(mml: Mml, root: Path) -> None:
    make_damaged(root, "2026-11-21_10-00-00_toy")
    with RunLock(root / "default" / "runs" / OLD), RunLock(root / "other" / "runs" / MID):
        assert names(mml) == [MID, OLD]
        assert names(mml, "--project", "other") == [MID]
        assert names(mml, "latest") == ["2026-11-21_10-00-00_toy"]


def test_a_run_may_be_named_like_everywhere(mml: Mml, root: Path) -> None:
    assert names(mml, "11-18") == names(mml, f"default/{OLD}", f"out_dir={root}") == [OLD]
    said = mml("status", "nope")
    assert said.code == 2
    assert "There is no run 'nope'" in said.err


def test_where_there_is_none_it_says_so(mml: Mml, tmp_path: Path) -> None:
    said = mml("status")
    assert said.code == 0
    assert said.out.startswith(f"There is no run yet in {tmp_path / 'results'}. `mml train task=<name>` starts one;")
    assert mml("status", "--watch").code == 0
    assert json.loads(mml("status", "--json").out) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--json", "--watch"], "--json and --watch can't be asked for at once"),
        (["--wacth"], "Unknown flag '--wacth'. Did you mean '--watch'"),
        (["a", "b"], "Nothing is known of 'b'"),
    ],
)
def test_what_makes_no_sense_is_refused(mml: Mml, root: Path, words: list[str], said: str) -> None:
    answer = mml("status", *words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


def test_the_help_tells_flags_and_examples(mml_cli: MmlCli) -> None:
    said = mml_cli("status", "--help")
    assert said.returncode == 0
    assert said.stdout.startswith("Usage: mml status ")
    assert "mml status --watch" in said.stdout


def test_a_real_run_is_seen_from_another_process_while_it_runs(mml: Mml, tmp_path: Path) -> None:
    with start_child(toy_config(tmp_path, mode__trap="begin1:wait")) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        (seen,) = json.loads(mml("status", "--json").out)
        assert (seen["state"], seen["pid"], seen["steps_done"], seen["steps_total"]) == ("running", child.pid, 1, 3)
        assert (seen["step"], seen["step_name"]) == (2, "work(1)")
        child.communicate("\n")
    (seen,) = json.loads(mml("status", "--json").out)
    assert (seen["name"], seen["state"], seen["steps_done"]) == (only_run(tmp_path).name, "finished", 3)
