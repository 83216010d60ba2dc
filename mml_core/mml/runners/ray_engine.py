"""The connection of a run to Ray: to one that runs, or to one that is started on this machine and ends with the run."""

import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from mml.core.scripts.exceptions import Interrupted, MMLMisconfigurationException, RunnerError
from mml.core.scripts.signals import HANDLED
from mml.runners.extras import require
from mml.runners.ray_address import answers, checked_address, reached
from mml.runners.ray_guard import MARK, Guard

logger = logging.getLogger(__name__)

# Bytes for what goes to and from steps, which is little; Ray would take a third of the machine.
_STORE = 128 * 2**20
_FOLDER = "mml-ray-"
# Ray makes sockets below its folder, whose whole path may have 107 letters.
_LONGEST = 36
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_LOOK = 1.0  # seconds between looks whether the head is there
_DOUBT = 30.0  # seconds that the head may take to notice what became of a machine


class Node(NamedTuple):
    """A machine of a Ray, as long as it is part of it.

    Attributes:
        id: of Ray.
        name: for people.
        resources: what it has, by Ray's names, e.g. CPU.
    """

    id: str
    name: str
    resources: dict[str, float]


class Offer(NamedTuple):
    """What a Ray that is started on this machine has for steps; None: what the machine has."""

    cpus: int | None = None
    gpus: int | None = None


class Engine:
    """A connection to Ray.

    Args:
        address: as the user gave it.
        offer: of a Ray that is started.
        patience: seconds that the head of Ray may be out of reach.

    Attributes:
        ray: the library.
        address: of the Ray that is used.
        on_demand: whether it was started here.
    """

    def __init__(self, address: str | None, offer: Offer, patience: float) -> None:
        self.ray: Any = None
        self.address = ""
        self.on_demand = address is None
        self._given, self._offer, self._patience = address, offer, patience
        self._own = False
        self._guard: Guard | None = None
        self._node = ""
        self._last_seen = self._last_look = self._doubted_until = 0.0
        self._quiet = _Quiet()

    def open(self) -> None:
        """Connect.

        Raises:
            MMLMisconfigurationException: the library or a Ray at the address is missing, or one can't be started.
        """
        address = checked_address(self._given)
        with _environment():
            self.ray = require("ray", "ray")
            if self.ray.is_initialized():  # by the user, whose connection it stays
                self.on_demand = False
            else:
                self._connect(address)
            context = self.ray.get_runtime_context()
        self.address, self._node = context.gcs_address, context.get_node_id()
        if not self._own and address != self.address:
            logger.warning("This process is connected to the Ray at %s already: that one is used.", self.address)
        self._last_seen = self._last_look = time.monotonic()

    def nodes(self) -> list[Node]:
        """Return the machines that are there now."""
        return [
            Node(node["NodeID"], node["NodeName"] or node["NodeManagerHostname"], node["Resources"])
            for node in self.ray.nodes()
            if node["Alive"]
        ]

    def look(self, *, at_once: bool = False) -> None:
        """Make sure, now and then, that the head of Ray can be reached.

        Args:
            at_once: whether there is a reason for doubt, which lasts for a while.

        Raises:
            RunnerError: it could not for too long, or this machine is no part of Ray any more.
        """
        now = time.monotonic()
        if not at_once and now - self._last_look < _LOOK:
            return
        self._last_look = now
        if at_once:
            self._doubted_until = now + _DOUBT
        if not answers(self.address, _LOOK):
            if now - self._last_seen > self._patience:
                msg = (
                    f"The head of Ray at {self.address} can't be reached for {self._patience:g} s: it has ended, or "
                    "the network is down. When it runs again, continue the run."
                )
                raise RunnerError(msg)
            return
        self._last_seen = now
        if now < self._doubted_until and self._node not in {node.id for node in self.nodes()}:
            msg = (
                "This machine is no part of Ray any more: its raylet has ended, and with it all steps. Start it again "
                f"with `ray start --address={self.address}`, and continue the run."
            )
            raise RunnerError(msg)

    def close(self) -> None:
        """Take leave of Ray; one that was started here ends with all of its processes."""
        own, self._own = self._own, False
        if own:
            with suppress(Exception), _handlers_kept():
                self.ray.shutdown()
        self._quiet.end()
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.end()

    def _connect(self, address: str | None) -> None:
        self._quiet.begin(self.ray)
        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if address is None:
            logger.info("Starting a Ray on this machine, which takes some seconds and ends with the run.")
            folder = str(_new_folder())
            self._guard = Guard(Path(folder))
            os.environ[MARK] = folder
            options |= {"address": "local", "include_dashboard": False, "object_store_memory": _STORE}
            options |= {"num_cpus": self._offer.cpus, "num_gpus": self._offer.gpus, "_temp_dir": folder}
        else:
            options["address"] = reached(address)
        self._own = True
        try:
            with _handlers_kept():
                self.ray.init(**options)
        except SystemExit as error:  # what Ray makes of SIGTERM meanwhile
            raise Interrupted(signal.SIGTERM) from error
        except Exception as error:
            where = "Ray can't be started on this machine" if address is None else f"runner.address={address}"
            msg = f"{where}: {type(error).__name__}: {error}"
            raise MMLMisconfigurationException(msg) from error


class _Quiet:
    """Keeps what Ray says of itself from the terminal; it goes to the log of the run, as far as that wants it."""

    def __init__(self) -> None:
        self._level: int | None = None
        self._module: Any = None
        self._before: Any = None

    def begin(self, ray: Any) -> None:
        """Let Ray be quiet."""
        log = logging.getLogger("ray")
        self._level = log.level
        log.setLevel(logging.ERROR)
        # Errors of machines are printed whatever `log_to_driver` says; there is no setting for that.
        self._module = getattr(ray._private, "worker", None)
        self._before = getattr(self._module, "print_to_stdstream", None)
        if self._before is not None:
            self._module.print_to_stdstream = _log_lines

    def end(self) -> None:
        """Let Ray say what it likes."""
        if self._level is not None:
            logging.getLogger("ray").setLevel(self._level)
        if self._before is not None:
            self._module.print_to_stdstream = self._before
        self._level = self._before = None


def _log_lines(data: dict[str, Any], *_: object, **__: object) -> None:
    for line in data.get("lines", ()):
        logger.debug("Ray says: %s", line)


@contextmanager
def _environment() -> Iterator[None]:
    """Set what keeps Ray quiet, unless the user has said otherwise."""
    names = [*_QUIET, MARK]
    before = {name: os.environ[name] for name in names if name in os.environ}
    os.environ.update({name: value for name, value in _QUIET.items() if name not in before})
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Put the handlers of signals back that Ray replaces by its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.getsignal(signum) for signum in HANDLED}
    try:
        yield
    finally:
        for signum, handler in before.items():
            if handler is not None and signal.getsignal(signum) is not handler:
                signal.signal(signum, handler)


def _new_folder() -> Path:
    """Return a new folder for a Ray; those of processes that were killed are removed."""
    root = Path(tempfile.gettempdir())
    if len(str(root)) > _LONGEST - len(_FOLDER):
        root = Path("/tmp")
    for folder in root.glob(f"{_FOLDER}*-*"):
        process = folder.name.removeprefix(_FOLDER).partition("-")[0]
        with suppress(OSError):
            if folder.stat().st_uid == os.getuid() and not Path("/proc", process).exists():
                shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=root))
