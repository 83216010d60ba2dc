"""What notifications say."""

import signal

import pytest

from mml.core.scripts.exceptions import Interrupted, MMLError, StepAccount, StepsFailedError
from mml.core.scripts.notify_messages import Message, RunFacts, ended, finished, killed, started

FACTS = RunFacts("a_run", "mine", "mml continue a_run", "2 of 5, work(1)", 0.5)


def test_start_says_which_run() -> None:
    message = started(FACTS._replace(step="0 of 5 done", value=None), continued=False)
    lines = "run: a_run\nproject: mine\nstate: started\nstep: 0 of 5 done"
    assert message == Message("start", "mml run a_run started", lines)


def test_continued_run_says_so() -> None:
    assert started(FACTS, continued=True).title == "mml run a_run goes on"


def test_end_has_the_return_value() -> None:
    assert finished(FACTS).body.splitlines()[2:] == ["state: finished", "step: 2 of 5, work(1)", "value: 0.5"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("boom\nand more"), "ValueError: boom"),
        (ValueError(), "ValueError"),
        (MMLError(" \n"), "MMLError"),
        (RuntimeError("x" * 1000), "RuntimeError: " + "x" * 283 + "..."),
        (StepsFailedError(3, [StepAccount("step 1", "failed", "no")]), "1 of 3 steps failed; all others are done."),
    ],
    ids=["two lines", "empty", "blank", "long", "steps"],
)
def test_failure_has_the_first_line_of_the_error_and_the_command_that_continues(error: Exception, line: str) -> None:
    message = ended(FACTS, error)
    assert (message.event, message.title) == ("failure", "mml run a_run failed")
    assert message.body.splitlines()[-2:] == [f"error: {line}", "continue: mml continue a_run"]


@pytest.mark.parametrize(("error", "name"), [(Interrupted(signal.SIGTERM), "SIGTERM"), (KeyboardInterrupt(), "SIGINT")])
def test_interruption_has_the_signal(error: BaseException, name: str) -> None:
    message = ended(FACTS, error)
    assert (message.event, message.title) == ("interrupt", "mml run a_run interrupted")
    assert message.body.splitlines()[-2] == f"error: {name}"


def test_run_that_vanished_is_told_as_a_failure() -> None:
    message = killed(FACTS)
    assert (message.event, message.title) == ("failure", "mml run a_run crashed")
    assert message.body.endswith("continue: mml continue a_run")


def test_long_value_is_cut() -> None:
    assert finished(FACTS._replace(value=["x"] * 1000)).body.endswith("...")
