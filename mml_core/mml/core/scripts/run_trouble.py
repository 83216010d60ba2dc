"""What a run does about steps that fail, as its policy says: it records them, tries them again, or goes on without."""

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mml.core.scripts.exceptions import StepAccount, WorkerLostError
from mml.core.scripts.journal import Failed, Skipped
from mml.core.scripts.run_book import RunBook
from mml.core.scripts.run_failure import failure
from mml.core.scripts.run_policy import RunPolicy, fails_a_step
from mml.core.scripts.schedule import Step
from mml.report.tables import count_text, seconds_text

logger = logging.getLogger(__name__)


class Trouble:
    """Keeps account of the steps that fail.

    Args:
        book: where they are recorded.
        policy: what to do about them.
        undo: removes what the last attempt at a step left.

    Attributes:
        missing: position -> what became of a step that is not done.
    """

    def __init__(self, book: RunBook, policy: RunPolicy, undo: Callable[[Step], None]) -> None:
        self._book, self._policy, self._remove = book, policy, undo
        self.missing: dict[int, StepAccount] = {}
        # By kind of trouble: whether the worker was lost.
        self._counts: dict[bool, Counter[int]] = {False: Counter(), True: Counter()}

    def skip(self, step: Step, needed: int) -> None:
        """Record that a step is not tried, because it needs one that is missing."""
        other = self.missing[needed]
        reason = f"needs {other.step}, which {'was skipped' if other.skipped else 'failed'}"
        self.missing[step.position] = StepAccount(str(step), "skipped", reason)
        self._book.append(Skipped(time=time.time(), step=step.position, needs=needed))
        logger.warning("%s is skipped: it %s.", step, reason)

    def fail(self, step: Step, error: BaseException, attempt: int) -> float | None:
        """Record that an attempt at a step failed.

        Args:
            step: which one.
            error: of the attempt.
            attempt: its number, from 1.

        Returns:
            The seconds until the step is tried again; None when the run goes on without it.

        Raises:
            BaseException: the error, when it ends the run.
            OSError: the journal can't be written.
            Interrupted: a signal came before.
        """
        count = self._count(step, error)
        if self._ends_run(error, count):
            self._book.step, self._book.attempt = step.position, attempt
            raise error
        again = self._policy.tries_again(error, count)
        with self._book.guard.deferred():
            failed = failure(error, step.position, self._book.folder, attempt=attempt, goes_on=True)
            self._book.append(failed)
            self._remove(step)
            if not again:
                self.missing[step.position] = self._account(step, failed)
                self._book.step = None
        self._tell(step, failed, self._outlook(error, count) if again else "")
        _let_go(error)
        return self._policy.pause_after(count) if again else None

    def refuse_fault(self) -> None:
        """Make sure that the journal could be written, whatever a step made of it if not.

        Raises:
            OSError: it could not.
        """
        if self._book.fault is not None:
            raise self._book.fault

    def _count(self, step: Step, error: BaseException) -> int:
        counts = self._counts[isinstance(error, WorkerLostError)]
        counts[step.position] += 1
        return counts[step.position]

    def _ends_run(self, error: BaseException, count: int) -> bool:
        """Tell whether an error ends the run.

        Raises:
            OSError: the journal could not be written.
            Interrupted: a signal came before; what a step does then, or a process that it uses, is no failure.
        """
        self.refuse_fault()
        self._book.guard.check()
        survives = self._policy.goes_on or self._policy.tries_again(error, count)
        return not (survives and fails_a_step(error))

    def _account(self, step: Step, failed: Failed) -> StepAccount:
        what = "failed" if failed.attempt == 1 else f"failed {failed.attempt} times"
        return StepAccount(str(step), what, failed.error, self._trace(failed))

    def _trace(self, failed: Failed) -> Path | None:
        return self._book.folder / failed.traceback if failed.traceback else None

    def _outlook(self, error: BaseException, count: int) -> str:
        left = count_text(self._policy.retries_after(error) - count + 1, "more attempt")
        return f"It is tried again in {seconds_text(self._policy.pause_after(count))}, with {left}."

    def _tell(self, step: Step, failed: Failed, outlook: str) -> None:
        then = outlook or "The run goes on with the steps that do not need it."
        trace = self._trace(failed)
        where = f" The traceback is in {trace}" if trace else ""
        logger.error("%s failed: %s\n%s%s", step, failed.error, then, where)


def _let_go(error: BaseException | None) -> None:
    """Free what the frames of an error hold, such as a model on a GPU, for the steps that follow."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
