"""The tree of errors is the one that its module's docstring draws."""

import inspect
import pickle
import re
import signal
from pathlib import Path

import pytest

from mml.core.scripts import exceptions
from mml.core.scripts.exceptions import (
    Interrupted,
    MMLError,
    MMLMisconfigurationException,
    StepAccount,
    StepsFailedError,
    UnknownNameError,
)

ACCOUNTS = [
    StepAccount("step 1, act(0)", "failed", "ValueError: boom", Path("/runs/a/errors/step_0001.txt")),
    StepAccount("step 2, act(1)", "skipped", "needs step 1, act(0), which failed"),
    StepAccount("step 4, act(3)", "failed 3 times", "no luck"),
]


def drawn_tree() -> dict[str, str]:
    """Return class -> parent, as the docstring draws them."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = [(-1, "Exception")]
    for line in (exceptions.__doc__ or "").splitlines():
        if match := re.match(r"( *)- (\w+)", line):
            depth = len(match[1])
            above = [item for item in above if item[0] < depth]
            parents[match[2]] = "BaseException" if "a BaseException" in line else above[-1][1]
            above.append((depth, match[2]))
    return parents


def test_docstring_draws_every_error_below_its_parent() -> None:
    defined = {
        name: kind.__mro__[1].__name__
        for name, kind in inspect.getmembers(exceptions, inspect.isclass)
        if kind.__module__ == exceptions.__name__ and issubclass(kind, BaseException)
    }
    assert drawn_tree() == defined


def test_unknown_name_is_answered_with_the_nearest_and_the_fix() -> None:
    error = UnknownNameError("digit", kind="task", known={"digits", "faces"}, fix="Create it first.")
    assert str(error) == "Unknown task 'digit'. Did you mean 'digits'? Create it first."
    assert (error.name, error.kind, error.known) == ("digit", "task", ["digits", "faces"])


def test_unknown_name_far_from_all_is_answered_with_all() -> None:
    assert str(UnknownNameError("x", kind="mode", known=["train", "info"])) == "Unknown mode 'x'. Known: info, train."


def test_unknown_name_is_a_misconfiguration() -> None:
    assert issubclass(UnknownNameError, MMLMisconfigurationException)
    assert issubclass(MMLMisconfigurationException, MMLError)


@pytest.mark.parametrize(("signum", "name", "code"), [(signal.SIGINT, "SIGINT", 130), (signal.SIGTERM, "SIGTERM", 143)])
def test_interruption_knows_its_signal_and_exit_code(signum: int, name: str, code: int) -> None:
    error = Interrupted(signum)
    assert (str(error), error.signum, error.exit_code) == (name, signum, code)


def test_interruption_passes_through_what_catches_exceptions() -> None:
    assert not issubclass(Interrupted, Exception | KeyboardInterrupt)


def test_failed_steps_are_counted_and_those_that_failed_are_named() -> None:
    error = StepsFailedError(5, ACCOUNTS)
    assert error.headline == "2 of 5 steps failed, 1 was skipped; all others are done."
    assert str(error).splitlines()[1:] == ["  step 1, act(0): ValueError: boom", "  step 4, act(3): no luck"]
    assert StepsFailedError(5, ACCOUNTS[:1]).headline == "1 of 5 steps failed; all others are done."


@pytest.mark.parametrize(
    "error",
    [
        UnknownNameError("diggits", kind="task", known=["digits"], fix="See."),
        Interrupted(signal.SIGTERM),
        StepsFailedError(5, ACCOUNTS),
    ],
    ids=["unknown name", "interrupted", "steps failed"],
)
def test_error_travels_between_processes(error: BaseException) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), str(arrived), vars(arrived)) == (type(error), str(error), vars(error))
