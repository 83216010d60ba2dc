"""Only a clear yes is a yes."""

import io
import os
import pty

import pytest

from mml.core.scripts.asking import answered_yes, can_answer


@pytest.mark.parametrize(
    ("typed", "yes"),
    [("y\n", True), (" YES \n", True), ("Y\n", True), ("n\n", False), ("\n", False), ("", False), ("yep\n", False)],
)
def test_only_a_clear_yes_is_one(typed: str, yes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert answered_yes("Remove? ") is yes


def test_nobody_answers_in_a_pipe_or_without_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert not can_answer()
    monkeypatch.setattr("sys.stdin", None)
    assert not can_answer()


def test_somebody_answers_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    main, child = pty.openpty()
    with os.fdopen(child) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert can_answer()
    os.close(main)
