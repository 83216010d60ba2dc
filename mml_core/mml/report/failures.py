"""What became of the steps of a run that are not done, as a table at its end."""

import sys
from collections.abc import Sequence

from mml.core.scripts.exceptions import StepAccount
from mml.report.tables import NOTHING, Column, as_table, count_text, show

_MOST = 50
_COLUMNS = (
    Column("step", lambda account: account.step.removeprefix("step "), fold=True),
    Column("what happened", lambda account: account.what, style=lambda account: "" if account.skipped else "red"),
    Column("reason", lambda account: account.reason, fold=True),
    Column("traceback", lambda account: str(account.traceback or NOTHING), fold=True),
)


def show_failures(accounts: Sequence[StepAccount]) -> None:
    """Print what became of steps that are not done on stderr; of very many the first, those that failed before others.

    Args:
        accounts: one per step, in the order of the plan.
    """
    shown = accounts
    if len(accounts) > _MOST:
        first = sorted(range(len(accounts)), key=lambda number: (accounts[number].skipped, number))[:_MOST]
        shown = [accounts[number] for number in sorted(first)]
    more = len(accounts) - len(shown)
    table = as_table("Steps that are not done", _COLUMNS, shown)
    show(table, *[f"... and {count_text(more, 'more step')}"] * bool(more), file=sys.stderr)
