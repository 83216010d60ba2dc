import errno
import os
import signal
from pathlib import Path

import pytest

from mml.core.scripts.exceptions import (
    ContinueError,
    Interrupted,
    MMLError,
    MMLMisconfigurationException,
    RunLockedError,
)
from mml.outcome import describe, exit_code, report_error


def failed(error: BaseException, **attributes: object) -> BaseException:
    """Return an error that was really raised, with attributes."""
    for name, value in attributes.items():
        setattr(error, name, value)
    try:
        throw(error)
    except BaseException as raised:  # noqa: BLE001 - also those that end a process
        return raised
    raise AssertionError


def throw(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MMLMisconfigurationException("x"), 2),
        (ContinueError("x"), 2),
        (RunLockedError("x"), 2),
        (MMLError("x"), 1),
        (ValueError("x"), 1),
        (KeyboardInterrupt(), 130),
        (Interrupted(signal.SIGINT), 130),
        (Interrupted(signal.SIGTERM), 143),
    ],
)
def test_the_exit_code_says_who_has_to_act(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_a_step_that_fails_is_a_failure_even_when_its_error_speaks_of_wrong_usage() -> None:
    assert exit_code(failed(MMLMisconfigurationException("x"), continue_command="mml continue r")) == 1
    assert exit_code(failed(RunLockedError("x"), continue_command="mml continue r")) == 2


def test_the_last_line_is_the_command_that_continues(capsys: pytest.CaptureFixture[str]) -> None:
    error = failed(ValueError("boom"), continue_command="mml continue r", traceback_file=Path("/r/errors/1.txt"))
    assert report_error(error) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "Error: ValueError: boom",
        "The traceback is in /r/errors/1.txt",
        "Continue with:",
        "mml continue r",
    ]


def test_an_interrupted_run_names_the_signal_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    report_error(failed(Interrupted(signal.SIGTERM), continue_command="mml continue r"))
    assert capsys.readouterr().err.splitlines() == ["Interrupted (SIGTERM).", "Continue with:", "mml continue r"]


def test_an_error_that_no_run_recorded_brings_its_traceback() -> None:
    text = describe(failed(ZeroDivisionError("a bug")))
    assert text.startswith("Traceback")
    assert text.endswith("ZeroDivisionError: a bug")


def test_an_error_of_mml_has_no_traceback_but_its_notes() -> None:
    error = MMLError("what, and the fix.")
    error.add_note("more of it")
    assert describe(failed(error)) == "Error: what, and the fix.\nmore of it"
    assert describe(KeyboardInterrupt()) == "Interrupted (SIGINT)."


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "Error: No space left on device (/r/x). Make room: mml clean shows"),
        (errno.EFBIG, "Error: File too large (/r/x). Raise the limit"),
        (errno.EROFS, "Error: Read-only file system (/r/x). Mount the disk writable, or choose another folder"),
        (errno.EIO, "Error: Input/output error (/r/x). The disk, or the way to it, is broken"),
        (errno.EMFILE, "Error: Too many open files (/r/x). Too many files are open: raise the limit with ulimit -n"),
    ],
)
def test_an_error_of_the_disk_is_told_with_a_way_out_and_no_traceback(number: int, said: str) -> None:
    text = describe(failed(OSError(number, os.strerror(number), "/r/x")))
    assert text.startswith(said)
    assert "Traceback" not in text
    assert describe(OSError(number, os.strerror(number))).startswith(said.partition(" (")[0])


def test_another_error_of_the_system_brings_its_traceback() -> None:
    assert "Traceback" in describe(failed(OSError(errno.ENOTCONN, "Not connected")))
