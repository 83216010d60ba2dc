"""What a process writes into the journal about itself."""

import os
import signal
import socket
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from mml.core.scripts import run_account
from mml.core.scripts.exceptions import Interrupted, MMLError
from mml.core.scripts.journal import Failed, Stopped, decode_line, encode_line
from mml.core.scripts.run_account import ended, opened


def throw(error: BaseException, cause: BaseException | None = None) -> None:
    raise error from cause


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """Return an error with a traceback."""
    with pytest.raises(type(error)) as caught:
        throw(error, cause)
    return caught.value


def test_opening_names_process_machine_command_and_versions() -> None:
    event = opened("train", ["a"])
    assert (event.pid, event.host, event.command) == (os.getpid(), socket.gethostname(), sys.argv)
    assert (event.mode, event.tasks) == ("train", ["a"])
    assert event.versions["mml-core"] == version("mml-core")


def test_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_account, "_RECORDED_PACKAGES", ("mml-core", "there-is-no-such-package"))
    assert list(opened("", []).versions) == ["mml-core"]


def test_opening_can_be_journaled_whatever_the_command_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mml", "mode.source=caf\udce9"])
    assert decode_line(encode_line(opened("", []))[:-1]).command == ["mml", "mode.source=caf\\udce9"]  # type: ignore[union-attr]


@pytest.mark.parametrize(("step", "name"), [(0, "step_0001_"), (11, "step_0012_"), (None, "hook_")])
def test_failure_has_its_traceback_in_a_file(tmp_path: Path, step: int | None, name: str) -> None:
    error = raised(ValueError("boom"))
    event = ended(error, step, tmp_path)
    assert isinstance(event, Failed)
    assert (event.step, event.error) == (step, "ValueError: boom")
    file = tmp_path / event.traceback
    assert file.parent == tmp_path / "errors"
    assert file.name.startswith(name)
    assert "in throw\n" in file.read_text()
    assert error.traceback_file == file  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MMLError("Two\nlines."), "Two lines."),
        (KeyError("x"), "KeyError: 'x'"),
        (RuntimeError(), "RuntimeError: "),
        (OSError("caf\udce9"), "OSError: caf\\udce9"),
    ],
    ids=["own", "key", "empty", "no unicode"],
)
def test_failure_is_told_in_one_line_that_can_be_journaled(tmp_path: Path, error: Exception, text: str) -> None:
    event = ended(raised(error), 0, tmp_path)
    assert isinstance(event, Failed)
    assert event.error == text
    assert decode_line(encode_line(event)[:-1]) == event


def test_failure_with_a_cause_tells_both(tmp_path: Path) -> None:
    event = ended(raised(ValueError("outer"), KeyError("inner")), 0, tmp_path)
    assert isinstance(event, Failed)
    text = (tmp_path / event.traceback).read_text()
    assert "KeyError: 'inner'" in text
    assert "The above exception was the direct cause" in text


def test_interruption_has_a_signal_and_no_traceback(tmp_path: Path) -> None:
    event = ended(Interrupted(signal.SIGTERM), 4, tmp_path)
    assert isinstance(event, Stopped)
    assert (event.step, event.signal) == (4, "SIGTERM")
    assert list(tmp_path.iterdir()) == []
