"""The table of the steps that are not done."""

from pathlib import Path

import pytest

from mml.core.scripts.exceptions import StepAccount
from mml.report.failures import show_failures

TRACE = Path("/runs/a/errors/step_0001.txt")
FAILED = StepAccount("step 1, act('[a]')", "failed", "ValueError: boom", TRACE)
SKIPPED = StepAccount("step 2, act(1)", "skipped", "needs step 1, act('[a]'), which failed")


def test_each_step_has_a_line_with_what_happened_why_and_where_its_traceback_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_failures([FAILED, SKIPPED])
    written = capsys.readouterr()
    assert written.out == ""
    title, head, first, second = [line.split("  ") for line in written.err.splitlines()]
    assert title == ["Steps that are not done"]
    assert [cell.strip() for cell in head if cell.strip()] == ["step", "what happened", "reason", "traceback"]
    assert [cell.strip() for cell in first if cell.strip()] == [
        "1, act('[a]')",
        "failed",
        "ValueError: boom",
        str(TRACE),
    ]
    assert [cell.strip() for cell in second if cell.strip()] == ["2, act(1)", "skipped", SKIPPED.reason, "-"]


def test_of_very_many_steps_those_that_failed_are_shown_first(capsys: pytest.CaptureFixture[str]) -> None:
    last = StepAccount("step 100, act(99)", "failed", "at last", TRACE)
    show_failures([FAILED, *[SKIPPED] * 98, last])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 + 50 + 1
    assert "at last" in lines[-2]
    assert lines[-1] == "... and 50 more steps"
