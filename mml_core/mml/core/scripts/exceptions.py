"""Every error that mml raises on purpose.

- MMLError
    - MMLMisconfigurationException   what the user asked for can't be done as asked (exit code 2)
        - UnknownNameError           a name that is not among the known ones
        - PlanError                  a plan that can't be journaled or does not fit its record
        - ContinueError              a run that can't be continued as asked
        - PathTemplateError          a path template that can't be used
        - ReuseError                 a reuse request that finds nothing
        - TaskNameError              a task name that can't be a folder name
    - RunLockedError                 the run belongs to a living process (exit code 2)
    - JournalError                   a journal that is damaged before its last line
    - TaskDescriptionError           a task description that can't be read
    - TaskDataError                  images or labels that can't become, or no longer are, a task
    - MissingWeightsError            pretrained weights that are not on this machine
    - StepsFailedError               steps of a run failed; all that do not need them are done
    - RunnerError                    the engine that steps run on is lost
    - WorkerLostError                the process or machine that a step ran on died
    - WorkerStepError                an error of a step on another machine, whose class is not known here
    - AttemptRevokedError            an attempt at a step was given up, and may not write any more
- Interrupted (a BaseException)      the run was asked to stop by a signal
"""

import signal
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mml.core.scripts.utils import did_you_mean


class MMLError(Exception):
    """Base of all errors that mml raises on purpose; its text is written for the user."""


class MMLMisconfigurationException(MMLError):
    """What the user asked for can't be done as asked; the text names the value, the choices and the fix."""


class UnknownNameError(MMLMisconfigurationException):
    """A name that is not among the known ones.

    Args:
        name: the name as given.
        kind: what the name stands for, e.g. `"task"`.
        known: all names that would have been understood.
        fix: a closing sentence that says what to do next.
    """

    def __init__(self, name: str, *, kind: str, known: Iterable[str], fix: str = "") -> None:
        known = sorted(known)
        parts = [f"Unknown {kind} '{name}'.", did_you_mean(name, known), fix]
        super().__init__(" ".join(part for part in parts if part))
        self.kind, self.name, self.known, self.fix = kind, name, known, fix

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        """Let the error travel between processes, although it is made by keywords."""
        return partial(UnknownNameError, kind=self.kind, known=self.known, fix=self.fix), (self.name,)


class PlanError(MMLMisconfigurationException):
    """A plan that can't be journaled, or that does not fit the record of its run."""


class ContinueError(MMLMisconfigurationException):
    """A run that can't be continued as asked; the run itself was not touched."""


class PathTemplateError(MMLMisconfigurationException):
    """A path template, or a request for a path, that can't be used."""


class ReuseError(MMLMisconfigurationException):
    """A reuse request that finds no file."""


class TaskNameError(MMLMisconfigurationException):
    """A task name that can't be a folder name."""


class RunLockedError(MMLError):
    """The run folder belongs to a living process."""


class JournalError(MMLError):
    """A journal that is damaged before its last line."""


class TaskDescriptionError(MMLError):
    """A task description that can't be read; the text names file and field."""


class TaskDataError(MMLError):
    """Images or labels that can't become, or no longer are, a task."""


class MissingWeightsError(MMLError):
    """Pretrained weights that are not on this machine and can't be fetched."""


class StepAccount(NamedTuple):
    """What became of a step that is not done.

    Attributes:
        step: its number, command and params.
        what: `failed`, `failed 3 times` or `skipped`.
        reason: the error, or which step it needs.
        traceback: the file of the traceback of the last attempt, None for a step that was skipped.
    """

    step: str
    what: str
    reason: str
    traceback: Path | None = None

    @property
    def skipped(self) -> bool:
        """Whether the step was not tried."""
        return self.what == "skipped"


class StepsFailedError(MMLError):
    """Steps of a run failed; all that do not need them are done.

    Args:
        total: steps of the whole plan.
        accounts: what became of those that are not done, in the order of the plan.
    """

    def __init__(self, total: int, accounts: Sequence[StepAccount]) -> None:
        self.total, self.accounts = total, list(accounts)
        lines = [f"  {account.step}: {account.reason}" for account in accounts if not account.skipped]
        super().__init__("\n".join([self.headline, *lines]))

    @property
    def headline(self) -> str:
        """How many steps failed and were skipped."""
        skipped = sum(account.skipped for account in self.accounts)
        more = f", {skipped} {'was' if skipped == 1 else 'were'} skipped" if skipped else ""
        return f"{len(self.accounts) - skipped} of {self.total} steps failed{more}; all others are done."

    def __reduce__(self) -> tuple[Any, tuple[int, list[StepAccount]]]:
        """Let the error travel between processes, although its text is made of its parts."""
        return StepsFailedError, (self.total, self.accounts)


class RunnerError(MMLError):
    """The engine that steps run on is lost, or refuses to go on."""


class WorkerLostError(MMLError):
    """The process or machine that a step ran on died; the text says of what, with the last lines of its log."""


class WorkerStepError(MMLError):
    """An error of a step in another process, whose class can't be made here; the text says the same."""


class AttemptRevokedError(MMLError):
    """An attempt at a step was given up meanwhile: another one has its place, and it may not write any more."""


class Interrupted(BaseException):
    """The run was asked to stop by a signal.

    A `BaseException` that is no `KeyboardInterrupt`: Lightning ends the whole process at the latter.

    Args:
        signum: the number of the signal, e.g. `signal.SIGTERM`.
    """

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(signum)

    def __str__(self) -> str:
        return signal.Signals(self.signum).name

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as shells report it."""
        return 128 + self.signum
