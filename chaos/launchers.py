"""Starts real `mml` commands in worlds of their own: as forks of a warm process, or as new ones; and watches them."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from select import select
from typing import Any, NamedTuple, Protocol, Self

from chaos import watcher

CHECKOUT = Path(__file__).parents[1]
SITE = Path(__file__).parent / "site"
# A command that takes longer hangs: everything here takes seconds.
LIMIT = 180.0


class World(NamedTuple):
    """Folders of one experiment: data, results and a home, below `root`."""

    root: Path

    @property
    def data(self) -> Path:
        """Folder of the data."""
        return self.root / "data"

    @property
    def results(self) -> Path:
        """Folder of the results."""
        return self.root / "results"

    @property
    def output(self) -> Path:
        """File of all that the commands printed."""
        return self.root / "output.txt"

    @property
    def watched(self) -> list[str]:
        """What a watcher counts: all that happens to data and results."""
        return [str(self.data), str(self.results)]

    @property
    def env(self) -> dict[str, str]:
        """Variables of a command in this world."""
        home = str(self.root / "home")
        return {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home} | {
            "MML_DATA_PATH": str(self.data),
            "MML_RESULTS_PATH": str(self.results),
        }

    @classmethod
    def make(cls, root: Path, data: Path | None = None) -> Self:
        """Make a world; its data are those of another (images as hard links), or none."""
        for name in ("home", "results", *(() if data else ("data",))):
            (root / name).mkdir(parents=True)
        if data:
            shutil.copytree(data, root / "data", copy_function=_link_image)
        return cls(root)

    def plan(self, **what: Any) -> watcher.Plan:
        """Return a plan for a command in this world."""
        return watcher.Plan(self.watched, **what)


class Ended(NamedTuple):
    """How a command ended: its exit code, the negative number of the signal that killed it, or `hung`."""

    code: int
    hung: bool = False

    @property
    def killed(self) -> bool:
        """Tell whether a signal killed it."""
        return self.code < 0


class Launcher(Protocol):
    """Runs a command of mml to its end."""

    def run(
        self, world: World, words: Sequence[str], plan: watcher.Plan | None = None, after: float | None = None
    ) -> Ended:
        """Run `mml <words>`, and send SIGKILL `after` seconds."""
        ...

    def close(self) -> None:
        """End what the launcher keeps running."""


class FreshProcess:
    """Launches `python -m mml` anew for every command, as a user does."""

    def run(
        self, world: World, words: Sequence[str], plan: watcher.Plan | None = None, after: float | None = None
    ) -> Ended:
        """Run `mml <words>`, and send SIGKILL `after` seconds."""
        env = environment(world.env)
        if plan is not None:
            env[watcher.VARIABLE] = json.dumps(plan._asdict())
        with world.output.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "mml", *words],
                env=env,
                cwd=world.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        hung = False
        try:
            child.wait(LIMIT if after is None else after)
        except subprocess.TimeoutExpired:
            hung = after is None
            child.kill()
        return Ended(child.wait(), hung)

    def close(self) -> None:
        """Do nothing: no process is left."""


class ForkServer:
    """Launches commands as forks of one process that has imported everything already.

    Args:
        light: whether libraries for training are left out, which saves seconds.
    """

    def __init__(self, *, light: bool = False) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "chaos.fork_server", *(["--light"] if light else [])],
            env=environment({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def run(
        self, world: World, words: Sequence[str], plan: watcher.Plan | None = None, after: float | None = None
    ) -> Ended:
        """Run `mml <words>`, and send SIGKILL `after` seconds."""
        order = {"words": list(words), "env": world.env, "cwd": str(world.root), "output": str(world.output)}
        order["plan"] = plan._asdict() if plan is not None else None  # type: ignore[assignment]
        self._write(json.dumps(order))
        child = int(self._read())
        hung = False
        if not self._answers(LIMIT if after is None else after):
            hung = after is None
            os.kill(child, signal.SIGKILL)
        return Ended(os.waitstatus_to_exitcode(int(self._read())), hung)

    def close(self) -> None:
        """End the server."""
        with suppress(BrokenPipeError):  # it is gone already
            self._server.communicate()

    def _write(self, line: str) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(line + "\n")
        self._server.stdin.flush()

    def _read(self) -> str:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        if not line:
            msg = f"the fork server is gone, with exit code {self._server.wait()}"
            raise RuntimeError(msg)
        return line.strip()

    def _answers(self, seconds: float) -> bool:
        assert self._server.stdout is not None
        return bool(select([self._server.stdout], [], [], seconds)[0])


class Launchers:
    """Launchers that are lent out, one to a thread at a time, and made when there are too few.

    Args:
        make: makes one.
    """

    def __init__(self, make: Callable[[], Launcher]) -> None:
        self._make = make
        self._idle: SimpleQueue[Launcher] = SimpleQueue()
        self._all: list[Launcher] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for launcher in self._all:
            launcher.close()

    @contextmanager
    def one(self) -> Iterator[Launcher]:
        """Lend a launcher for the block."""
        try:
            launcher = self._idle.get_nowait()
        except Empty:
            launcher = self._make()
            self._all.append(launcher)
        try:
            yield launcher
        finally:
            self._idle.put(launcher)


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a child: those of this process, without its settings of mml, one thread, the plugin."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MML_", "HYDRA_", "COVERAGE_"))}
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    # This checkout's code, wherever another one may be installed.
    path = os.pathsep.join(map(str, (SITE, CHECKOUT, CHECKOUT / "mml_core", CHECKOUT / "configs")))
    return kept | threads | {"PYTHONPATH": path, "TERM": "dumb"} | dict(more)


def _link_image(source: str, target: str) -> str:
    """Copy a file; an image, which nobody writes to, as a hard link."""
    if source.endswith(".png"):
        os.link(source, target)  # noqa: PTH200 # texts, as copytree gives them
    else:
        shutil.copy2(source, target)
    return target
