"""The workers that a run has on Ray: when one more is asked for, which does what, and when one is given back."""

import os
import signal
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mml.core.scripts.exceptions import Interrupted, RunnerError
from mml.core.scripts.machine import CORES_VARIABLE
from mml.core.scripts.run_files import WORKERS_FOLDER
from mml.core.scripts.run_lock import is_held
from mml.core.scripts.signals import signals_held_back
from mml.runners import ray_host
from mml.runners.base import Report, Work
from mml.runners.local_slots import THREAD_VARIABLES
from mml.runners.ray_engine import Engine
from mml.runners.ray_losses import loss
from mml.runners.ray_nodes import Shape, by_value, fits, on_node
from mml.runners.ray_slots import Pace, Slot, total, with_more
from mml.runners.transport import decode_report, encode, failed_report, lost_report

# Seconds: how long a worker without work is kept; what Ray said of its machines is believed; one may take to start.
_IDLE, _FRESH, _STARTING = 10.0, 0.5, 5.0
# Seconds that workers get to end in order, and that ended ones take to be gone.
_LEAVING, _GONE = 5.0, 20.0
# Workers that an autoscaling Ray is asked for at a time.
_ASKED = 8

_Key = tuple[tuple[str, float], ...]


class Pool:
    """Workers on the machines of a Ray.

    Args:
        engine: the connection.
        folder: the run folder.
        hello: what a worker has to know.
        autoscale: whether Ray gets machines when they are needed.
    """

    def __init__(self, engine: Engine, folder: Path, hello: bytes, *, autoscale: bool) -> None:
        self._engine, self._folder, self._hello, self._autoscale = engine, folder, hello, autoscale
        self._host = by_value(engine, ray_host.Host)
        self._stop = by_value(engine, ray_host.ask_to_stop)
        self._slots: list[Slot] = []
        self._waiting: deque[tuple[Work, Shape]] = deque()
        self._reports: list[Report] = []
        self._pace = Pace()
        self._stopping = False
        self._asked: list[Any] = []
        self._known: tuple[float, Shape, Shape] = (float("-inf"), {}, {})
        self._node_names: dict[str, str] = {}
        self._names: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether there is something to wait for."""
        return bool(self._waiting or self._reports or any(slot.works for slot in self._slots))

    def has_room(self, shape: Shape) -> bool:
        """Tell whether an attempt would begin soon."""
        same = self._of(shape)
        coming = sum(slot.idle or not slot.ready for slot in same)
        if coming > sum(_key(other) == _key(shape) for _, other in self._waiting):
            return True
        if len(self._waiting) > sum(not slot.ready for slot in self._slots):
            return False
        depth = self._pace.recent
        return self._may_start(shape) or any(len(slot.works) < depth for slot in same if slot.quick)

    def submit(self, work: Work, shape: Shape) -> None:
        """Take an attempt."""
        self._waiting.append((work, shape))
        self.assign()

    def wait(self, seconds: float) -> list[Report]:
        """Wait until a worker has started or something is over; return the reports that there are."""
        if not self._reports:
            refs = [slot.named for slot in self._slots if not slot.ready]
            refs += [ref for slot in self._slots for ref in slot.works]
            if refs:
                self._take(self._ready(refs, seconds))
            else:
                time.sleep(min(seconds, 0.05))
            self.assign()
        reports, self._reports = self._reports, []
        return reports

    def assign(self) -> None:
        """Give what waits to workers, and ask for more of them."""
        for _ in range(len(self._waiting)):
            work, shape = self._waiting.popleft()
            slot = self._place(work, shape)
            if slot is None:
                self._waiting.append((work, shape))
            else:
                slot.start(work, encode(work))
        wanted = Counter(_key(shape) for _, shape in self._waiting)
        for key, count in wanted.items():
            shape = dict(key)
            starting = sum(not slot.ready for slot in self._of(shape))
            while starting < count and self._may_start(shape):
                self._start(shape)
                starting += 1

    def take_down(self, write: Callable[[Work, Slot, str], None]) -> None:
        """Write down what goes on for some time."""
        for slot in self._slots:
            for work in slot.settled():
                write(work, slot, self._node_name(slot.node))

    def give_back(self) -> None:
        """End workers that nobody needs, as others may need what they take."""
        wanted = Counter(_key(shape) for _, shape in self._waiting)
        stuck = any(not slot.ready and slot.age > _STARTING for slot in self._slots)
        for slot in list(self._slots):
            if slot.ready:
                unused = slot.idle and (slot.age > _IDLE or stuck)
            else:
                unused = slot.age > _STARTING and not wanted[_key(slot.shape)]
            if unused:
                self._end(slot)

    def interrupt(self) -> None:
        """Ask workers to stop; what has not begun is over at once."""
        self._stopping = True
        while self._waiting:
            self._reports.append(failed_report(self._waiting.popleft()[0], Interrupted(signal.SIGTERM)))
        processes: defaultdict[str, list[int]] = defaultdict(list)
        for slot in self._slots:
            if slot.works:
                processes[slot.node].append(slot.process)
        for node, numbers in processes.items():
            self._asked.append(self._stop.options(**on_node(node)).remote(numbers))

    def close(self) -> None:
        """End all workers, and wait until they are gone."""
        with suppress(Exception):
            leaving = [slot.actor.close.remote() for slot in self._slots if slot.idle]
            if leaving:
                self._engine.ray.wait(leaving, num_returns=len(leaving), timeout=_LEAVING)
        for slot in list(self._slots):
            self._end(slot)
        end = time.monotonic() + _GONE
        while time.monotonic() < end and any(is_held(self._folder / WORKERS_FOLDER / name) for name in self._names):
            time.sleep(0.02)

    # --- where

    def _of(self, shape: Shape) -> list[Slot]:
        return [slot for slot in self._slots if slot.shape == shape]

    def _place(self, work: Work, shape: Shape) -> Slot | None:
        """Return the worker that should make an attempt."""
        ready = [slot for slot in self._of(shape) if slot.ready]
        if not ready:
            return None
        best = min(ready, key=lambda slot: len(slot.works))
        if best.idle:
            return best
        depth = self._pace.depth(work.record.command)
        if depth > 1 and self._may_start(shape):
            return None
        return best if len(best.works) < depth and best.quick else None

    def _may_start(self, shape: Shape) -> bool:
        """Tell whether Ray should be asked for one more worker; those without work would make place for it."""
        starting = sum(not slot.ready for slot in self._slots)
        if self._autoscale and starting < _ASKED:
            return True
        there, free = self._amounts()
        idle = total([slot.shape for slot in self._slots if slot.idle and slot.shape != shape])
        held = with_more(total([slot.shape for slot in self._slots]), idle, -1)
        if not fits(with_more(held, shape), there):
            return False
        return not starting or fits(shape, with_more(free, idle))

    def _amounts(self) -> tuple[Shape, Shape]:
        """Return what the machines have, and what is free of it, as Ray said a moment ago."""
        if time.monotonic() - self._known[0] > _FRESH:
            ray = self._engine.ray
            self._known = (time.monotonic(), ray.cluster_resources(), ray.available_resources())
        return self._known[1:]

    def _start(self, shape: Shape) -> None:
        there, free = self._amounts()
        for slot in list(self._slots):
            if fits(shape, free):
                break
            if slot.idle and slot.shape != shape:
                self._end(slot)
                free = with_more(free, slot.shape)
        self._known = (self._known[0], there, with_more(free, shape, -1))
        options = {
            "num_cpus": shape.get("CPU", 0),
            "num_gpus": shape.get("GPU", 0),
            "memory": shape.get("memory") or None,
        }
        actor = self._host.options(max_restarts=0, max_task_retries=0, **options).remote(
            [folder for folder in sys.path if folder], _environment(shape), self._hello
        )
        self._slots.append(Slot(actor, shape, actor.name.remote()))

    def _end(self, slot: Slot) -> None:
        self._slots.remove(slot)
        with suppress(Exception):  # it is gone, or so is Ray
            self._engine.ray.kill(slot.actor, no_restart=True)
        if self._engine.on_demand and slot.process:
            self._kill(slot)

    def _kill(self, slot: Slot) -> None:
        """Make sure that a worker on this machine is dead."""
        if is_held(self._folder / WORKERS_FOLDER / slot.name):
            with suppress(ProcessLookupError):
                os.kill(slot.process, signal.SIGKILL)

    # --- what comes of it

    def _ready(self, refs: list[Any], seconds: float) -> list[Any]:
        with signals_held_back():  # what they raise in there, Ray makes a mess of
            ready, _ = self._engine.ray.wait(refs, num_returns=1, timeout=seconds)
            if ready and len(refs) > 1:
                ready, _ = self._engine.ray.wait(refs, num_returns=len(refs), timeout=0)
        return list(ready)

    def _take(self, ready: list[Any]) -> None:
        for ref in ready:
            slot = next((slot for slot in self._slots if ref == slot.named or ref in slot.works), None)
            if slot is None:
                continue
            try:
                value = self._engine.ray.get(ref)
            except self._engine.ray.exceptions.RayError as error:
                self._lose(slot, error)
                continue
            if ref in slot.works:
                self._finish(slot, ref, value)
            else:
                slot.name, slot.process, slot.node = value
                slot.since = time.monotonic()
                self._names.add(slot.name)

    def _finish(self, slot: Slot, ref: Any, data: bytes) -> None:
        command = slot.works[ref].record.command
        self._pace.note(command, slot.finish(ref))
        report = decode_report(data)
        self._reports.append(report)
        if report.error is not None and report.error.misfit:
            self._end(slot)

    def _lose(self, slot: Slot, error: Exception) -> None:
        """Report all that a worker had to do which is lost."""
        works = list(slot.works.values())
        if works:
            self._pace.note_death(works[0].record.command)
        else:
            works = self._claim(slot)
        self._end(slot)
        for work in works:
            self._reports.append(self._lost(slot, work, error))
        if not self._stopping:
            self._engine.look(at_once=True)

    def _claim(self, slot: Slot) -> list[Work]:
        """Take what waited for a worker that could not start."""
        for index, (work, shape) in enumerate(self._waiting):
            if shape == slot.shape:
                del self._waiting[index]
                return [work]
        return []

    def _lost(self, slot: Slot, work: Work, error: Exception) -> Report:
        if self._stopping:
            return failed_report(work, Interrupted(signal.SIGTERM), slot.name)
        where = self._node_name(slot.node)
        if isinstance(error, self._engine.ray.exceptions.RayTaskError):
            place = f" on machine {where}" if where else ""
            msg = f"A worker{place} can't do steps of this run: {str(error).strip().splitlines()[-1]}"
            return failed_report(work, RunnerError(msg), slot.name, misfit=True)
        return lost_report(work, loss(error, work, slot.name, where, self._folder), slot.name)

    def _node_name(self, node: str) -> str:
        if node and node not in self._node_names:
            self._node_names |= {known.id: known.name for known in self._engine.nodes()}
        return self._node_names.get(node, "")


def _key(shape: Shape) -> _Key:
    return tuple(sorted(shape.items()))


def _environment(shape: Shape) -> dict[str, str]:
    """Return the variables of a worker: with how many threads it computes, which equal bits depend on, and no GPUs if
    it has none. Where nothing is said of threads, Ray gives it as many as it has cores.
    """
    variables = {CORES_VARIABLE: str(max(1, int(shape.get("CPU", 1))))}
    variables |= {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    if not shape.get("GPU"):
        variables["CUDA_VISIBLE_DEVICES"] = ""
    return variables
