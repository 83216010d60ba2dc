"""The list of runs: which, in which order, and how they look."""

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.run_labels import set_label
from mml.core.scripts.run_lock import RunLock
from mml.runs_list import age_text, folder_size, since_seconds, value_text
from tests.cli.conftest import Mml
from tests.conftest import MmlCli
from tests.support.runs import LONG_AGO, make_damaged, make_run

TRAIN, TOY, FAILED, LATE = (
    "2026-11-17_10-00-00_train",
    "2026-11-18_10-00-00_toy",
    "2026-11-19_10-00-00_toy",
    "2026-11-20_10-00-00_toy",
)
FIELDS = {
    "name": str,
    "project": str,
    "path": str,
    "state": str,
    "mode": str,
    "tasks": list,
    "steps_done": int,
    "steps_total": int,
    "value": float,
    "created": str,
    "changed": str,
    "seconds": float,
    "size": type(None),
    "label": type(None),
    "error": type(None),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a results folder with four runs of two projects."""
    root = tmp_path / "results"
    make_run(root, TRAIN, mode="train", value=0.9, created=LONG_AGO - 3 * 86400, tasks=["digits", "dogs"])
    make_run(root, TOY, "other", state="crashed", value=0.7, created=LONG_AGO - 2 * 86400, tasks=[])
    make_run(root, FAILED, state="failed", value=None, created=LONG_AGO - 86400)
    make_run(root, LATE, value={"accuracy": 0.25, "x": "y"}, created=LONG_AGO)
    set_label(root / "default", TRAIN, "Baseline")
    return root


def names(mml: Mml, *words: str) -> list[str]:
    """Return the names that are listed, checked to be the same in the table and in JSON."""
    listed = [run["name"] for run in json.loads(mml("runs", *words, "--json").out)]
    table = mml("runs", *words).out.splitlines()
    assert [line.split()[0] for line in table if line.startswith("2026")] == listed
    return listed


def test_all_runs_of_all_projects_are_listed_newest_first(mml: Mml, root: Path) -> None:
    assert names(mml) == names(mml, "list") == [LATE, FAILED, TOY, TRAIN]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--state", "crashed"], [TOY]),
        (["--state", "crashed,failed"], [FAILED, TOY]),
        (["--state", "crashed", "--state", "failed"], [FAILED, TOY]),
        (["state=finished"], [LATE, TRAIN]),
        (["--state", "running"], []),
        (["--mode", "train"], [TRAIN]),
        (["mode=toy", "state=finished"], [LATE]),
        (["--task", "dogs"], [TRAIN]),
        (["task=[digits,dogs]"], [LATE, FAILED, TRAIN]),
        (["--label", "base"], [TRAIN]),
        (["--project", "other"], [TOY]),
        (["proj=other"], [TOY]),
        (["proj=[other,default]"], [LATE, FAILED, TOY, TRAIN]),
        (["--since", "26h"], [LATE]),
        (["--since", "27h"], [LATE, FAILED]),
        (["--since", "1w"], [LATE, FAILED, TOY, TRAIN]),
        (["BASE"], [TRAIN]),
        (["other"], [TOY]),
        (["dogs", "digits"], [TRAIN]),
        (["dogs", "nope"], []),
        (["2026-11-19"], [FAILED]),
        (["--limit", "2"], [LATE, FAILED]),
        (["--limit", "0"], [LATE, FAILED, TOY, TRAIN]),
        (["--reverse", "--limit", "1"], [TRAIN]),
    ],
)
def test_filters_leave_what_fits_all_of_them(mml: Mml, root: Path, words: list[str], expected: list[str]) -> None:
    assert names(mml, *words) == expected


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("age", [LATE, FAILED, TOY, TRAIN]),
        ("name", [TRAIN, TOY, FAILED, LATE]),
        ("project", [LATE, FAILED, TRAIN, TOY]),
        ("state", [TOY, FAILED, LATE, TRAIN]),
        ("mode", [LATE, FAILED, TOY, TRAIN]),
        ("progress", [LATE, TRAIN, FAILED, TOY]),
        ("metric", [TRAIN, TOY, LATE, FAILED]),
        ("duration", [LATE, TRAIN, FAILED, TOY]),
    ],
)
def test_each_column_sorts_with_the_newest_first_among_equals(
    mml: Mml, root: Path, by: str, expected: list[str]
) -> None:
    assert names(mml, "--sort", by) == expected


def test_the_largest_folder_is_first_by_size(mml: Mml, root: Path) -> None:
    (root / "other" / "runs" / TOY / "temp").mkdir()
    (root / "other" / "runs" / TOY / "temp" / "big").write_bytes(b"x" * 100_000)
    assert names(mml, "--sort", "size", "--limit", "1") == [TOY]
    assert names(mml, "--sort", "size", "--reverse")[-1] == TOY


def test_json_has_all_fields_of_their_types(mml: Mml, root: Path) -> None:
    (run,) = json.loads(mml("runs", "mode=train", "--json").out)
    assert run["label"] == "Baseline"
    assert {name: type(value) for name, value in run.items() if name != "label"} == {
        name: kind for name, kind in FIELDS.items() if name != "label"
    }
    assert run | {"label": None} == run | {
        "name": TRAIN,
        "project": "default",
        "path": str(root / "default" / "runs" / TRAIN),
        "state": "finished",
        "tasks": ["digits", "dogs"],
        "steps_done": 3,
        "steps_total": 3,
        "value": 0.9,
        "seconds": 6.0,
        "label": None,
    }


def test_json_is_an_empty_list_where_nothing_fits(mml: Mml, tmp_path: Path) -> None:
    assert json.loads(mml("runs", "--json").out) == []


def test_json_measures_when_asked(mml: Mml, root: Path) -> None:
    sizes = [run["size"] for run in json.loads(mml("runs", "--json", "--size").out)]
    assert all(size > 500 for size in sizes)


@pytest.mark.parametrize("value", [{"$float": "nan"}, {"$float": "inf"}])
def test_json_has_no_number_that_json_lacks(mml: Mml, tmp_path: Path, value: Any) -> None:
    make_run(tmp_path / "results", value=[value, {"a": value}])
    (run,) = json.loads(mml("runs", "--json").out, parse_constant=lambda text: pytest.fail(text))
    assert run["value"] == [None, {"a": None}]
    assert "toy" in mml("runs", "--sort", "metric").out


def test_states_are_those_of_journal_and_lock(mml: Mml, root: Path) -> None:
    make_damaged(root, "2026-11-16_10-00-00_toy")
    make_run(root, "2026-11-15_10-00-00_toy", state="interrupted")
    with RunLock(root / "other" / "runs" / TOY):
        told = {run["name"]: run["state"] for run in json.loads(mml("runs", "--json").out)}
        summary = mml("runs").out.splitlines()[0]
    assert told == {
        TOY: "running",
        "2026-11-15_10-00-00_toy": "interrupted",
        FAILED: "failed",
        LATE: "finished",
        TRAIN: "finished",
        "2026-11-16_10-00-00_toy": "damaged",
    }
    assert summary == f"Runs in {root}: 1 running, 1 interrupted, 1 failed, 2 finished, 1 damaged"


def test_run_that_ends_while_it_is_looked_at_is_not_called_crashed(
    root: Path, mml: Mml, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mml.core.scripts import runs

    looked = runs.is_running

    def ends_before(folder: Path) -> bool:
        from tests.support.runs import events_of, write_journal

        write_journal(folder, events_of("finished"))
        return looked(folder)

    monkeypatch.setattr(runs, "is_running", ends_before)
    assert names(mml, "proj=other", "state=finished") == [TOY]


def test_table_says_what_people_look_for(mml: Mml, root: Path) -> None:
    head, *rows = [line.split() for line in mml("runs", "proj=default").out.splitlines()[1:]]
    assert head == ["run", "project", "state", "mode", "tasks", "steps", "metric", "age", "duration", "size", "label"]
    assert rows[0][:9] == [LATE, "default", "finished", "toy", "digits", "3/3", "accuracy", "0.25", "2"]
    assert rows[1][:7] == [FAILED, "default", "failed", "toy", "digits", "1/3", "-"]
    assert rows[2][-1] == "Baseline"


def test_labels_take_no_room_where_there_are_none(mml: Mml, root: Path) -> None:
    assert "label" not in mml("runs", "proj=other").out.splitlines()[1]


def test_a_part_of_many_says_how_to_see_the_rest(mml: Mml, root: Path) -> None:
    assert "2 of 4 runs. --limit 0 shows all" in mml("runs", "--limit", "2").out
    assert "--limit" not in mml("runs").out


def test_where_there_is_nothing_it_says_what_to_do(mml: Mml, tmp_path: Path) -> None:
    said = mml("runs")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"There is no run yet in {tmp_path / 'results'}. `mml train task=<name>` starts one")


def test_where_nothing_fits_it_says_so_and_what_may_be_meant(mml: Mml, root: Path) -> None:
    assert f"None of the 4 runs in {root} fits." in mml("runs", "--state", "damaged").out
    assert "Did you mean `mml runs show latest`?" in mml("runs", "shwo", "latest").out
    assert "Did you mean" not in mml("runs", "zebra").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--state", "crash"], "Unknown state 'crash'. Did you mean 'crashed'?"),
        (["--since", "2x"], "--since 2x is no time. Say how long ago"),
        (["--sort", "agee"], "invalid choice: 'agee'"),
        (["--limit", "x"], "invalid int value: 'x'"),
        (["--limit", "-1"], "--limit -1 is no number of runs"),
        (["stat=failed"], "Unknown filter 'stat'. Did you mean 'state'"),
        (["proj=othre"], "Unknown project 'othre'. Did you mean 'other'?"),
        (["--jsn"], "Unknown flag '--jsn'. Did you mean '--json'"),
    ],
)
def test_filters_that_make_no_sense_are_refused(mml: Mml, root: Path, words: list[str], said: str) -> None:
    answer = mml("runs", *words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


def test_folders_are_found_as_runs_find_them(mml_cli: MmlCli, root: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    root.rename(moved)
    assert "There is no run yet" in mml_cli("runs").stdout
    for words, env in (
        (["--out-dir", moved], {}),
        ([f"out_dir={moved}"], {}),
        ([], {"MML_RESULTS_PATH": str(moved)}),
    ):
        assert LATE in mml_cli("runs", *words, env=env).stdout
    (tmp_path / "mml.env").write_text("MML_RESULTS_PATH=moved\n")
    assert LATE in mml_cli("runs").stdout


@pytest.mark.parametrize(
    ("text", "ago"),
    [("30min", 1800), ("90m", 5400), ("1.5h", 5400), ("2d", 172800), ("1w", 604800), ("10 s", 10)],
)
def test_a_time_may_be_said_by_how_long_ago(text: str, ago: float) -> None:
    assert since_seconds(text, 1e9) == 1e9 - ago


def test_a_time_may_be_a_date_or_a_day() -> None:
    midnight = time.mktime((2026, 11, 20, 0, 0, 0, 0, 0, -1))
    assert since_seconds("2026-11-20", 0) == midnight
    assert since_seconds("2026-11-20 10:00", 0) == midnight + 36000
    assert since_seconds("today", midnight + 5) == midnight
    assert since_seconds("yesterday", midnight + 5) <= midnight - 82800


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.97916, "0.9792"),
        (3, "3"),
        (True, "True"),
        ("a text", "a text"),
        ("a text that is too long for a table", "a text that is too …"),
        ([1, 2], "-"),
        ({"a": "x", "b": 0.5}, "b 0.5"),
        ({"a": math.nan}, "-"),
    ],
)
def test_values_are_short(value: Any, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (59, "59 s"), (61, "1 min"), (7300, "2 h"), (86400, "1 d"), (15 * 86400, "2 w"), (4e7, "1 y")],
)
def test_ages_have_one_unit(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


def test_size_of_a_folder_follows_no_link_and_knows_no_error(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 10)
    (tmp_path / "big").write_bytes(b"x" * 10_000)
    (tmp_path / "a" / "link").symlink_to(tmp_path / "big")
    assert folder_size(tmp_path / "a") == 10 + os.lstat(tmp_path / "a" / "link").st_size
    assert folder_size(tmp_path / "nowhere") == 0
