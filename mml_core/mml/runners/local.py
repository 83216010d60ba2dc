"""The runner that does steps side by side in worker processes of this machine."""

import logging
import os
import pickle
import signal
import time
from collections import deque
from typing import Any, ClassVar

import msgspec

from mml.core.scripts.exceptions import Interrupted, MMLMisconfigurationException, RunnerError
from mml.core.scripts.resources import Resources
from mml.core.scripts.signals import signals_held_back
from mml.report.texts import count_text
from mml.runners.base import Report, Room, RunSetup, Work
from mml.runners.local_deaths import Coroner
from mml.runners.local_earlier import await_earlier
from mml.runners.local_machine import Machine, this_machine
from mml.runners.local_memory import LEAST, MemoryGate
from mml.runners.local_options import checked_memory, checked_workers, own_threads
from mml.runners.local_pool import Pool
from mml.runners.local_serving import Hello
from mml.runners.local_slots import Slots
from mml.runners.local_turns import Turns
from mml.runners.transport import failed_report

logger = logging.getLogger(__name__)
_GLANCE = 1.0  # seconds between looks at the memory, while a step waits for some
_DYING = 10.0  # seconds that workers of an earlier process may take to die


class LocalRunner:
    """Runs steps in worker processes.

    Args:
        workers: most steps at a time; None: one per GPU, or without GPUs one per core.
        memory_limit: bytes, or text with a unit, that steps at a time may say that they need; None: 90 % of all.
        for_driver: other keys of `runner`, which the driver reads.
    """

    in_process: ClassVar[bool] = False
    fenced: ClassVar[bool] = False
    chained = False
    detaches = False

    def __init__(self, workers: Any = None, memory_limit: Any = None, **for_driver: Any) -> None:
        self._workers = workers
        self._memory_limit = memory_limit
        self._for_driver = for_driver
        self._waiting: deque[Work] = deque()
        self._reports: deque[Report] = deque()
        self._memory = MemoryGate()
        self._hungry = False
        self._sized: tuple[Machine, Slots] | None = None
        self._granted: Resources | None = None
        self._open: tuple[Slots, Turns, Pool] | None = None

    def open(self, run: RunSetup) -> list[Work]:
        """Look what this machine has; workers are started when there is work for them."""
        machine, slots = self._shares()
        await_earlier(run.folder, _DYING)
        maker = pickle.dumps(run.worker)

        def hello(name: str) -> bytes:
            return msgspec.msgpack.encode(Hello(run.setup, maker, name))

        pool = Pool(hello, Coroner(run.folder), slots.count, slots.give_back)
        self._open = slots, Turns(2 * slots.count), pool
        logger.info("Up to %s at a time, on %s.", count_text(slots.count, "step"), machine)
        return []

    def room(self) -> Room:
        """Return what this machine has for steps at the same time."""
        return self._shares()[1].room()

    def check(self, resources: Resources, what: str) -> None:
        """Make sure that this machine has what a step needs."""
        if missing := self._shares()[1].impossible(resources):
            msg = (
                f"{what[:1].upper()}{what[1:]} needs {missing}. Let it need less, in the plan or with "
                "runner.resources.<command>, or run it where there is more, e.g. with runner=slurm."
            )
            raise MMLMisconfigurationException(msg)

    def has_room(self, resources: Resources) -> bool:
        """Tell whether what a step needs is free."""
        if self._waiting:
            return False
        slots, turns, pool = self._opened()
        if not pool.busy:
            turns.clear()
            room = True
        else:
            room = turns.may_begin(resources)
            if room and not (slots.fits(resources) and self._memory_left(resources)):
                turns.refuse(resources)
                room = False
        self._granted = resources if room else None
        return room

    def submit(self, work: Work) -> None:
        """Let a worker begin, as soon as there is room."""
        with signals_held_back():
            if not self._waiting and work.resources == self._granted:
                self._start(work)
            else:
                self._waiting.append(work)
                self._start_waiting()

    def wait(self, seconds: float | None) -> list[Report]:
        """Wait for attempts to end; returns early when there is memory again for which a step had to wait."""
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            events = self._pool.wait(self._patience(end))
            with signals_held_back():
                self._granted = None
                self._reports.extend(self._pool.handle(events))
                self._start_waiting()
            over = not self._pool.busy if end is None else time.monotonic() >= end
            if self._reports or over or self._is_fed():
                self._hungry = False
                # One at a time: a signal while the driver takes it in loses no other.
                return [self._reports.popleft()] if self._reports else []

    def interrupt(self) -> None:
        """Ask the workers to stop; what has not begun is over at once."""
        with signals_held_back():
            self._pool.interrupt()
            while self._waiting:
                self._reports.append(failed_report(self._waiting.popleft(), Interrupted(signal.SIGTERM)))

    def close(self) -> None:
        """End all workers, and wait until they are gone."""
        with signals_held_back():
            opened, self._open = self._open, None
            self._waiting.clear()
            self._reports.clear()
            if opened is not None:
                opened[-1].close()

    def _shares(self) -> tuple[Machine, Slots]:
        """Return this machine, and what shares it out, with all of it free before `open`."""
        if self._sized is None:
            machine = this_machine(os.environ)
            workers = checked_workers(self._workers, machine)
            memory = checked_memory(self._memory_limit, machine)
            self._sized = machine, Slots(machine, workers, memory, own_threads(workers or machine.slots, machine))
        return self._sized

    @property
    def _slots(self) -> Slots:
        return self._opened()[0]

    @property
    def _pool(self) -> Pool:
        return self._opened()[2]

    def _opened(self) -> tuple[Slots, Turns, Pool]:
        if self._open is None:
            msg = "The local runner is not open."
            raise RunnerError(msg)
        return self._open

    def _start_waiting(self) -> None:
        """Start what was submitted, in that order, as far as there is room."""
        while self._waiting:
            needs = self._waiting[0].resources
            if self._pool.busy and not (self._slots.fits(needs) and self._memory_left(needs)):
                return
            self._start(self._waiting.popleft())

    def _start(self, work: Work) -> None:
        self._granted = None
        slots, turns, pool = self._opened()
        if missing := slots.impossible(work.resources):
            fault: Exception = MMLMisconfigurationException(f"{work} needs {missing}.")
            self._reports.append(failed_report(work, fault, misfit=True))
            return
        turns.begun(work.resources, slots.fits)
        share = slots.take(work.resources, [worker.binding.gpus or () for worker in pool.idle])
        try:
            pool.start(work, share)
        except (OSError, RunnerError) as error:
            slots.give_back(share)
            fix = "Fewer at a time (runner.workers) need fewer processes, files and memory; `mml doctor` shows limits."
            fault = RunnerError(f"No worker process can be started: {error}. {fix}")
            self._reports.append(failed_report(work, fault, misfit=True))

    def _memory_left(self, needs: Resources) -> bool:
        """Tell whether there is memory for one more; ends an idle worker if not, and has `wait` look again."""
        beginning = [worker.share for worker in self._pool.busy if not worker.ready and worker.share is not None]
        if self._memory.open_for(needs.memory, sum(max(share.memory, LEAST) for share in beginning)):
            return True
        self._pool.spare()
        self._hungry = True
        return False

    def _is_fed(self) -> bool:
        return self._hungry and self._memory.open_for(None, 0)

    def _patience(self, end: float | None) -> float | None:
        """Return how long to wait at once."""
        if self._reports or (end is None and not self._pool.busy):
            return 0
        left = None if end is None else max(0.0, end - time.monotonic())
        if not self._hungry:
            return left
        return _GLANCE if left is None else min(left, _GLANCE)
