"""A Ray of two machines as processes on loopback, and ways to lose each of them, to blind it or to take mml from it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from mml.runners.ray_guard import MARK, Guard

# No token from a home folder, which each test has its own of, and nothing sent to anyone.
QUIET = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# A machine that gives no sign of life for some seconds is dead.
_HASTY = {
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
}
_MARK = "MML_TEST_RAY"
_LIMIT = 60


class RayCluster:
    """A Ray whose machines are processes here, known by a mark in their environment.

    Attributes:
        address: of the head, for `runner.address`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._id = uuid4().hex[:12]
        self.address = ""
        self.names: list[str] = []

    def add(self, name: str, *options: str, env: Mapping[str, str] | None = None, hide: Path | None = None) -> None:
        """Start a machine; the first one is the head.

        Args:
            name: of the machine.
            options: of `ray start`; without them, it has one core.
            env: variables of its processes.
            hide: a folder that it does not see.
        """
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--node-name={name}", "--num-gpus=0"]
        command += ["--node-ip-address=127.0.0.1", "--object-store-memory=80000000", "--disable-usage-stats"]
        command += options or ["--num-cpus=1"]
        if self.address:
            command += [f"--address={self.address}"]
        else:
            command += ["--head", "--port=0", "--include-dashboard=false", f"--temp-dir={self._folder}"]
        if hide is not None:
            script = 'mount -t tmpfs none "$0" && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", script, str(hide), *command]
        self.names.append(name)
        log = self._folder / f"{name}.log"
        with log.open("w") as file:
            code = subprocess.run(
                command,
                env={**os.environ, **QUIET, **_HASTY, **(env or {}), **self._marks(name)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                timeout=_LIMIT,
                start_new_session=True,
                check=False,
            ).returncode
        if code:
            raise RuntimeError(log.read_text())
        if not self.address:
            self.address = (self._folder / "ray_current_cluster").read_text().strip()

    def _marks(self, name: str) -> dict[str, str]:
        return {_MARK: f"{self._id}-{name}", MARK: str(self._folder)}

    def processes(self, name: str, part: str = "") -> list[int]:
        """Return the processes of a machine whose command has a text in it."""
        return [number for number, command in _marked(f"{_MARK}={self._id}-{name}") if part in command]

    def kill(self, name: str, part: str = "") -> None:
        """Kill the processes of a machine whose command has a text in it; without one, it loses its power."""
        for number in self.processes(name, part):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def end(self, name: str) -> None:
        """Kill a machine, and wait until nothing of it is left."""
        while self.processes(name):
            self.kill(name)
            time.sleep(0.05)

    def close(self) -> None:
        """End all machines."""
        for name in self.names:
            self.end(name)


@contextmanager
def started() -> Iterator[RayCluster]:
    """Give a Ray without machines, of which nothing is left afterwards."""
    # Sockets lie below it, whose paths have to be short.
    folder = Path(tempfile.mkdtemp(prefix="mmlray", dir="/tmp"))
    cluster = RayCluster(folder)
    guard = Guard(folder)  # tests may be killed, too
    try:
        yield cluster
    finally:
        cluster.close()
        guard.end()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """Return a Ray of two machines, `head` and `far`, with one core each; `far` has a resource of that name, too."""
    with started() as cluster:
        cluster.add("head")
        cluster.add("far", "--num-cpus=1", '--resources={"far": 1}')
        yield cluster


@pytest.fixture
def quiet_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process be one that Ray says little in."""
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)


def can_hide() -> bool:
    """Tell whether processes here may have mounts of their own."""
    command = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"]
    with suppress(OSError):
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


def until(holds: Callable[[], object], seconds: float = _LIMIT) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def _marked(entry: str) -> list[tuple[int, str]]:
    """Return ids and commands of the processes that live and have an entry in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if entry.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
    return [(number, command) for number, command in found if command]
