"""A runner as a plugin has one: processes of `multiprocessing`, each with a pipe. The documentation shows it whole."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import ClassVar, NamedTuple

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.resources import Resources
from mml.runners.base import Report, RunSetup, Work, Worker, WorkerSetup
from mml.runners.hosting import see_modules
from mml.runners.transport import failed_report, lost_report


class Hand(NamedTuple):
    """A worker, seen from the driver."""

    name: str
    process: BaseProcess
    pipe: Connection


class FarmRunner:
    """Runs steps in processes of `multiprocessing`.

    Args:
        workers: how many, at least 1.
        grace: seconds that a worker gets to end.
    """

    in_process: ClassVar[bool] = False
    fenced: ClassVar[bool] = True  # a worker outlives a driver that is killed, for a moment
    chained = False
    detaches = False

    def __init__(self, workers: int = 2, grace: float = 10.0) -> None:
        self.workers, self.grace = workers, grace
        self._run: RunSetup | None = None
        self._idle: list[Hand] = []
        self._busy: dict[str, tuple[Hand, Work]] = {}
        self._made = 0

    def open(self, run: RunSetup) -> list[Work]:
        """Get ready; the workers of an earlier process end with it."""
        self._run = run
        return []

    def check(self, resources: Resources, what: str) -> None:
        """Refuse what nobody has."""
        cores = os.cpu_count() or 1
        if (resources.cpus or 0) > cores or resources.gpus:
            msg = f"{what} needs {resources}, but this farm has {cores} cores and no GPUs."
            raise MMLMisconfigurationException(msg)

    def has_room(self, resources: Resources) -> bool:
        """Tell whether a worker is idle, or may be started."""
        return len(self._busy) < self.workers

    def submit(self, work: Work) -> None:
        """Give work to an idle worker, or to a new one."""
        hand = self._idle.pop() if self._idle else self._hired()
        self._busy[hand.name] = hand, work
        hand.pipe.send(work)

    def wait(self, seconds: float | None) -> list[Report]:
        """Return what workers sent; the end of a process is the end of its pipe."""
        ready = wait([hand.pipe for hand, _ in self._busy.values()], seconds)
        return [self._received(hand, work) for hand, work in list(self._busy.values()) if hand.pipe in ready]

    def interrupt(self) -> None:
        """Ask the busy workers to stop at their next checkpoint."""
        for hand, _ in self._busy.values():
            hand.process.terminate()

    def close(self) -> None:
        """End all workers."""
        hands = [*self._idle, *(hand for hand, _ in self._busy.values())]
        for hand in hands:
            hand.pipe.close()
        for hand in hands:
            hand.process.join(self.grace)
            hand.process.kill()
            hand.process.join()
        self._idle, self._busy = [], {}

    def _hired(self) -> Hand:
        assert self._run is not None, "the runner is not open"
        self._made += 1
        name = f"{os.uname().nodename}-{os.getpid()}-{self._made}"
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self._run.worker, self._run.setup, name), daemon=True)
        process.start()
        theirs.close()
        return Hand(name, process, pipe)

    def _received(self, hand: Hand, work: Work) -> Report:
        del self._busy[hand.name]
        try:
            report: Report = hand.pipe.recv()
        except (EOFError, ConnectionError):
            hand.process.join()
            return lost_report(work, f"Worker {hand.name} ended with code {hand.process.exitcode}.", hand.name)
        self._idle.append(hand)
        return report


def serve(pipe: Connection, make: Callable[[WorkerSetup, str], Worker], setup: WorkerSetup, name: str) -> None:
    """Be a worker: do work as long as there is some, and end when the driver does."""
    os.setsid()  # Ctrl-C at the terminal is the driver's
    see_modules(setup)
    driver = multiprocessing.parent_process()
    assert driver is not None, "a worker has a driver"
    threading.Thread(target=lambda: (driver.join(), os._exit(1)), daemon=True).start()
    worker: Worker | None = None
    while (work := _next(pipe)) is not None:
        try:
            worker = worker or make(setup, name)
            report = worker.execute(work)
        except Exception as error:  # noqa: BLE001 - the driver is told
            report = failed_report(work, error, name, misfit=True)
        pipe.send(report)
    if worker is not None:
        worker.close()


def _next(pipe: Connection) -> Work | None:
    """Return the next work, None when no more comes."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        work: Work = pipe.recv()
    except (EOFError, ConnectionError):
        return None
    finally:
        signal.signal(signal.SIGTERM, before)
    return work
