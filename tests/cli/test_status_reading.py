"""Where a run is: by journal, lock, log and live state, each believed only as far as it goes."""

import os
from pathlib import Path

import msgspec
import pytest

from mml.core.scripts.journal import Failed, Started
from mml.core.scripts.progress_live import Live, LiveBar
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.runs import read_run
from mml.status_reading import Status, as_record, read_again, read_status
from tests.support.runs import LONG_AGO, events_of, make_damaged, make_run, write_journal

BAR = LiveBar("epoch", 3.5, 10, 100.0, "images", "loss 0.1", 6.5, 3.5)


def write_live(folder: Path, step: int = 2) -> None:
    live = Live(time=LONG_AGO, pid=1, step=step, steps=3, name="work(1)", left=12.0, bars=[BAR])
    (folder / "live.json").write_bytes(msgspec.json.encode(live))


def status(folder: Path) -> Status:
    return read_status(read_run(folder))


def test_a_running_run_is_told_with_step_bars_process_and_log(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed", created=1000.0)
    write_live(folder)
    (folder / "exp.log").write_text("first\nlast\n")
    with RunLock(folder):
        found = read_again(folder)
    assert (found.info.state, found.step, found.step_name, found.step_started) == ("running", 2, "work(1)", 1004.0)
    assert found.live is not None
    assert found.live.bars == [BAR]
    assert found.owner is not None
    assert (found.owner.pid, found.log) == (os.getpid(), "last")


def test_live_state_of_another_step_is_not_believed(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed")
    write_live(folder, step=1)
    assert status(folder).live is None


def test_live_state_that_a_kill_left_tells_how_far_a_crashed_run_came(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed")
    write_live(folder)
    live = status(folder).live
    assert live is not None
    assert live.bars[0].completed == 3.5


def test_a_finished_run_is_in_no_step(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    write_live(folder, step=3)
    found = status(folder)
    assert (found.step, found.step_name, found.live, found.signal) == (None, "", None, "")


@pytest.mark.parametrize(("state", "step", "signal"), [("failed", 2, ""), ("interrupted", 2, "SIGTERM")])
def test_one_that_stopped_tells_in_which_step_and_why(tmp_path: Path, state: str, step: int, signal: str) -> None:
    found = status(make_run(tmp_path, state=state))
    assert (found.step, found.signal) == (step, signal)


def test_a_step_that_failed_and_is_passed_over_is_not_the_running_one(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed")
    events = [*events_of("crashed"), Failed(time=9, step=1, error="E", goes_on=True)]
    write_journal(folder, events)
    assert status(folder).step is None
    write_journal(folder, [*events, Started(time=9, step=2)])
    assert status(folder).step == 3
    write_journal(folder, [*events, Started(time=9, step=1)])
    assert status(folder).step == 2


@pytest.mark.parametrize("name", ["journal.jsonl", "live.json", "exp.log"])
def test_the_last_sign_of_life_is_the_last_thing_written(tmp_path: Path, name: str) -> None:
    folder = make_run(tmp_path, state="crashed")
    write_live(folder)
    (folder / "exp.log").touch()
    for other in ("journal.jsonl", "live.json", "exp.log"):
        os.utime(folder / other, (1000, 1000))
    os.utime(folder / name, (2000, 2000))
    assert status(folder).sign == 2000


def test_an_empty_folder_and_a_damaged_journal_say_what_they_can(tmp_path: Path) -> None:
    empty = tmp_path / "default" / "runs" / "2020-01-01_00-00-00_x"
    empty.mkdir(parents=True)
    found = status(empty)
    assert (found.info.state, found.step, found.sign, found.owner, found.log) == ("damaged", None, None, None, "")
    damaged = status(make_damaged(tmp_path, "2021"))
    assert (damaged.info.state, damaged.step) == ("damaged", None)


def test_json_has_all_fields(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed", created=1000.0)
    write_live(folder)
    record = as_record(status(folder))
    assert record | {"path": "", "last_sign_of_life": 0, "created": ""} == {
        "name": folder.name,
        "project": "default",
        "path": "",
        "state": "crashed",
        "mode": "toy",
        "tasks": ["digits"],
        "steps_done": 1,
        "steps_total": 3,
        "step": 2,
        "step_name": "work(1)",
        "step_started": 1004.0,
        "time_left": 12.0,
        "bars": [
            {
                "description": "epoch",
                "completed": 3.5,
                "total": 10,
                "rate": 100.0,
                "unit": "images",
                "info": "loss 0.1",
                "left": 6.5,
                "elapsed": 3.5,
            }
        ],
        "created": "",
        "last_sign_of_life": 0,
        "pid": None,
        "host": None,
        "log": None,
        "error": None,
        "continue": f"mml continue {folder.name}",
    }
    assert as_record(status(make_run(tmp_path, "other")))["continue"] is None
