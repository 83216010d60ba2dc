"""The whole record of a run, as people read it."""

from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.journal import AnyEvent, Done, Failed, Opened, Planned, Skipped, Started
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.runs import read_run
from mml.core.scripts.schedule import StepRecord
from mml.runs_record import (
    FullRecord,
    made_files,
    metrics_of,
    portable_path,
    read_record,
    step_lines,
    stored_config,
    stored_overrides,
)
from tests.support.runs import events_of, make_run, write_journal

MODEL = {
    "task": "digits",
    "fold": 0,
    "performance": 0.9,
    "metrics": [{"split": "val", "epoch": 3, "loss": 0.1}, {"split": "test", "accuracy": 0.8}],
}


def record(folder: Path) -> FullRecord:
    return read_record(read_run(folder))


def states(folder: Path) -> list[tuple[str, str]]:
    return [(line.state, line.note) for line in step_lines(record(folder))]


def opened() -> Opened:
    return Opened(time=1, pid=1, host="h", command=[])


@pytest.mark.parametrize(
    ("state", "second", "note"),
    [
        ("finished", "done", ""),
        ("failed", "failed", "ValueError: boom"),
        ("crashed", "begun", ""),
        ("interrupted", "begun", ""),
    ],
)
def test_steps_tell_how_far_they_came(tmp_path: Path, state: str, second: str, note: str) -> None:
    first, middle, last = states(make_run(tmp_path, state=state))
    assert (first, middle) == (("done", ""), (second, note))
    assert last == ("done" if state == "finished" else "waiting", "")


def test_step_of_a_running_run_is_running(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed")
    with RunLock(folder):
        assert states(folder)[1] == ("running", "")


def test_all_steps_that_run_at_once_are_running(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed")
    begun = [*events_of("crashed"), Started(time=9, step=2)]
    write_journal(folder, begun)
    with RunLock(folder):
        assert [state for state, _ in states(folder)] == ["done", "running", "running"]
    write_journal(folder, [*begun, opened(), Started(time=10, step=2)])
    with RunLock(folder):  # the one that an earlier process had begun waits for its turn
        assert [state for state, _ in states(folder)] == ["done", "begun", "running"]
    write_journal(folder, [*begun, Done(time=10, step=2, seconds=1.0)])
    with RunLock(folder):
        assert [state for state, _ in states(folder)] == ["done", "running", "done"]


def test_step_taken_over_names_where_from(tmp_path: Path) -> None:
    assert states(make_run(tmp_path, source="other"))[0] == ("done", "from other")


def test_skipped_steps_name_what_they_need_until_they_are_tried_again(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    events: list[AnyEvent] = [
        opened(),
        Planned(time=1, steps=[StepRecord("work", [number]) for number in range(2)]),
        Started(time=1, step=0),
        Failed(time=1, step=0, error="E: x"),
        Skipped(time=1, step=1, needs=0),
    ]
    write_journal(folder, events)
    assert states(folder) == [("failed", "E: x"), ("skipped", "needs step 1")]
    write_journal(folder, [*events, opened(), Started(time=2, step=0)])
    assert states(folder) == [("begun", ""), ("waiting", "")]
    write_journal(folder, [*events, opened(), Started(time=2, step=0), Done(time=3, step=0, seconds=1)])
    assert states(folder) == [("done", ""), ("waiting", "")]


def test_times_are_those_of_the_last_attempt(tmp_path: Path) -> None:
    line = step_lines(record(make_run(tmp_path, created=1000.0)))[0]
    assert (line.number, line.name, line.started, line.seconds) == (1, "work(0)", 1002.0, 1.0)


def test_files_are_told_with_their_sizes_or_as_gone(tmp_path: Path) -> None:
    folder = make_run(tmp_path, paths=["default/a.txt", "default/b.txt"])
    (tmp_path / "default" / "b.txt").unlink()
    made = [(file.path, file.key, file.exists, file.size) for file in made_files(record(folder), tmp_path)]
    assert made == [
        (tmp_path / "default" / "a.txt", "made", True, 4),
        (tmp_path / "default" / "b.txt", "made", False, None),
    ]


def test_temporary_files_of_the_run_are_left_out(tmp_path: Path) -> None:
    folder = make_run(tmp_path, name="run", paths=["default/runs/run/temp/x"])
    assert made_files(record(folder), tmp_path) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.5, {"value": 0.5}), ({"a": 1, "b": "x"}, {"value.a": 1, "value.b": "x"}), (None, {"value": None})],
)
def test_figures_are_value_time_and_the_metrics_of_models(tmp_path: Path, value: Any, expected: dict[str, Any]) -> None:
    folder = make_run(tmp_path, value=value, done_tasks={"digits": {"models": [MODEL, "damaged"]}, "odd": []})
    assert metrics_of(record(folder)) == {
        **expected,
        "seconds": 6.0,
        "digits.fold_0.performance": 0.9,
        "digits.fold_0.val.loss": 0.1,
        "digits.fold_0.test.accuracy": 0.8,
    }


def test_config_and_overrides_are_those_stored_and_nothing_where_they_can_not_be_read(tmp_path: Path) -> None:
    folder = make_run(tmp_path, overrides=["a=1"])
    assert stored_overrides(folder) == ["a=1"]
    assert stored_config(folder) == {"seed": 1, "proj": "default"}
    for damage in ("a: [", "5", "\0"):
        for name in ("config.yaml", "overrides.yaml"):
            (folder / name).write_text(damage)
        assert (stored_config(folder), stored_overrides(folder)) == ({}, [])
    (folder / "config.yaml").unlink()
    assert stored_config(folder) == {}


def test_a_record_may_be_empty(tmp_path: Path) -> None:
    info = read_run(make_run(tmp_path))
    empty = FullRecord.empty(info)
    assert (step_lines(empty), made_files(empty, tmp_path), empty.processes(), empty.failures()) == ([], [], [], [])


def test_paths_are_told_below_the_results_of_today(tmp_path: Path) -> None:
    assert portable_path("default/x", tmp_path) == tmp_path / "default" / "x"
    assert portable_path("./data:x/y", tmp_path) == tmp_path / "data:x" / "y"
    assert portable_path("data:tasks/x", tmp_path) is None
