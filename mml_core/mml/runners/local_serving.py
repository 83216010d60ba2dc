"""The work of a worker process: it makes its worker, then does attempts until the driver has no more."""

import pickle
from collections.abc import Callable
from contextlib import suppress

import msgspec

from mml.core.scripts.exceptions import Interrupted
from mml.core.scripts.signals import SignalGuard, guarded_signals
from mml.runners.base import Report, Work, Worker, WorkerSetup
from mml.runners.hosting import see_modules
from mml.runners.local_frames import Ends, read_frame, send_frame
from mml.runners.transport import decode_work, encode, failed_report

READY = b""  # the first message of a worker that can do work
_FAULTS = (Exception, SystemExit, KeyboardInterrupt, Interrupted)


class Hello(msgspec.Struct, frozen=True):
    """What a worker process has to know to begin.

    Attributes:
        setup: of the run.
        maker: what makes the worker, pickled by its name.
        name: of the worker.
    """

    setup: WorkerSetup
    maker: bytes
    name: str

    def worker(self) -> Worker:
        """Make the worker; whatever the driver has imported can be imported now."""
        see_modules(self.setup)
        maker: Callable[[WorkerSetup, str], Worker] = pickle.loads(self.maker)
        return maker(self.setup, self.name)


def serve(ends: Ends) -> int:
    """Do what the driver sends until it sends no more.

    Args:
        ends: to read from the driver and to write to it.

    Returns:
        The exit code; minus a signal that came when there was no attempt to end with it.
    """
    try:
        with guarded_signals() as guard:
            return _Session(ends, guard).run()
    except Interrupted as stopped:
        return -stopped.signum
    except OSError:
        return 1  # the driver is gone


class _Session:
    """Talks with the driver, one message after the other; no signal tears what it says.

    Args:
        ends: to read from the driver and to write to it.
        guard: holds signals back; once one came, there is no other attempt.
    """

    def __init__(self, ends: Ends, guard: SignalGuard) -> None:
        self._ends = ends
        self._guard = guard
        self._name = ""

    def run(self) -> int:
        """Return the exit code."""
        if (data := read_frame(self._ends.reader)) is None:
            return 0
        hello = msgspec.msgpack.decode(data, type=Hello)
        self._name = hello.name
        try:
            worker = hello.worker()
        except _FAULTS as error:
            return self._refuse(error)
        self._send(READY)
        try:
            while self._guard.seen is None and (data := read_frame(self._ends.reader)) is not None:
                work = decode_work(data)
                self._answer(work, self._attempt(worker, work))
        finally:
            with suppress(Interrupted):
                worker.close()
        return 0

    def _refuse(self, error: BaseException) -> int:
        """Say of the attempt that waits why no worker could be made for it."""
        if (data := read_frame(self._ends.reader)) is not None:
            work, misfit = decode_work(data), not isinstance(error, Interrupted)
            self._answer(work, failed_report(work, error, self._name, misfit=misfit))
        return 1

    def _attempt(self, worker: Worker, work: Work) -> Report:
        try:
            return worker.execute(work)
        except _FAULTS as error:
            return failed_report(work, error, self._name)

    def _answer(self, work: Work, report: Report) -> None:
        try:
            data = encode(report)
        except Exception as error:  # noqa: BLE001 - what a step returned can't be sent, for whatever reason
            data = encode(failed_report(work, error, self._name))
        self._send(data)

    def _send(self, data: bytes) -> None:
        with suppress(Interrupted), self._guard.deferred():
            send_frame(self._ends.writer, data)
