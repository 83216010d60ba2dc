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

    Attributes:
        busy: workers that do something.
        idle: those that could, the one that worked last at the end.
        leaving: those that end.
    """

    def __init__(
        self, hello: Callable[[str], bytes], coroner: Coroner, size: int, freed: Callable[[Share], None]
    ) -> None:
        self._hello = hello
        self._coroner = coroner
        self._size = size
        self._freed = freed
        self._selector = selectors.DefaultSelector()
        self.busy: list[WorkerProcess] = []
        self.idle: list[WorkerProcess] = []
        self.leaving: list[WorkerProcess] = []
        self._unwatched: set[WorkerProcess] = set()

    @property
    def workers(self) -> list[WorkerProcess]:
        """All processes that are not buried."""
        return [*self.busy, *self.idle, *self.leaving]

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
        else:
            self.idle.remove(worker)
            self.busy.append(worker)
        worker.work, worker.share = work, share
        self._send(worker, encode(work))

    def spare(self) -> bool:
        """End an idle worker, whose memory others need; tell whether there was one."""
        if there := bool(self.idle):
            self._dismiss(self.idle[0])
        return there

    def wait(self, seconds: float | None) -> list[tuple[WorkerProcess, str]]:
        """Wait until a worker has something to say or ends, and return who and what: for `handle`."""
        if self._unwatched or self.leaving:
            seconds = _GLANCE if seconds is None else min(seconds, _GLANCE)
        return [key.data for key, _ in self._selector.select(seconds)]

    def handle(self, events: list[tuple[WorkerProcess, str]]) -> list[Report]:
        """Take what workers said, bury those that ended, and return what came of their attempts."""
        reports: list[Report] = []
        ended: list[WorkerProcess] = []
        for worker, what in events:
            if what == "ended":
                ended.append(worker)
            else:
                self._hear(worker, reports)
        ended += [worker for worker in self._overdue() if worker not in ended]
        for worker in ended:
            self._bury(worker, reports)
        return reports

    def interrupt(self) -> None:
        """Ask all that do something to stop."""
        for worker in self.busy:
            worker.interrupt()

    def close(self) -> None:
        """End all workers: idle ones may do so themselves."""
        for worker in self.busy:
            worker.kill()
        while self.idle:
            self._dismiss(self.idle[0])
        while self.workers:
            self.handle(self.wait(_GLANCE))
        self._selector.close()

    def _make_room(self, binding: Binding) -> None:
        """End idle workers that hold the same GPUs, or are more than there should be."""
        wanted = set(binding.gpus or ())
        for worker in list(self.idle):
            if wanted & set(worker.binding.gpus or ()):
                self._dismiss(worker)
        for worker in self.idle[: max(0, len(self.busy) + len(self.idle) + 1 - self._size)]:
            self._dismiss(worker)

    def _dismiss(self, worker: WorkerProcess) -> None:
        self.idle.remove(worker)
        self.leaving.append(worker)
        worker.leave(_LEAVING)

    def _begun(self, binding: Binding) -> WorkerProcess:
        worker = WorkerProcess(binding)
        self.busy.append(worker)
        self._selector.register(worker.channel.ends.reader, selectors.EVENT_READ, (worker, "said"))
        if worker.ended is not None:
            self._selector.register(worker.ended, selectors.EVENT_READ, (worker, "ended"))
        else:
            self._unwatched.add(worker)
        self._send(worker, self._hello(worker.name))
        return worker

    def _send(self, worker: WorkerProcess, data: bytes) -> None:
        worker.channel.send(data)
        self._watch(worker)

    def _watch(self, worker: WorkerProcess) -> None:
        """Wait for what a worker says as long as it can say something, and until what waits could be sent."""
        channel = worker.channel
        if channel.watched == (not channel.gone, channel.sending):
            return
        (received, sent), channel.watched = channel.watched, (not channel.gone, channel.sending)
        if received and channel.gone:
            self._selector.unregister(channel.ends.reader)
        if sent and not channel.sending:
            self._selector.unregister(channel.ends.writer)
        elif channel.sending and not sent:
            self._selector.register(channel.ends.writer, selectors.EVENT_WRITE, (worker, "said"))

    def _hear(self, worker: WorkerProcess, reports: list[Report]) -> None:
        if worker.channel.sending:
            worker.channel.flush()
        for data in worker.channel.receive():
            if data == READY:
                worker.ready = True
            elif worker.work is not None:
                reports.append(self._finished(worker, worker.work, data))
        self._watch(worker)

    def _finished(self, worker: WorkerProcess, work: Work, data: bytes) -> Report:
        # Once a signal came, it does no more.
        dismissed = worker.interrupted
        try:
            report = decode_report(data)
            dismissed = dismissed or bool(report.error and report.error.interrupted)
        except msgspec.MsgspecError as error:
            report = failed_report(work, RunnerError(f"Worker {worker.name} sent no report: {error}."), worker.name)
            dismissed = True
        self._free(worker)
        self.busy.remove(worker)
        self.idle.append(worker)
        if dismissed:
            self._dismiss(worker)
        return report

    def _free(self, worker: WorkerProcess) -> None:
        share, worker.work, worker.share = worker.share, None, None
        if share is not None:
            self._freed(share)

    def _overdue(self) -> list[WorkerProcess]:
        """Return workers that are over although no event says so, or had to be killed because they did not leave."""
        if not self._unwatched and not self.leaving:
            return []
        now = time.monotonic()
        late = [worker for worker in self.leaving if worker.deadline is not None and now > worker.deadline]
        for worker in late:
            worker.kill()
        return [*late, *(worker for worker in self._unwatched if worker not in late and worker.is_over())]

    def _bury(self, worker: WorkerProcess, reports: list[Report]) -> None:
        self._hear(worker, reports)
        for watched in (*worker.channel.ends, worker.ended):
            with suppress(KeyError):
                if watched is not None:
                    self._selector.unregister(watched)
        self._unwatched.discard(worker)
        for place in (self.busy, self.idle, self.leaving):
            if worker in place:
                place.remove(worker)
        if worker.work is None:
            worker.bury()
        else:
            reports.append(self._coroner.report(worker, worker.work))
            self._free(worker)
