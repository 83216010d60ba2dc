"""Why a run, or a step of it, came to an end."""

import signal
from pathlib import Path

import pytest

from mml.core.scripts.exceptions import Interrupted, MMLError, StepAccount, StepsFailedError
from mml.core.scripts.journal import Failed, Stopped, decode_line, encode_line
from mml.core.scripts.run_failure import ended, failure


def throw(error: BaseException, cause: BaseException | None = None) -> None:
    raise error from cause


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """Return an error with a traceback."""
    with pytest.raises(type(error)) as caught:
        throw(error, cause)
    return caught.value


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
        (RuntimeError(), "RuntimeError"),
        (MMLError(), "MMLError"),
        (OSError("caf\udce9"), "OSError: caf\\udce9"),
    ],
    ids=["own", "key", "empty", "own, empty", "no unicode"],
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


@pytest.mark.parametrize(("error", "name"), [(Interrupted(signal.SIGTERM), "SIGTERM"), (KeyboardInterrupt(), "SIGINT")])
def test_interruption_has_a_signal_and_no_traceback(tmp_path: Path, error: BaseException, name: str) -> None:
    event = ended(error, 4, tmp_path)
    assert isinstance(event, Stopped)
    assert (event.step, event.signal) == (4, name)
    assert list(tmp_path.iterdir()) == []


def test_failures_that_a_run_went_on_after_are_counted_once_more_at_its_end(tmp_path: Path) -> None:
    accounts = [StepAccount("step 1, act(0)", "failed", "no"), StepAccount("step 2, act(1)", "skipped", "needs it")]
    event = ended(StepsFailedError(3, accounts), None, tmp_path)
    assert isinstance(event, Failed)
    assert (event.step, event.error) == (None, "1 of 3 steps failed, 1 was skipped; all others are done.")
    assert list(tmp_path.iterdir()) == []


def test_failures_within_one_second_have_files_of_their_own(tmp_path: Path) -> None:
    files = {failure(raised(ValueError(str(number))), 0, tmp_path).traceback for number in range(5)}
    assert len(files) == 5
    assert {(tmp_path / file).read_text()[-2] for file in files} == set("01234")


def test_failure_says_which_attempt_it_was_and_whether_the_run_goes_on(tmp_path: Path) -> None:
    event = failure(raised(ValueError("boom")), 0, tmp_path, attempt=2, goes_on=True)
    assert (event.attempt, event.goes_on) == (2, True)


def test_failure_whose_traceback_can_not_be_written_is_recorded_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "errors").write_text("not a folder")
    event = failure(raised(ValueError("boom")), 0, tmp_path)
    assert (event.error, event.traceback) == ("ValueError: boom", "")
    assert "The traceback could not be written" in caplog.text
