"""Checks and their verdicts: whatever happens inside a check becomes a line of the table, never the end of it."""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Level(StrEnum):
    """How bad it is: a problem keeps something from working, a warning may do so one day, or costs time."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Verdict(NamedTuple):
    """What a check found.

    Attributes:
        level: how bad it is.
        what: one sentence with the figures.
        fix: the command or setting that mends it, empty when nothing is to be done.
    """

    level: Level
    what: str
    fix: str = ""


class Settings(NamedTuple):
    """What the config says that checks have to know.

    Attributes:
        data: folder of the data, None where the settings name none.
        results: folder of the results, None where the settings name none.
        allow_gpu: whether trainings may use a GPU.
        fault: why the config can't be composed, empty if it can.
    """

    data: Path | None
    results: Path | None
    allow_gpu: bool = True
    fault: str = ""


class Check(NamedTuple):
    """One line of the table.

    Attributes:
        group: heading that the check belongs under.
        name: what is checked.
        run: finds out.
    """

    group: str
    name: str
    run: Callable[[Settings], Verdict]


class Finding(NamedTuple):
    """A check and its verdict, as `--json` prints them."""

    group: str
    check: str
    level: Level
    what: str
    fix: str


def ok(what: str) -> Verdict:
    """Return the verdict that all is well."""
    return Verdict(Level.OK, what)


def warning(what: str, fix: str) -> Verdict:
    """Return the verdict that something may go wrong, or takes longer than it has to."""
    return Verdict(Level.WARNING, what, fix)


def problem(what: str, fix: str) -> Verdict:
    """Return the verdict that something does not work."""
    return Verdict(Level.PROBLEM, what, fix)


def run_checks(checks: Iterable[Check], settings: Settings) -> Iterator[Finding]:
    """Yield what each check found; one that fails is a finding itself."""
    for check in checks:
        yield Finding(check.group, check.name, *_outcome(check, settings))


def _outcome(check: Check, settings: Settings) -> Verdict:
    try:
        return check.run(settings)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a check that breaks must not hide the others
        return problem(
            f"the check itself failed: {reason(error)}", "look at this part by hand, and report the line to mml"
        )


def reason(error: BaseException) -> str:
    """Return kind and first line of an error."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
