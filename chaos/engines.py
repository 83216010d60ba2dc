"""What runs the steps of a training that is struck: this process, local ones, Ray, Slurm; and what of it can die."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mml.core.scripts.run_files import LOCK_FILE, WORKERS_FOLDER
from mml.testing.driving import World

if TYPE_CHECKING:
    from tests.support.ray_cluster import RayCluster
    from tests.support.slurm_machine import Machine

# Strikes a victim: `(world, driver, draw)`; False while there is none.
Blow = Callable[[World, "subprocess.Popen[bytes]", random.Random], bool]
_PATIENCE = 30.0


class Engine:
    """Runs steps in processes of this machine.

    Args:
        folder: for what the engine needs.

    Attributes:
        name: of the runner.
        overrides: that choose it.
        victims: what can be struck.
        down_for: seconds until what a blow took away is put back; None: when the run is over.
    """

    name = "local"
    down_for: float | None = None
    overrides: tuple[str, ...] = ("runner=local", "runner.workers=2")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.victims: dict[str, Blow] = {"the driver": kill_driver, "a worker": kill_worker}

    def open(self) -> None:
        """Start the engine."""

    def mend(self) -> None:
        """Put back what a blow has taken away, as the operator of the machines would."""

    def left_running(self, world: World) -> dict[int, str]:
        """Return what still runs of a run that is over, some seconds later."""
        end = time.monotonic() + _PATIENCE
        while (left := world.left_running() | dict.fromkeys(workers_of(world), "a worker")) and time.monotonic() < end:
            time.sleep(0.1)
        return left

    def close(self) -> None:
        """End the engine."""


class SerialEngine(Engine):
    """Runs steps in the driver."""

    name = "serial"
    overrides: tuple[str, ...] = ("runner=serial",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.victims = {"the driver": kill_driver}


class RayEngine(Engine):
    """Runs steps on a Ray of two machines, which are processes on the loopback."""

    name = "ray"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._open, self._down = ExitStack(), False
        self.victims |= {"a Ray node": self._kill_node}

    def open(self) -> None:
        """Start both machines."""
        from tests.support.ray_cluster import QUIET, started

        os.environ |= QUIET
        self._cluster: RayCluster = self._open.enter_context(started())
        self._cluster.add("head")
        self._cluster.add("far")
        self.overrides = ("runner=ray", f"runner.address={self._cluster.address}")

    def mend(self) -> None:
        """Start the second machine again."""
        if self._down:
            self._cluster.end("far")
            self._cluster.add("far")
        self._down = False

    def close(self) -> None:
        """End both machines."""
        self._open.close()

    def _kill_node(self, world: World, _driver: "subprocess.Popen[bytes]", _draw: random.Random) -> bool:
        if not workers_of(world):
            return False
        self._cluster.kill("far")
        self._down = True
        return True


class SlurmEngine(Engine):
    """Runs steps as jobs of a Slurm on this machine."""

    name = "slurm"
    down_for = 15.0  # it has but one machine
    overrides: tuple[str, ...] = ("runner=slurm", "runner.cpus=1", "runner.memory=1GB")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._open, self._down = ExitStack(), False
        self.victims |= {"a Slurm job": self._kill_job, "slurmd": self._kill_slurmd}

    def open(self) -> None:
        """Start all daemons."""
        from tests.support.slurm_machine import slurm_machine

        self.folder.mkdir(exist_ok=True)
        self.machine: Machine = self._open.enter_context(slurm_machine(self.folder))
        os.environ |= self.machine.env

    def mend(self) -> None:
        """Start slurmd again."""
        if self._down:
            self.machine.start("slurmd")
        self._down = False

    def close(self) -> None:
        """End all daemons."""
        for name in self.machine.env:
            os.environ.pop(name, None)
        self._open.close()

    def _kill_job(self, _world: World, _driver: "subprocess.Popen[bytes]", draw: random.Random) -> bool:
        jobs = self.machine.ask("squeue", "-h", "-t", "running", "-r", "-o", "%A", check=False).split()
        if not jobs:
            return False
        self.machine.ask("scancel", "--signal=KILL", "--full", draw.choice(jobs), check=False)
        return True

    def _kill_slurmd(self, world: World, _driver: "subprocess.Popen[bytes]", _draw: random.Random) -> bool:
        if not workers_of(world):
            return False
        self.machine.stop("slurmd")
        self._down = True
        return True


ENGINES: list[Callable[[Path], Engine]] = [Engine, RayEngine, SlurmEngine]


def kill_driver(_world: World, driver: "subprocess.Popen[bytes]", _draw: random.Random) -> bool:
    """Kill the driver of a run."""
    driver.kill()
    return True


def kill_worker(world: World, _driver: "subprocess.Popen[bytes]", draw: random.Random) -> bool:
    """Kill one of the workers of a run."""
    workers = workers_of(world)
    if not workers:
        return False
    with suppress(ProcessLookupError):
        os.kill(draw.choice(workers), signal.SIGKILL)
    return True


def workers_of(world: World) -> list[int]:
    """Return the processes that hold the lock of a worker's folder."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            path = entry.readlink()
            if path.name == LOCK_FILE and path.parent.parent.name == WORKERS_FOLDER and world.root in path.parents:
                found.add(int(entry.parts[2]))
    return sorted(found)
