"""The worker processes of a run: started when there is work, kept for later work, buried when they end."""

import selectors
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from mml.core.scripts.exceptions import RunnerError
from mml.runners.base import Report, Work
from mml.runners.local_deaths import Coroner
from mml.runners.local_process import WorkerProcess
from mml.runners.local_serving import READY
from mml.runners.local_slots import Binding, Share
from mml.runners.transport import decode_report, encode, failed_report

_LEAVING = 10.0  # seconds that an idle worker has to end by itself
_GLANCE = 0.25  # seconds between looks at what can't be waited for


class Pool:
    """Keeps workers, and waits for what they say.

    Args:
        hello: returns the message that makes a worker of that name able to do work.
        coroner: finds out why workers died.
        size: how many to keep.
        freed: is told of each share that is free again.
    """

    def __init__(
        self, hello: Callable[[str], bytes], coroner: Coroner, size: int, freed: Callable[[Share], None]
    ) -> None:
        self._hello = hello
        self._coroner = coroner
        self._size = size
        self._freed = freed
        self._selector = selectors.DefaultSelector()
        self.workers: list[WorkerProcess] = []

    @property
    def busy(self) -> list[WorkerProcess]:
        """Those that do something."""
        return [worker for worker in self.workers if worker.work is not None]

    @property
    def idle(self) -> list[WorkerProcess]:
        """Those that could do something, the one that worked last at the end."""
        return [worker for worker in self.workers if worker.work is None and worker.deadline is None]

    def start(self, work: Work, share: Share) -> None:
        """Let a worker that is bound as the share says do an attempt.

        Raises:
            OSError: no process can be started.
        """
        fitting = (idle for idle in reversed(self.idle) if idle.binding == share.binding)
        worker = next((idle for idle in fitting if not idle.is_over()), None)
        if worker is None:
            self._make_room(share.binding)
            worker = self._begun(share.binding)
        worker.work, worker.share = work, share
        self._send(worker, encode(work))

    def spare(self) -> bool:
        """End an idle worker, whose memory others need; tell whether there was one."""
        if idle := self.idle:
            idle[0].leave(_LEAVING)
        return bool(idle)

    def wait(self, seconds: float | None) -> list[tuple[WorkerProcess, str]]:
        """Wait until a worker has something to say or ends, and return who and what: for `handle`."""
        if any(worker.ended is None or worker.deadline is not None for worker in self.workers):
            seconds = _GLANCE if seconds is None else min(seconds, _GLANCE)
        return [key.data for key, _ in self._selector.select(seconds)]

    def handle(self, events: list[tuple[WorkerProcess, str]]) -> list[Report]:
        """Take what workers said, bury those that ended, and return what came of their attempts."""
        reports: list[Report] = []
        ended = {id(worker) for worker, what in events if what == "ended"}
        for worker in list(self.workers):
            if id(worker) in ended or (self._may_be_over(worker) and worker.is_over()):
                reports += self._buried(worker)
            elif any(other is worker for other, _ in events):
                reports += self._heard(worker)
        return reports

    def interrupt(self) -> None:
        """Ask all that do something to stop."""
        for worker in self.busy:
            worker.interrupt()

    def close(self) -> None:
        """End all workers: idle ones may do so themselves."""
        for worker in self.workers:
            if worker.work is not None:
                worker.kill()
            elif worker.deadline is None:
                worker.leave(_LEAVING)
        while self.workers:
            self.handle(self.wait(_GLANCE))
        self._selector.close()

    def _make_room(self, binding: Binding) -> None:
        """End idle workers that hold the same GPUs, or are more than there should be."""
        wanted = set(binding.gpus or ())
        for worker in self.idle:
            if wanted & set(worker.binding.gpus or ()):
                worker.leave(_LEAVING)
        for worker in self.idle[: max(0, len(self.busy) + len(self.idle) + 1 - self._size)]:
            worker.leave(_LEAVING)

    def _begun(self, binding: Binding) -> WorkerProcess:
        worker = WorkerProcess(binding)
        self.workers.append(worker)
        self._selector.register(worker.channel.socket, selectors.EVENT_READ, (worker, "said"))
        if worker.ended is not None:
            self._selector.register(worker.ended, selectors.EVENT_READ, (worker, "ended"))
        self._send(worker, self._hello(worker.name))
        return worker

    def _send(self, worker: WorkerProcess, data: bytes) -> None:
        worker.channel.send(data)
        self._watch(worker)

    def _watch(self, worker: WorkerProcess) -> None:
        """Wait for what a worker says, as long as it can say something, and for being able to send what waits."""
        key = self._selector.get_map().get(worker.channel.socket)
        if key is None:
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.channel.sending else 0)
        if worker.channel.gone:
            self._selector.unregister(worker.channel.socket)
        elif key.events != wanted:
            self._selector.modify(worker.channel.socket, wanted, key.data)

    def _heard(self, worker: WorkerProcess) -> list[Report]:
        worker.channel.flush()
        reports = [self._finished(worker, data) for data in worker.channel.receive() if self._is_report(worker, data)]
        self._watch(worker)
        return reports

    def _is_report(self, worker: WorkerProcess, data: bytes) -> bool:
        if data == READY:
            worker.ready = True
        return data != READY and worker.work is not None

    def _finished(self, worker: WorkerProcess, data: bytes) -> Report:
        work = worker.work
        assert work is not None
        try:
            report = decode_report(data)
        except msgspec.MsgspecError as error:
            report = failed_report(work, RunnerError(f"Worker {worker.name} sent no report: {error}."), worker.name)
        self._free(worker)
        # The one that worked last is taken first: what it needs lies in the caches.
        self.workers.remove(worker)
        self.workers.append(worker)
        if worker.interrupted or (report.error is not None and report.error.interrupted):
            worker.leave(_LEAVING)  # once a signal came, it does no more
        return report

    def _free(self, worker: WorkerProcess) -> None:
        share, worker.work, worker.share = worker.share, None, None
        if share is not None:
            self._freed(share)

    def _may_be_over(self, worker: WorkerProcess) -> bool:
        if worker.deadline is not None and time.monotonic() > worker.deadline:
            worker.kill()
            return True
        return worker.ended is None

    def _buried(self, worker: WorkerProcess) -> list[Report]:
        reports = self._heard(worker)
        for watched in (worker.channel.socket, worker.ended):
            with suppress(KeyError):
                if watched is not None:
                    self._selector.unregister(watched)
        self.workers.remove(worker)
        if worker.work is None:
            worker.bury()
        else:
            reports.append(self._coroner.report(worker, worker.work))
            self._free(worker)
        return reports
