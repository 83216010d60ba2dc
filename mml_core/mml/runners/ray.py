"""The runner that gives steps to Ray: one on many machines, or one that is started on this machine for the run."""

import logging
import os
import pickle
import time
from collections import deque
from typing import Any, ClassVar

import msgspec

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.resources import Resources, read_resources
from mml.core.scripts.signals import signals_held_back
from mml.report.texts import count_text
from mml.runners.base import Report, Room, RunSetup, Work
from mml.runners.extras import refuse_missing
from mml.runners.local_machine import this_machine
from mml.runners.ray_address import checked_address
from mml.runners.ray_engine import Engine, Node, Offer
from mml.runners.ray_jobs import await_workers, job_of
from mml.runners.ray_nodes import Shape, refuse_impossible, refuse_unfit, shape_of
from mml.runners.ray_pool import Pool
from mml.runners.ray_session import Hello
from mml.runners.ray_slots import Slot

logger = logging.getLogger(__name__)

_CHUNK = 0.25  # seconds between looks at everything that sends no message
_DYING = 90.0  # seconds that Ray may take to end the workers of a driver that is dead


class RayRunner:
    """Runs attempts in worker processes of Ray.

    Args:
        address: None: start a Ray; `auto` or `<host>:<port>`: use that one.
        num_cpus: cores that a Ray which is started has for steps; None: those of the machine.
        num_gpus: its GPUs, likewise.
        autoscale: whether Ray gets machines when they are needed.
        patience: seconds that the head of Ray may be out of reach.
        _: what a step needs, and the time that it gets to stop: of interest to the driver.
    """

    in_process: ClassVar[bool] = False
    fenced: ClassVar[bool] = True
    chained = False
    detaches = False

    def __init__(
        self,
        address: str | None = None,
        num_cpus: int | None = None,
        num_gpus: int | None = None,
        autoscale: bool = False,
        patience: float = 10.0,
        **_: Any,
    ) -> None:
        # Workers of a Ray that is started here are processes of this machine: those that are lost are dead.
        self.__dict__["fenced"] = address is not None
        self._address, self._offer = address, Offer(num_cpus, num_gpus)
        self._autoscale, self._patience = autoscale, patience
        self._engine: Engine | None = None
        self._pool: Pool | None = None
        self._run: RunSetup | None = None
        self._gpus = 0.0
        self._job = ""
        self._reports: deque[Report] = deque()
        self._refused: Resources | None = None

    def room(self) -> Room:
        """Say what steps have, without asking any Ray."""
        refuse_missing("ray", "ray")
        if self._address is not None:
            return Room(text=f"Ray at {self._address}", shared=True)
        has = self._here().resources
        cores, gpus = int(has["CPU"]), has["GPU"]
        return Room(
            resources=Resources(cpus=cores, gpus=gpus, memory=int(has["memory"])),
            each=Resources(cpus=1, gpus=min(1.0, gpus)),
            text=f"Ray on this machine, {count_text(cores, 'core')}",
        )

    def open(self, run: RunSetup) -> list[Work]:
        """Connect to Ray or start one; attempts of an earlier driver end with it.

        Raises:
            MMLMisconfigurationException: Ray, mml on its machines or the run folder there is missing.
            RunnerError: a worker of an earlier driver does not end.
        """
        self._refuse_misfit_options()
        hello = msgspec.msgpack.encode(Hello(run.setup, pickle.dumps(run.worker)))
        self._run = run
        self._engine = engine = Engine(self._address, self._offer, self._patience)
        engine.open()
        await_workers(run.folder, None, run.earlier[0].job if run.earlier else {}, _DYING)
        refuse_unfit(engine, run)
        self._job = engine.ray.get_runtime_context().get_job_id()
        nodes = engine.nodes()
        self._gpus = float(any(node.resources.get("GPU") for node in nodes))
        self._pool = Pool(engine, run.folder, hello, autoscale=self._autoscale)
        cores = sum(node.resources.get("CPU", 0) for node in nodes)
        logger.info("Ray at %s: %s, %g CPUs.", engine.address, count_text(len(nodes), "machine"), cores)
        return []

    def check(self, resources: Resources, what: str) -> None:
        """Make sure that a machine of Ray has what a step needs."""
        if self._autoscale:
            return
        if self._engine is not None:
            refuse_impossible(self._shape(resources), what, self._engine.nodes())
        elif self._address is None:  # before `open`, of another Ray only it itself knows what it has
            refuse_impossible(shape_of(resources, 0), what, [self._here()])

    def has_room(self, resources: Resources) -> bool:
        """Tell whether what a step needs is free, or a worker that does many steps in no time can take one more."""
        room = self._opened()[1].has_room(self._shape(resources))
        self._refused = None if room else resources
        return room

    def submit(self, work: Work) -> None:
        """Let a worker begin as soon as there is one."""
        with signals_held_back():
            self._opened()[1].submit(work, self._shape(work.resources))

    def wait(self, seconds: float | None) -> list[Report]:
        """Wait for an attempt to end; returns early when there is room that there was not before.

        Raises:
            RunnerError: the head of Ray is lost, or this machine's part of it.
        """
        engine, pool = self._opened()
        end = None if seconds is None else time.monotonic() + seconds
        while not self._reports:
            left = _CHUNK if end is None else min(_CHUNK, end - time.monotonic())
            self._reports.extend(pool.wait(max(0.0, left)))
            with signals_held_back():
                self._keep_up(engine, pool)
            over = end is not None and time.monotonic() >= end
            if over or not pool.busy or (self._refused is not None and self.has_room(self._refused)):
                break
        # One at a time: a signal while the driver takes it in loses no other.
        return [self._reports.popleft()] if self._reports else []

    def interrupt(self) -> None:
        """Ask the workers to stop; what has not begun is over at once."""
        self._opened()[1].interrupt()

    def close(self) -> None:
        """End all workers, and a Ray that was started for the run."""
        pool, engine = self._pool, self._engine
        self._pool = self._engine = None
        self._reports.clear()
        with signals_held_back():
            if pool is not None:
                pool.close()
            if engine is not None:
                engine.close()

    def _here(self) -> Node:
        """Return what a Ray that is started would have."""
        machine = this_machine(os.environ)
        gpus = len(machine.gpus) if self._offer.gpus is None else self._offer.gpus
        amounts = {"CPU": self._offer.cpus or machine.cores, "GPU": gpus, "memory": machine.memory}
        return Node("", "this machine", {name: float(amount) for name, amount in amounts.items()})

    def _keep_up(self, engine: Engine, pool: Pool) -> None:
        engine.look()
        if self.fenced:
            pool.take_down(self._take_down)
        pool.give_back()
        pool.assign()

    def _take_down(self, work: Work, slot: Slot, node: str) -> None:
        engine, run = self._engine, self._run
        assert engine is not None
        assert run is not None
        run.take_down(work, job_of(run.folder, engine.address, self._job, slot.name, node))

    def _shape(self, resources: Resources) -> Shape:
        return shape_of(resources, self._gpus)

    def _opened(self) -> tuple[Engine, Pool]:
        assert self._engine is not None, "the runner is not open"
        assert self._pool is not None, "the runner is not open"
        return self._engine, self._pool

    def _refuse_misfit_options(self) -> None:
        checked_address(self._address)
        for name, value in (("cpus", self._offer.cpus), ("gpus", self._offer.gpus)):
            if value is None:
                continue
            read_resources({name: value}, f"runner.num_{name}")
            if self._address is not None:
                msg = (
                    f"runner.num_{name}={value} is for a Ray that mml starts; the one at runner.address="
                    f"{self._address} has what its machines have. Leave one of the two out."
                )
                raise MMLMisconfigurationException(msg)
