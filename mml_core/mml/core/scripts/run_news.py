"""RunNews: tells people of the start and the end of a run."""

import logging
from collections.abc import Callable
from pathlib import Path

from mml.core.scripts import notify_messages as messages
from mml.core.scripts.notify import Notifier
from mml.core.scripts.notify_messages import Message, RunFacts
from mml.core.scripts.run_course import RunCourse
from mml.core.scripts.run_steps import Scheduler

logger = logging.getLogger(__name__)


class RunNews:
    """Makes the messages of a run, and has them sent; whatever goes wrong with them is logged, and no more.

    Args:
        scheduler: whose run it is.
        course: that of the run.
        notifier: sends messages.
    """

    def __init__(self, scheduler: Scheduler, course: RunCourse, notifier: Notifier) -> None:
        self._scheduler = scheduler
        self._course = course
        self._notifier = notifier

    def started(self, command: str, log: Path) -> None:
        """Tell that the run starts, and prepare what is told if its process vanishes."""
        self._notifier.begin(log)
        self._send(lambda: messages.started(self._facts(command), self._scheduler.continue_status))
        self._send(lambda: messages.killed(self._facts(command)._replace(step="")), last=True)

    def finished(self) -> None:
        """Tell that the run is finished."""
        self._send(lambda: messages.finished(self._facts("")))

    def ended(self, error: BaseException, command: str) -> None:
        """Tell that an error or a signal ended the run."""
        self._send(lambda: messages.ended(self._facts(command), error))

    def _send(self, make: Callable[[], Message], *, last: bool = False) -> None:
        if not self._notifier.active:
            return
        try:
            self._notifier.send(make(), last=last)
        except Exception as error:  # noqa: BLE001 # news are never worth a run
            logger.warning("A notification can't be made: %s: %s", type(error).__name__, error)

    def _facts(self, command: str) -> RunFacts:
        scheduler = self._scheduler
        where, value = self._course.where(), scheduler.return_value
        return RunFacts(self._course.folder.name, str(scheduler.cfg.proj), command, where, value)
