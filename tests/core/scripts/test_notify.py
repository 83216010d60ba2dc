"""Who is notified, and that nothing that goes wrong with it is the run's business."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from mml.core.scripts import notify
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.notify import Notifier, NotifyOptions, open_notifier, read_notify
from mml.core.scripts.notify_messages import EVENTS, Message
from tests.support.inbox import Inbox, inbox_server

START, FAILURE = Message("start", "Started", "run: a"), Message("failure", "Failed", "run: a")


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with inbox_server() as served:
        yield served


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put a script in the place of the helper."""

    def install(code: str) -> None:
        script = tmp_path / "helper"
        script.write_text(f"#!{sys.executable}\nimport json, sys, time\n{code}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    yield install
    for process in notify._LEFT:
        process.kill()
        process.wait()
    notify._LEFT.clear()


def config(**keys: Any) -> DictConfig:
    return OmegaConf.create({"notify": keys})


def test_nobody_is_notified_without_urls() -> None:
    assert read_notify(OmegaConf.create({})) == NotifyOptions([], list(EVENTS))
    with open_notifier(config(urls=[])) as notifier:
        assert not notifier.active
        notifier.send(START)


def test_one_url_needs_no_list() -> None:
    assert read_notify(config(urls="ntfy://topic", on="finish")) == NotifyOptions(["ntfy://topic"], ["finish"])


def test_unknown_event_is_refused_with_the_choices() -> None:
    with pytest.raises(UnknownNameError, match="Unknown event in notify.on 'fail'"):
        read_notify(config(urls=[], on=["fail"]))


@pytest.mark.parametrize("url", ["no url", 3, None, {"a": 1}])
def test_what_is_no_url_is_refused_by_its_number_alone(url: Any) -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"Entry 2 of notify\.urls is no URL"):
        read_notify(config(urls=["json://host", url]))


def test_missing_apprise_is_refused_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MMLMisconfigurationException, match=r'pip install "mml-core\[notify\]"'):
        read_notify(config(urls=["json://host"]))
    assert read_notify(config(urls=[])).urls == []


def test_urls_that_were_not_kept_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with open_notifier(config(urls=["not kept"])) as notifier:
        assert not notifier.active
    assert "give them again, or use MML_NOTIFY_URLS" in caplog.text


def test_wanted_messages_arrive(inbox: Inbox) -> None:
    with Notifier(NotifyOptions([inbox.url, inbox.url], ["failure"])) as notifier:
        notifier.send(START)
        notifier.send(FAILURE)
    assert inbox.all() == [("failure", "Failed", ["run: a"])] * 2


def test_nothing_starts_when_nothing_is_wanted(inbox: Inbox) -> None:
    with Notifier(NotifyOptions([inbox.url], [])) as notifier:
        assert not notifier.active


def test_url_that_apprise_does_not_know_is_refused_without_its_secret() -> None:
    with pytest.raises(MMLMisconfigurationException) as caught, Notifier(NotifyOptions(["jsn://me:secret@host"])):
        pytest.fail("has to be refused")
    assert "Entry 1 of notify.urls, which begins with 'jsn://'" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_last_words_are_for_a_process_that_is_gone(inbox: Inbox) -> None:
    if (child := os.fork()) == 0:
        with Notifier(NotifyOptions([inbox.url])) as notifier:
            notifier.send(FAILURE, last=True)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert inbox.next().title == "Failed"


def test_last_words_are_not_said_at_an_orderly_end(inbox: Inbox) -> None:
    with Notifier(NotifyOptions([inbox.url])) as notifier:
        notifier.send(FAILURE, last=True)
    assert inbox.all() == []


def test_service_that_does_not_answer_is_not_waited_for(
    inbox: Inbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_GOODBYE", 0.05)
    inbox.open.clear()
    with Notifier(NotifyOptions([inbox.url])) as notifier:
        notifier.send(START)
    assert "still on its way; the run does not wait" in caplog.text
    inbox.open.set()
    assert inbox.next().title == "Started"
    notify._LEFT.pop().wait()


def test_helper_that_does_not_start_is_no_fault_of_the_run(
    helper: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/there/is/no/python")
    with Notifier(NotifyOptions(["json://host"])) as notifier:
        notifier.send(START)
    assert "Notifications can't be sent: [Errno 2]" in caplog.text


def test_helper_that_dies_is_no_fault_of_the_run(helper: Any, caplog: pytest.LogCaptureFixture) -> None:
    helper("sys.exit(1)")
    with Notifier(NotifyOptions(["json://host"])) as notifier:
        notifier.send(START)
    assert "does not answer" in caplog.text


def test_helper_that_hangs_at_its_start_is_no_fault_of_the_run(
    helper: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_START", 0.05)
    monkeypatch.setattr(notify, "_GOODBYE", 0.05)
    helper("time.sleep(1000)")
    with Notifier(NotifyOptions(["json://host"])) as notifier:
        notifier.send(START)
    assert "does not answer" in caplog.text


def test_helper_that_does_not_read_never_holds_the_run_up(
    helper: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_GOODBYE", 0.05)
    helper("sys.stdin.readline()\nprint(json.dumps({'bad': []}), flush=True)\ntime.sleep(1000)")
    with caplog.at_level(logging.WARNING), Notifier(NotifyOptions(["json://host"])) as notifier:
        for _ in range(100):
            notifier.send(START._replace(body="x" * 10_000))
    assert "A notification can't be sent" in caplog.text


def test_interruption_while_the_helper_starts_leaves_no_process(helper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    helper("sys.stdin.read()")

    def be_interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(notify.select, "select", be_interrupted)
    notifier = Notifier(NotifyOptions(["json://host"]))
    with pytest.raises(KeyboardInterrupt), notifier:
        pytest.fail("has to be interrupted")
    assert notifier._process is not None
    assert notifier._process.returncode is not None
