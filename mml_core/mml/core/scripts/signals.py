"""Signals that ask a run to stop become `Interrupted`, raised where nothing is half-written."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from mml.core.scripts.exceptions import Interrupted

# Ctrl-C; `kill`, or the end of a job; a job is about to lose its machine; the terminal is closed.
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
PREEMPTION = signal.SIGUSR1
_PATIENCE = b"\nStopping as soon as all is written down. Ctrl-C once more stops at once.\n"
_SHOW_CURSOR = b"\x1b[?25h"


# The guards of this process, the one that counts last.
_installed: "list[SignalGuard]" = []


class SignalGuard:
    """Turns signals into `Interrupted`; inside `deferred()` they wait until the block ends.

    A second SIGINT ends the process at once, for users who can't wait for a step to let go.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._depth = 0
        self._seen: int | None = None

    @property
    def own(self) -> bool:
        """Whether this process has made the guard, not one that it is a fork of."""
        return os.getpid() == self._pid

    @property
    def seen(self) -> int | None:
        """The signal that asks the run to stop, None as long as there is none."""
        return self._seen

    def handle(self, signum: int, _frame: FrameType | None) -> None:
        """Be the handler of a signal."""
        if not self.own:
            _handle_in_child(signum)
            return
        if self._seen is not None:
            # The first is on its way through the run; a second `Interrupted` would tear what it is doing.
            if signum == signal.SIGINT:
                _to_terminal(_SHOW_CURSOR)  # that a progress display has hidden
                os._exit(128 + signum)
            return
        self._seen = signum
        if signum == signal.SIGINT and self._depth:
            _to_terminal(_PATIENCE)
        self._raise_seen()

    def deferred(self) -> "_Deferred":
        """Let a signal wait until the block ends, so that a record is written whole.

        Raises:
            Interrupted: a signal came in the block, or earlier, and a step or a destructor swallowed it.
        """
        return _Deferred(self)

    def hold(self) -> None:
        """Let signals wait until `let_go`."""
        self._depth += 1

    def let_go(self, *, quietly: bool = False) -> None:
        """Let signals through again.

        Args:
            quietly: leave one that waits until the next time, because an error says more.

        Raises:
            Interrupted: one waits, and nobody else holds it.
        """
        self._depth = max(0, self._depth - 1)
        if not quietly:
            self._raise_seen()

    def release(self) -> None:
        """Let signals through again although a deferred block has not ended, because an error is leaving it.

        One that waits already stays waiting, until the next deferred block ends: the error says more.
        """
        self._depth = 0

    def check(self) -> None:
        """Let a signal through that came, wherever its first `Interrupted` went.

        Raises:
            Interrupted: one came.
        """
        if self._seen is not None:
            raise Interrupted(self._seen)

    def pause(self, seconds: float) -> None:
        """Wait; a signal ends it at once.

        Raises:
            Interrupted: one came, now or before.
        """
        self.check()
        threading.Event().wait(seconds)
        self.check()

    def _raise_seen(self) -> None:
        if self._seen is not None and not self._depth:
            raise Interrupted(self._seen)


class _Deferred:
    """A block in which signals wait: a generator would cost several times as much, and each step has some."""

    __slots__ = ("_guard",)

    def __init__(self, guard: SignalGuard) -> None:
        self._guard = guard

    def __enter__(self) -> None:
        self._guard.hold()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._guard.let_go(quietly=kind is not None)


@contextmanager
def guarded_signals() -> Iterator[SignalGuard]:
    """Install a guard for the block; outside of the main thread, where Python has no handlers, it does nothing.

    A block inside of another has the same guard. The end of a terminal is none of a run's business that was told to
    ignore it, as by `nohup`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield SignalGuard()
        return
    if (outer := _outer_guard()) is not None:
        yield outer
        return
    guard = SignalGuard()
    wanted = [signum for signum in HANDLED if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN]
    before = {signum: signal.signal(signum, guard.handle) for signum in wanted}
    _installed.append(guard)
    try:
        yield guard
    finally:
        _installed.remove(guard)
        for signum, handler in before.items():
            # A handler that was not installed by Python can't be put back.
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)


class signals_held_back:  # noqa: N801 - is used as a function; a generator would cost several times as much
    """Let a signal wait until the block ends, whichever guard is installed; without one, or after one, do nothing."""

    def __enter__(self) -> None:
        guard = _installed[-1] if _installed else None
        held = guard is not None and guard.seen is None and guard.own
        self._guard = guard if held and threading.current_thread() is threading.main_thread() else None
        if self._guard is not None:
            self._guard.hold()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._guard is not None:
            self._guard.let_go(quietly=kind is not None)


def _outer_guard() -> SignalGuard | None:
    """Return the guard that this process has installed already."""
    installed = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return installed if isinstance(installed, SignalGuard) and installed.own else None


def _handle_in_child(signum: int) -> None:
    """Be the handler in a fork, e.g. a worker of a data loader: it has inherited the handler, but not the run."""
    if signum in (PREEMPTION, signal.SIGUSR2):  # are sent to all processes of a job, and mean the run alone
        return
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


def _to_terminal(text: bytes) -> None:
    """Write to the terminal, if standard error is one; safe in a handler, where streams may be locked."""
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, text)
