"""`mml runs diff`: in what two runs differ."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Mml
from tests.support.runs import make_damaged, make_run

A, B = "2026-11-19_10-00-00_toy", "2026-11-20_10-00-00_toy"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    model = {"fold": 0, "performance": 0.5, "metrics": []}
    make_run(root, A, config={"optimizer": {"lr": 0.1, "name": "sgd"}}, done_tasks={"digits": {"models": [model]}})
    other = {**model, "performance": 0.25}
    make_run(
        root,
        B,
        "other",
        state="failed",
        config={"optimizer": {"lr": 0.2, "name": "sgd"}, "new": 1},
        value=0.75,
        versions={"torch": "2.1"},
        done_tasks={"digits": {"models": [other]}},
    )
    return root


def differences(mml: Mml, *words: str) -> dict[str, tuple[str, str]]:
    found = json.loads(mml("runs", "diff", *words, "--json").out)["differences"]
    return {f"{row['kind']} {row['field']}": (row["a"], row["b"]) for row in found}


def test_config_versions_and_figures_are_compared_field_by_field(mml: Mml, root: Path) -> None:
    assert differences(mml, A, B) == {
        "run state": ("finished", "failed"),
        "run project": ("default", "other"),
        "run steps": ("3/3", "1/3"),
        "config optimizer.lr": ("0.1", "0.2"),
        "config new": ("<nothing>", "1"),
        "package torch": ("2.0", "2.1"),
        "metric value": ("0.5", "0.75"),
        "metric seconds": ("6", "1"),
        "metric digits.fold_0.performance": ("0.5", "0.25"),
    }


def test_the_table_names_both_runs_and_counts(mml: Mml, root: Path) -> None:
    said = mml("runs", "diff", A, B)
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert said.code == 0
    assert lines[:3] == [f"A: default/{A}", f"B: other/{B}", "kind field A B"]
    assert "config optimizer.lr 0.1 0.2" in lines
    assert lines[-1] == "2 fields of the config differ."


def test_a_run_does_not_differ_from_itself(mml: Mml, root: Path) -> None:
    assert differences(mml, A, A) == {}
    assert mml("runs", "diff", A, "default/latest").out.strip() == "0 fields of the config differ."


def test_equal_nans_are_equal_and_long_values_are_cut(mml: Mml, root: Path) -> None:
    for name, text in (("2026-11-21_10-00-00_x", "a" * 100), ("2026-11-22_10-00-00_x", "b" * 100)):
        make_run(root, name, value={"nan": {"$float": "nan"}, "text": text})
    found = differences(mml, "11-21", "11-22")
    assert list(found) == ["metric value.text"]
    assert found["metric value.text"] == ("a" * 59 + "…", "b" * 59 + "…")


def test_a_damaged_run_is_compared_by_what_is_left(mml: Mml, root: Path) -> None:
    make_damaged(root, "2026-11-21_10-00-00_x")
    found = differences(mml, A, "11-21")
    assert found["run state"] == ("finished", "damaged")
    assert found["config optimizer.lr"] == ("0.1", "<nothing>")


def test_two_runs_have_to_be_named(mml: Mml, root: Path) -> None:
    assert "required: B" in mml("runs", "diff", A).err
    assert "There is no run 'nope'" in mml("runs", "diff", A, "nope").err
