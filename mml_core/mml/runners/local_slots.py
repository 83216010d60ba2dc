"""Who gets which GPUs, how many cores and how much memory, of those that a machine has. Pure accounting."""

import math
import os
from collections.abc import Collection
from typing import NamedTuple

from mml.core.scripts.machine import CORES_VARIABLE
from mml.core.scripts.resources import Resources
from mml.report.texts import count_text, size_text
from mml.runners.base import Room
from mml.runners.local_machine import GPUS_VARIABLE, Machine

WAITING = "OMP_WAIT_POLICY"
THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
_ROUNDING = 1e-9  # three thirds of a GPU are one
_Gpus = tuple[str, ...]


class Binding(NamedTuple):
    """What a worker is bound to for its life, because libraries read it once.

    Attributes:
        gpus: those that it sees; None on a machine that has none.
        cores: how many it may use.
        threads: with how many it computes; None: as the environment says.
    """

    gpus: _Gpus | None
    cores: int
    threads: int | None

    def environment(self) -> dict[str, str]:
        """Return the variables that bind a process."""
        # Threads that wait must not spin: others beside them have something to do.
        variables = {CORES_VARIABLE: str(self.cores), WAITING: os.environ.get(WAITING, "PASSIVE")}
        if self.threads is not None:
            variables |= dict.fromkeys(THREAD_VARIABLES, str(self.threads))
        if self.gpus is not None:
            variables[GPUS_VARIABLE] = ",".join(self.gpus)
        return variables


class Share(NamedTuple):
    """What an attempt has as long as it runs.

    Attributes:
        binding: of its worker.
        cpus: cores.
        memory: bytes that it may use, as far as it says.
        part: how much of each of its GPUs.
    """

    binding: Binding
    cpus: float
    memory: int
    part: float


class Slots:
    """Shares a machine out.

    Args:
        machine: what there is.
        workers: most attempts at a time; None: as many as GPUs, or else cores, allow.
        memory: bytes that attempts at a time may use, as far as they say.
        threads: number of threads that the user's environment sets; None: it sets none.
    """

    def __init__(self, machine: Machine, workers: int | None, memory: int, threads: int | None = None) -> None:
        self._machine = machine
        self._workers = workers
        self._memory = memory
        self._threads = threads
        self.count = workers or machine.slots
        self.cores = max(1, machine.cores // self.count)
        # More workers than cores are what the user wants: they share them.
        self._capacity = max(machine.cores, self.count * self.cores)
        self._used: dict[str, float] = dict.fromkeys(machine.gpus, 0.0)
        self._shares: list[Share] = []
        self._cpus_used, self._memory_used = 0.0, 0
        self._known: dict[tuple[Resources, _Gpus], Share] = {}

    def impossible(self, needs: Resources) -> str:
        """Return what a step needs that nobody has here, and who has what; empty when it can run."""
        machine = self._machine
        if (needs.gpus or 0) > len(machine.gpus):
            return f"{needs.gpus:g} GPUs, but there {_is(len(machine.gpus))} {machine.gpus_text}"
        if (needs.cpus or 0) > machine.cores:
            return f"{needs.cpus:g} cores, but there {_is(machine.cores)} {count_text(machine.cores, 'core')}"
        if (needs.memory or 0) > self._memory:
            return (
                f"{size_text(needs.memory or 0)} of memory, but steps may use {size_text(self._memory)} of the "
                f"{size_text(machine.memory)} (runner.memory_limit)"
            )
        return ""

    def room(self) -> Room:
        """Return what there is for steps at the same time."""
        gpus = len(self._machine.gpus)
        return Room(
            slots=self._workers,
            resources=Resources(cpus=self._capacity, gpus=gpus, memory=self._memory),
            each=Resources(cpus=self.cores, gpus=1 if gpus else 0),
            text=f"up to {count_text(self.count, 'step')} at a time",
        )

    def fits(self, needs: Resources) -> bool:
        """Tell whether a step that is possible could run now beside those that do."""
        if not self._shares:
            return True
        if self._workers is not None and len(self._shares) >= self._workers:
            return False
        if self._cpus_used + self._cpus(needs) > self._capacity + _ROUNDING:
            return False
        if self._memory_used + (needs.memory or 0) > self._memory:
            return False
        return bool(self._places(self._gpus(needs)))

    def take(self, needs: Resources, liked: Collection[_Gpus] = ()) -> Share:
        """Give a step that fits its share.

        Args:
            needs: what it needs.
            liked: GPUs that idle workers are bound to: best, one of these.
        """
        places = self._places(self._gpus(needs), liked)
        gpus = next((place for place in places if place in liked), places[0])
        if (share := self._known.get((needs, gpus))) is None:
            share = self._known[needs, gpus] = self._share(needs, gpus)
        for gpu in gpus:
            self._used[gpu] += share.part
        self._shares.append(share)
        self._cpus_used += share.cpus
        self._memory_used += share.memory
        return share

    def give_back(self, share: Share) -> None:
        """Take the share of an attempt that is over."""
        self._shares.remove(share)
        for gpu in share.binding.gpus or ():
            self._used[gpu] = max(0.0, self._used[gpu] - share.part)
        self._memory_used -= share.memory
        # Sums of parts are off by a little, which must not add up.
        self._cpus_used = self._cpus_used - share.cpus if self._shares else 0.0

    def _share(self, needs: Resources, gpus: _Gpus) -> Share:
        cpus = self._cpus(needs)
        threads = max(1, int(cpus)) if self._threads is None or needs.cpus is not None else None
        binding = Binding(gpus if self._machine.gpus else None, max(1, int(cpus)), threads)
        return Share(binding, cpus, needs.memory or 0, min(1.0, self._gpus(needs)))

    def _gpus(self, needs: Resources) -> float:
        if needs.gpus is not None:
            return needs.gpus
        return 1.0 if self._machine.gpus else 0.0

    def _cpus(self, needs: Resources) -> float:
        if needs.cpus is not None:
            return needs.cpus
        gpus = self._gpus(needs)
        return self.cores if self._workers or not gpus else self.cores * gpus

    def _places(self, wanted: float, liked: Collection[_Gpus] = ()) -> list[_Gpus]:
        """Return sets of GPUs that could be given, best first: a GPU that others share already, before a free one."""
        if not wanted:
            return [()]
        if wanted < 1:
            free = [gpu for gpu, used in self._used.items() if used + wanted <= 1 + _ROUNDING]
            return [(gpu,) for gpu in sorted(free, key=lambda gpu: -self._used[gpu])]
        free = [gpu for gpu, used in self._used.items() if used < _ROUNDING]
        count = math.ceil(wanted)
        known = [place for place in liked if len(place) == count and set(place) <= set(free)]
        return [*known, tuple(free[:count])] if len(free) >= count else []


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
