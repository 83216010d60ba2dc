"""What became of runs is told from their journals and locks."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.exceptions import Interrupted
from mml.core.scripts.journal import DETACHED, Stopped, encode_line
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.runs import (
    all_runs,
    is_running,
    latest_continuable,
    list_runs,
    project_runs,
    read_run,
    run_folders,
    started,
)
from tests.support.toy_scheduler import Toy, crowd, only_run, start_child, toy_config


def toy(root: Path, trap: str | None = None, **changes: Any) -> Path:
    """Run the toy with a trap, whatever comes of it; return its run folder."""
    before = set(run_folders(root / "results" / changes.get("proj", "default")))
    with suppress(ValueError, Interrupted):
        Toy(toy_config(root, mode__trap=trap, **changes)).run()
    (made,) = set(run_folders(root / "results" / changes.get("proj", "default"))) - before
    return made


def test_finished_run_tells_all(tmp_path: Path) -> None:
    info = read_run(toy(tmp_path, mode__n=2))
    assert (info.project, info.state, info.mode, info.tasks) == ("default", "finished", "toy", ())
    assert (info.steps_done, info.steps_total, info.error) == (2, 2, "")
    assert [number for number, _ in info.return_value["steps"]] == [0, 1]
    assert info.seconds > 0
    assert info.created is not None
    assert abs((info.created - datetime.now().astimezone()).total_seconds()) < 3600
    assert (info.name, info.path) == (only_run(tmp_path).name, only_run(tmp_path))


@pytest.mark.parametrize(
    ("trap", "state", "done", "total", "error"),
    [
        ("begin1:error", "failed", 1, 3, "ValueError: boom"),
        ("begin1:SIGTERM", "interrupted", 1, 3, ""),
        ("finish:error", "failed", 3, 3, "ValueError: boom"),
        ("prepare:error", "failed", 0, None, "ValueError: boom"),
    ],
)
def test_stopped_run_tells_why_and_how_far_it_got(
    tmp_path: Path, trap: str, state: str, done: int, total: int | None, error: str
) -> None:
    info = read_run(toy(tmp_path, trap))
    assert (info.state, info.steps_done, info.steps_total, info.error) == (state, done, total, error)


def test_a_run_that_was_left_to_a_queue_is_detached_and_waits_to_be_collected(tmp_path: Path) -> None:
    folder = toy(tmp_path, "begin1:error")
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(encode_line(Stopped(time=2e9, step=None, signal=DETACHED)))
    assert read_run(folder).state == "detached"
    assert latest_continuable(folder.parent.parent) == read_run(folder)


def test_killed_run_is_crashed(tmp_path: Path) -> None:
    with start_child(toy_config(tmp_path, mode__trap="half1:SIGKILL", task_list=[])) as child:
        child.wait()
    with start_child(toy_config(tmp_path, proj="b", mode__trap="begin1:SIGKILL")) as child:
        assert child.wait() == -9
    assert read_run(only_run(tmp_path, "b")).state == "crashed"


def test_running_run_is_running(tmp_path: Path) -> None:
    folder = toy(tmp_path, "begin1:error")
    with RunLock(folder):
        assert read_run(folder).state == "running"
    assert read_run(folder).state == "failed"


def test_run_without_a_journal_is_crashed_as_it_can_be_continued(tmp_path: Path) -> None:
    folder = toy(tmp_path, "begin1:error")
    (folder / "journal.jsonl").unlink()
    info = read_run(folder)
    assert (info.state, info.mode, info.created, info.steps_total) == ("crashed", "", None, None)


def test_run_without_a_config_is_damaged_and_not_offered(tmp_path: Path) -> None:
    earlier = toy(tmp_path, "begin1:error")
    folder = earlier.with_name("2999-01-01_00-00-00_toy")
    folder.mkdir()
    info = read_run(folder)
    assert info.state == "damaged"
    assert "killed before it had written its config" in info.error
    latest = latest_continuable(tmp_path / "results" / "default")
    assert latest is not None
    assert latest.path == earlier


def test_damaged_journal_is_told_with_its_fault(tmp_path: Path) -> None:
    folder = toy(tmp_path)
    file = folder / "journal.jsonl"
    file.write_bytes(b"x" + file.read_bytes())
    info = read_run(folder)
    assert info.state == "damaged"
    assert "line 1, is damaged" in info.error


def test_looking_at_runs_leaves_them_as_they_are(tmp_path: Path) -> None:
    folder = toy(tmp_path, "begin1:error")
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    list_runs(tmp_path / "results")
    latest_continuable(tmp_path / "results" / "default")
    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == before


def test_runs_of_a_project_are_the_visible_folders_oldest_first(tmp_path: Path) -> None:
    names = [
        "2026-01-02_00-00-00_toy_10",
        "2026-01-02_00-00-00_toy_2",
        "2026-01-02_00-00-00_toy",
        "2026-01-01_00-00-00_x",
    ]
    for name in [*names, ".hidden"]:
        (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs" / "a_file").touch()
    assert [folder.name for folder in run_folders(tmp_path)] == names[::-1]


@pytest.mark.parametrize(("newest", "expected"), [(None, 3), (2, 2), (0, 0), (9, 3)])
def test_newest_runs_can_be_asked_for(tmp_path: Path, newest: int | None, expected: int) -> None:
    for day in range(3):
        (tmp_path / "default" / "runs" / f"2026-01-0{day + 1}").mkdir(parents=True)
    names = [f"2026-01-0{day + 1}" for day in range(3)][3 - expected :]
    assert [run.name for run in project_runs(tmp_path / "default", newest)] == names
    assert [run.name for run in list_runs(tmp_path, newest)] == names


def test_runs_of_all_projects_are_listed_by_age(tmp_path: Path) -> None:
    for name in ("a/runs/2026-02-01", "b/runs/2026-01-01", ".hidden/runs/2026-03-01", "c"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a_file").touch()
    assert [(run.project, run.name) for run in list_runs(tmp_path)] == [("b", "2026-01-01"), ("a", "2026-02-01")]


@pytest.mark.parametrize("place", ["missing", "a_file"])
def test_where_there_is_no_folder_there_are_no_runs(tmp_path: Path, place: str) -> None:
    (tmp_path / "a_file").touch()
    assert list_runs(tmp_path / place) == project_runs(tmp_path / place) == []
    assert latest_continuable(tmp_path / place) is None


def test_latest_run_that_waits_is_found_behind_newer_ones(tmp_path: Path) -> None:
    waiting = toy(tmp_path, "begin1:error")
    toy(tmp_path)
    latest = latest_continuable(tmp_path / "results" / "default")
    assert latest is not None
    assert latest.path == waiting
    with RunLock(waiting):
        assert latest_continuable(tmp_path / "results" / "default") is None


def test_a_run_that_wrote_nothing_has_the_age_of_its_name(tmp_path: Path) -> None:
    for name in ("2026-01-02_00-00-00_toy", "2026-01-01_00-00-00_toy", "of_today"):
        (tmp_path / "default" / "runs" / name).mkdir(parents=True)
    found = [run.name for run in all_runs(tmp_path)]
    assert [name for name in found if name != "of_today"] == ["2026-01-02_00-00-00_toy", "2026-01-01_00-00-00_toy"]
    assert started(all_runs(tmp_path)[found.index("of_today")])[0] > 0


def test_many_look_at_a_lock_at_once_and_none_is_taken_for_its_owner(tmp_path: Path) -> None:
    folder = toy(tmp_path, "begin1:error")

    def look(_: int) -> None:
        assert [is_running(folder) for _ in range(300)] == [False] * 300

    crowd(look, 4)


def test_a_lock_is_held_for_those_who_look_by_a_process_that_works(tmp_path: Path) -> None:
    folder = toy(tmp_path, "begin1:error")
    with RunLock(folder):
        assert is_running(folder)
    assert not is_running(folder)
    assert not is_running(tmp_path / "nowhere")
