"""Where a run is: by journal, lock, log and live state, each believed only as far as it goes."""

import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mml.core.scripts.journal import Done, Failed, Opened, Started, Stopped
from mml.core.scripts.progress_state import Live, LiveBar, LiveStep
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.runs import DETACHED, read_run
from mml.status_queue import Queue
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
        "running": [],
        "running_more": 0,
        "queue": None,
        "queue_error": None,
        "created": "",
        "last_sign_of_life": 0,
        "pid": None,
        "host": None,
        "log": None,
        "error": None,
        "continue": f"mml continue {folder.name}",
    }
    assert as_record(status(make_run(tmp_path, "other")))["continue"] is None


def write_running(folder: Path, *numbers: int, at: float | None = None) -> None:
    """Write what the driver of a run says of steps in workers; the first waits, if there are several."""
    steps = [
        LiveStep(number, f"work({number - 1})", f"w{number}" if place or len(numbers) == 1 else "", 4.0, [BAR])
        for place, number in enumerate(numbers)
    ]
    live = Live(time=at or time.time(), pid=1, steps=3, left=12.0, running=steps, more=4)
    (folder / "live.json").write_bytes(msgspec.json.encode(live))


def begun_twice() -> list[Any]:
    """Return the events of a run with two steps in flight."""
    return [*events_of("crashed", created=1000.0), Started(time=1006.0, step=2)]


def test_steps_that_run_at_once_are_told_with_their_workers(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed", created=1000.0)
    write_journal(folder, begun_twice())
    write_running(folder, 2, 3)
    with RunLock(folder):
        found = read_again(folder)
    assert [(step.number, step.worker) for step in found.running] == [(2, ""), (3, "w3")]
    assert (found.step, found.step_name, found.step_started) == (3, "work(2)", 1006.0)
    assert found.begun == ()
    record = as_record(found)
    assert [step["worker"] for step in record["running"]] == ["", "w3"]
    assert record["running"][1]["bars"][0]["completed"] == record["bars"][0]["completed"] == 3.5
    assert (record["running_more"], record["time_left"]) == (4, 12.0)


def test_a_step_that_is_done_meanwhile_runs_no_more(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed", created=1000.0)
    write_journal(folder, [*begun_twice(), Done(time=1007.0, step=1, seconds=1.0)])
    write_running(folder, 2, 3)
    with RunLock(folder):
        assert [step.number for step in read_again(folder).running] == [3]


def test_what_an_earlier_process_said_is_not_believed(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed", created=1000.0)
    opened = Opened(time=2000.0, pid=1, host="box", command=[])
    write_journal(folder, [*begun_twice(), opened, Started(time=2001.0, step=1)])
    write_running(folder, 2, 3, at=1500.0)
    with RunLock(folder):
        found = read_again(folder)
    assert (found.live, found.step) == (None, 2)


def test_steps_taken_over_from_an_earlier_process_are_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed", created=1000.0)
    write_journal(folder, [*begun_twice(), Opened(time=2000.0, pid=1, host="box", command=[])])
    write_running(folder, 2, 3)
    with RunLock(folder):
        assert [step.number for step in read_again(folder).running] == [2, 3]


def test_before_the_driver_says_anything_journal_and_workers_do(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed", created=1000.0)
    write_journal(folder, begun_twice())
    worker = folder / "workers" / "w1"
    worker.mkdir(parents=True)
    (worker / "live.json").write_bytes(msgspec.json.encode(Live(time.time(), 1, 3, 3, "work(2)", elapsed=2.0)))
    with RunLock(folder), RunLock(worker):
        found = read_again(folder)
    assert [(step.number, step.name, step.worker) for step in found.running] == [
        (2, "work(1)", ""),
        (3, "work(2)", "w1"),
    ]
    assert found.step == 3


def test_one_that_ended_tells_all_steps_that_were_begun(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed", created=1000.0)
    write_journal(folder, begun_twice())
    assert status(folder).begun == [(2, "work(1)"), (3, "work(2)")]
    opened = Opened(time=2000.0, pid=1, host="box", command=[])
    write_journal(folder, [*begun_twice(), opened])
    assert status(folder).begun == [(2, "work(1)"), (3, "work(2)")]
    write_journal(folder, [*begun_twice(), opened, Started(time=2001.0, step=2)])
    assert status(folder).begun == [(3, "work(2)")]


def test_a_detached_run_is_told_by_its_workers(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed", created=1000.0)
    write_journal(folder, [*begun_twice(), Stopped(time=1007.0, step=None, signal=DETACHED)])
    info = read_run(folder)._replace(state=DETACHED)
    found = read_status(info)
    assert (found.live, found.step, found.running) == (None, None, [])
    worker = folder / "workers" / "w1"
    worker.mkdir(parents=True)
    (worker / "live.json").write_bytes(msgspec.json.encode(Live(time.time(), 1, 3, 3, "work(2)", bars=[BAR])))
    (worker / "exp.log").write_text("all is well\n")
    with RunLock(worker):
        found = read_status(info)
    assert [(step.number, step.worker) for step in found.running] == [(3, "w1")]
    assert found.log == "[w1] all is well"
    assert found.step == 3


def test_the_queue_is_asked_for_unless_nothing_can_be_in_it(tmp_path: Path) -> None:
    asked: list[Path] = []

    def queue_of(folder: Path) -> Queue | None:
        asked.append(folder)
        return Queue((), "no answer")

    crashed = read_status(read_run(make_run(tmp_path, "a", state="crashed")), queue_of)
    assert crashed.queue == Queue((), "no answer")
    assert as_record(crashed)["queue_error"] == "no answer"
    assert read_status(read_run(make_run(tmp_path, "b")), queue_of).queue is None
    assert len(asked) == 1
