"""Runs tell people of their start and their end."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.exceptions import Interrupted, MMLMisconfigurationException, RunLockedError
from mml.core.scripts.run_course import RunCourse
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.runs import read_run
from tests.support.inbox import Inbox, inbox_server
from tests.support.toy_scheduler import Toy, only_run, start_child, toy_config

WAIT = 60


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with inbox_server() as served:
        yield served


def run(root: Path, inbox: Inbox, **changes: Any) -> Any:
    return Toy(toy_config(root, notify={"urls": [inbox.url]}, **changes)).run()


def test_start_and_end_are_told(tmp_path: Path, inbox: Inbox) -> None:
    run(tmp_path, inbox, mode__n=1)
    name = only_run(tmp_path).name
    first, last = inbox.all()
    facts = [f"run: {name}", "project: default"]
    assert first == ("info", f"mml run {name} started", [*facts, "state: started", "step: 0 of 1 done"])
    assert (last.kind, last.title) == ("success", f"mml run {name} finished")
    assert last.lines[:4] == [*facts, "state: finished", "step: 1 of 1 done"]
    assert last.lines[4].startswith("value: {'steps': [[0, 0.")


def test_failure_is_told_with_what_continues(tmp_path: Path, inbox: Inbox) -> None:
    with pytest.raises(ValueError, match="boom"):
        run(tmp_path, inbox, mode__trap="begin1:error")
    name = only_run(tmp_path).name
    _, last = inbox.all()
    assert (last.kind, last.title) == ("failure", f"mml run {name} failed")
    assert last.lines[3] == "step: 2 of 3, work(1)"
    assert last.lines[-2:] == ["error: ValueError: boom", f"continue: mml continue {name}"]


def test_failures_that_the_run_went_on_after_are_told_once(tmp_path: Path, inbox: Inbox) -> None:
    with pytest.raises(Exception, match="1 of 3 steps failed, 2 were skipped"):
        run(tmp_path, inbox, mode__trap="begin0:error", on_error="continue", retries=1, retry_pause=0)
    _, last = inbox.all()
    assert last.lines[3:5] == ["step: 0 of 3 done", "error: 1 of 3 steps failed, 2 were skipped; all others are done."]


def test_interruption_and_going_on_are_told(tmp_path: Path, inbox: Inbox) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, inbox, mode__trap="end2:SIGTERM")
    assert [received.kind for received in inbox.all()] == ["info", "warning"]
    run(tmp_path, inbox, **{"continue": only_run(tmp_path).name})
    first, last = inbox.all()
    assert first.title.endswith("goes on")
    assert first.lines[3] == "step: 2 of 3 done"
    assert last.kind == "success"


def test_only_what_is_wanted_is_told(tmp_path: Path, inbox: Inbox) -> None:
    Toy(toy_config(tmp_path, notify={"urls": [inbox.url], "on": ["failure"]})).run()
    assert inbox.all() == []


def test_killed_run_is_told_by_what_it_left_behind(tmp_path: Path, inbox: Inbox) -> None:
    with start_child(toy_config(tmp_path, notify={"urls": [inbox.url]}, mode__trap="begin1:SIGKILL")) as child:
        assert child.wait(WAIT) == -signal.SIGKILL
    assert inbox.next().kind == "info"
    last = inbox.next()
    assert (last.kind, last.title) == ("failure", f"mml run {only_run(tmp_path).name} crashed")
    assert last.lines[-1].startswith("continue: mml continue ")


def test_signal_when_all_is_done_is_told_as_the_end(
    tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = RunCourse._finish

    def finish_and_be_stopped(course: RunCourse, value: Any) -> None:
        finish(course, value)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RunCourse, "_finish", finish_and_be_stopped)
    with pytest.raises(Interrupted):
        run(tmp_path, inbox, mode__n=1)
    assert [received.kind for received in inbox.all()] == ["info", "success"]


def test_service_that_fails_fails_no_run(tmp_path: Path, inbox: Inbox) -> None:
    inbox.status = 500
    assert run(tmp_path, inbox)["steps"]
    assert "Notification 'start' could not be sent to URL 1" in (only_run(tmp_path) / "exp.log").read_text()


def test_message_that_can_not_be_made_fails_no_run(
    tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: RunCourse) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(RunCourse, "where", fail)
    assert run(tmp_path, inbox)["steps"]
    assert "A notification can't be made: ZeroDivisionError" in (only_run(tmp_path) / "exp.log").read_text()


def test_run_that_is_refused_is_not_told(tmp_path: Path, inbox: Inbox) -> None:
    with pytest.raises(ValueError, match="boom"):
        Toy(toy_config(tmp_path, mode__trap="begin1:error")).run()
    name = only_run(tmp_path).name
    with RunLock(only_run(tmp_path)), pytest.raises(RunLockedError):
        run(tmp_path, inbox, **{"continue": name})
    assert inbox.all() == []
    assert read_run(only_run(tmp_path)).state == "failed"


def test_notifications_that_can_not_be_sent_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match="Entry 1 of notify.urls"):
        Toy(toy_config(tmp_path, notify={"urls": ["jsn://host"]})).run()
    assert not (tmp_path / "results").exists()


def test_nothing_that_a_run_writes_holds_a_secret(
    tmp_path: Path, inbox: Inbox, capfd: pytest.CaptureFixture[str]
) -> None:
    inbox.status = 500
    with pytest.raises(ValueError, match="boom"):
        run(tmp_path, inbox, mode__trap="begin1:error", logging__level="DEBUG")
    written = [path.read_text() for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert not [text for text in [*written, *capfd.readouterr()] if "secret" in text]
