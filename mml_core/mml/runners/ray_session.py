"""What does attempts in a worker process of Ray: it makes the worker of the run once, and keeps it."""

import pickle
import signal
from collections.abc import Callable

import msgspec

from mml.core.scripts.exceptions import Interrupted
from mml.core.scripts.signals import guarded_signals
from mml.runners.base import Report, Work, Worker, WorkerSetup
from mml.runners.hosting import see_modules
from mml.runners.transport import decode_work, encode, failed_report

_FAULTS = (Exception, SystemExit, KeyboardInterrupt, Interrupted)


class Hello(msgspec.Struct, frozen=True):
    """What a worker process has to know to begin.

    Attributes:
        setup: of the run.
        maker: what makes the worker, pickled by its name.
    """

    setup: WorkerSetup
    maker: bytes


class Session:
    """Does attempts, one after the other, in the main thread of a process.

    Ray's own handlers of signals are in place between attempts, and those of mml during one, but for SIGUSR1, by which
    the driver stops workers.

    Args:
        hello: a `Hello` as bytes.
        name: of the worker.
    """

    def __init__(self, hello: bytes, name: str) -> None:
        self._hello = msgspec.msgpack.decode(hello, type=Hello)
        self._name = name
        self._worker: Worker | None = None
        self._stopped: Interrupted | None = None
        self._before = signal.signal(signal.SIGUSR1, self._note_stop)

    def execute(self, data: bytes) -> bytes:
        """Make an attempt and return its report; once a signal came, every attempt ends with it."""
        work = decode_work(data)
        if self._stopped is not None:
            return encode(failed_report(work, self._stopped, self._name))
        report = self._report(work)
        try:
            return encode(report)
        except Exception as error:  # noqa: BLE001 - what a step returned can't be sent, for whatever reason
            return encode(failed_report(work, error, self._name))

    def close(self) -> None:
        """End the worker."""
        signal.signal(signal.SIGUSR1, self._before)
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _note_stop(self, signum: int, _: object) -> None:
        self._stopped = Interrupted(signum)

    def _report(self, work: Work) -> Report:
        try:
            with guarded_signals() as guard:
                report = self._attempt(work)
        except Interrupted as error:
            report = failed_report(work, error, self._name)
        if guard.seen is not None:
            self._stopped = Interrupted(guard.seen)
        return report

    def _attempt(self, work: Work) -> Report:
        if self._worker is None:
            try:
                self._worker = self._make()
            except _FAULTS as error:
                return failed_report(work, error, self._name, misfit=not isinstance(error, Interrupted))
        try:
            return self._worker.execute(work)
        except _FAULTS as error:
            return failed_report(work, error, self._name)

    def _make(self) -> Worker:
        """Make the worker; whatever the driver has imported can be imported now."""
        see_modules(self._hello.setup)
        maker: Callable[[WorkerSetup, str], Worker] = pickle.loads(self._hello.maker)
        return maker(self._hello.setup, self._name)
