"""The process that sends notifications, with a real service on this machine."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts import notify_helper
from tests.support.inbox import Inbox, inbox_server

MESSAGE = {"event": "start", "title": "A title", "body": "run: a\nstate: started", "type": "info"}
LAST = {**MESSAGE, "event": "failure", "title": "Last words", "type": "failure", "last": True}
END = {"end": True}


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with inbox_server() as served:
        yield served


def helper(*lines: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    command = [sys.executable, "-m", "mml.core.scripts.notify_helper"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_messages_are_sent_until_the_end(inbox: Inbox) -> None:
    done = helper({"urls": [inbox.url]}, MESSAGE, LAST, END)
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"bad": []}\n', "")
    assert inbox.all() == [("info", "A title", ["run: a", "state: started"])]


def test_last_words_are_sent_when_there_is_no_end(inbox: Inbox) -> None:
    helper({"urls": [inbox.url]}, MESSAGE, LAST)
    assert [received.title for received in inbox.all()] == ["A title", "Last words"]


def test_without_last_words_nothing_more_is_sent(inbox: Inbox) -> None:
    helper({"urls": [inbox.url]}, MESSAGE)
    assert [received.title for received in inbox.all()] == ["A title"]


def test_url_that_no_service_has_is_answered_by_its_number(inbox: Inbox) -> None:
    done = helper({"urls": [inbox.url, "jsn://host", "json://", "mailto://x"]}, END)
    assert json.loads(done.stdout) == {"bad": [1, 2, 3]}


def test_what_can_not_be_sent_is_logged_without_the_url_and_others_are_sent(inbox: Inbox, tmp_path: Path) -> None:
    log = tmp_path / "exp.log"
    log.write_text("before\n")
    inbox.status = 500
    done = helper({"urls": ["json://me:secret@127.0.0.1:9", inbox.url]}, {"log": str(log)}, MESSAGE, END)
    assert done.returncode == 0
    assert len(inbox.all()) == 1
    before, first, second = log.read_text().splitlines()
    assert before == "before"
    assert "WARNING  mml.notify: Notification 'start' could not be sent to URL 1 of notify.urls: the service" in first
    assert "to URL 2" in second
    assert "secret" not in first + second + done.stdout + done.stderr


def test_missing_log_is_no_fault() -> None:
    done = helper({"urls": ["json://127.0.0.1:9"]}, {"log": "/there/is/no/folder/exp.log"}, MESSAGE, END)
    assert (done.returncode, done.stderr) == (0, "")


def test_service_that_hangs_or_breaks_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Service:
        def __init__(self) -> None:
            self.url = ""

        def add(self, url: str) -> bool:
            if url == "broken://":
                raise ValueError(url)
            self.url = url
            return True

        def notify(self, **_: str) -> bool:
            if self.url == "hangs://":
                signal.raise_signal(signal.SIGALRM)
            raise ZeroDivisionError

    apprise = pytest.importorskip("apprise")
    monkeypatch.setattr(apprise, "Apprise", Service)
    monkeypatch.setattr(signal, "signal", _only_alarm(signal.signal))
    monkeypatch.setattr(notify_helper.logging, "disable", lambda: None)
    log, answers = tmp_path / "log", io.StringIO()
    log.touch()
    lines = [{"urls": ["hangs://", "other://", "broken://"]}, {"log": str(log)}, MESSAGE, LAST]
    text = "\n".join(json.dumps(line) for line in lines)
    assert notify_helper.main(io.StringIO(text), answers) == 0
    assert answers.getvalue() == '{"bad": [2]}\n'
    said = log.read_text()
    assert (
        said.count("URL 1 of notify.urls: TimeoutError.") == said.count("URL 2 of notify.urls: ZeroDivisionError.") == 2
    )


def _only_alarm(install: Any) -> Any:
    """Leave other handlers of this process as they are."""
    return lambda signum, handler: install(signum, handler) if signum == signal.SIGALRM else None
