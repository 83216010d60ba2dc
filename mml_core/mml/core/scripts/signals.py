"""Signals: SIGINT and SIGTERM become `Interrupted`, raised where nothing is half-written."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mml.core.scripts.exceptions import Interrupted

HANDLED = (signal.SIGINT, signal.SIGTERM)


class SignalGuard:
    """Turns signals into `Interrupted`; inside `deferred()` they wait until the block ends.

    A second SIGINT ends the process at once, for users who can't wait for a step to let go.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._depth = 0
        self._pending: int | None = None
        self._seen = False

    def handle(self, signum: int, _frame: FrameType | None) -> None:
        """Be the handler of a signal."""
        if os.getpid() != self._pid:
            # A forked child, e.g. of a data loader, has inherited this handler, but not the run: it dies as usual.
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
            return
        if self._seen and signum == signal.SIGINT:
            os._exit(128 + signum)
        self._seen = True
        if self._depth:
            self._pending = signum
            return
        raise Interrupted(signum)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a signal wait until the block ends, so that a record is written whole."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self._pending is not None and not self._depth:
            signum, self._pending = self._pending, None
            raise Interrupted(signum)


@contextmanager
def guarded_signals() -> Iterator[SignalGuard]:
    """Install a guard for the block; outside of the main thread, where Python has no handlers, it does nothing."""
    guard = SignalGuard()
    if threading.current_thread() is not threading.main_thread():
        yield guard
        return
    before = {signum: signal.signal(signum, guard.handle) for signum in HANDLED}
    try:
        yield guard
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
