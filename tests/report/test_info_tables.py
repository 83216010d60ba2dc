from typing import Any

import pytest

from mml.core.scripts import runs
from mml.report import info_tables

DOCUMENT: dict[str, Any] = {"mml": "0.1.0", "data": "/data", "results": "/results", "project": "default"}
TASK = {
    "name": "stripes",
    "task_type": "classification",
    "num_train": 60000,
    "num_test": 10000,
    "num_unlabeled": 0,
    "num_classes": 0,
    "sizes": None,
    "cached": [],
}
RUN: dict[str, Any] = {
    "name": "2026-11-20_07-30-00_train",
    "state": "crashed",
    "mode": "",
    "tasks": [],
    "steps_done": 0,
    "steps_total": None,
    "seconds": 0.0,
    "created": None,
    "return_value": None,
    "error": "",
}


def shown(capsys: pytest.CaptureFixture[str], *other_projects: str, **sections: Any) -> str:
    info_tables.show_info({**DOCUMENT, **sections}, list(other_projects))
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        (None, "-"),
        ((28, 28, 28, 28), "28 x 28"),
        ((28, 64, 30, 30), "28-64 x 30"),
        ((28, 64, 28, 90), "28-64 x 28-90"),
    ],
)
def test_sizes_are_height_by_width(sizes: tuple[int, ...] | None, text: str) -> None:
    keys = ("min_height", "max_height", "min_width", "max_width")
    assert info_tables.sizes_text(dict(zip(keys, sizes, strict=True)) if sizes else None) == text


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ([], "-"),
        ([{"split": "val", "epoch": 1, "loss": 0.25}], "val: loss 0.25"),
        ([{"split": "test", "loss": 0.5}, {"split": "val", "epoch": 9, "loss": 0.25}], "test: loss 0.5"),
        ([{"loss": 0.5, "name": "left out"}], "loss 0.5"),
        ([{"split": "test"}], "test: -"),
        ([{"split": "test", **{f"m{i}": i for i in range(6)}}], "test: m0 0, m1 1, m2 2, m3 3, ... (2 more)"),
    ],
)
def test_the_last_evaluation_counts_more_than_epochs(metrics: list[dict[str, Any]], text: str) -> None:
    assert info_tables.metrics_text(metrics) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.91234, "0.9123"),
        (3, "3"),
        (True, "true"),
        ("best", '"best"'),
        ({"accuracy": 0.5}, '{"accuracy": 0.5}'),
        (list(range(50)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11..."),
    ],
)
def test_a_return_value_takes_one_short_line(value: Any, text: str) -> None:
    assert info_tables.value_text(value) == text
    assert len(text) <= 40


@pytest.mark.parametrize(("stamp", "text"), [(None, "-"), ("2026-11-20T07:30:59.123+01:00", "2026-11-20 07:30")])
def test_moments_are_told_to_the_minute(stamp: str | None, text: str) -> None:
    assert info_tables.moment_text(stamp) == text


def test_what_nobody_knows_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, tasks=[TASK], runs=[RUN])
    (task,) = (line for line in out.splitlines() if "stripes" in line)
    (run,) = (line for line in out.splitlines() if "07-30-00" in line)
    assert task.split() == ["stripes", "classification", "60000", "10000", "-", "-", "-", "-"]
    assert "0/-" in run


def test_nothing_but_the_first_step_is_told_where_there_is_no_task(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, tasks=[], models=[], runs=[])
    assert "mml create task=digits" in out
    assert "There is no model" not in out
    assert "There is no run" not in out


def test_results_are_shown_even_where_there_is_no_task(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, tasks=[], models=[], runs=[RUN])
    assert "There is no task yet in /data/tasks" in out
    assert RUN["name"] in out


def test_a_task_that_can_be_read_is_proposed_for_training(capsys: pytest.CaptureFixture[str]) -> None:
    broken = {"name": "broken", "error": "broken/task.json can't be read"}
    assert "Train one: mml train task=stripes" in shown(capsys, tasks=[broken, TASK], models=[])
    assert "Train one: mml train task=digits" in shown(capsys, tasks=[broken], models=[])
    assert "Train one: mml train task=digits" in shown(capsys, models=[])


def test_why_a_run_ended_is_told_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    failed = {**RUN, "name": "other", "state": "failed", "error": "ValueError: boom"}
    assert shown(capsys, runs=[RUN, failed]).splitlines()[-1] == "other failed: ValueError: boom"


def test_sections_are_parted_by_one_empty_line(capsys: pytest.CaptureFixture[str]) -> None:
    grid = {"task": "stripes", "file": "/grid.png", "rows": 3, "rows_left_out": 0, "unreadable": []}
    out = shown(capsys, "other", runs=[], grids=[grid])
    assert out.splitlines() == [
        "There is no run yet in project default.",
        "",
        "Sample grid of stripes: /grid.png",
        "",
        "Other projects: other. Show one: mml info proj=other",
    ]


def test_every_state_of_a_run_has_a_colour() -> None:
    states = {runs.RUNNING, runs.FINISHED, runs.DAMAGED, *runs.CONTINUABLE}
    assert set(info_tables.STATE_STYLES) == states
