"""Starts real `mml` commands in worlds of their own, kills them where a plan says, and goes on as a user would."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from select import select
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from rich.progress import Progress

from chaos import watcher
from chaos.compare import differences, first_difference, is_finished, outcome, repeated_steps, run_folders
from chaos.table import Row

CHECKOUT = Path(__file__).parents[1]
SITE = Path(__file__).parent / "site"
PROCESSES = 2
# A command that takes longer hangs: everything here takes seconds.
LIMIT = 180.0
HUNG = "hung"

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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
        env = _environment(world.env)
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
            env=_environment({}),
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


class Verdict(NamedTuple):
    """What became of one run that was disturbed.

    Attributes:
        survived: whether it came to its end, each command that a user types going through.
        repeated: finished steps that were done again.
        differing: what differs from an undisturbed run.
        restarted: whether it had to be started anew, because it was killed before there was anything to continue.
        struck: whether the disturbance came before the run was over.
        story: what happened, for whoever looks into a loss.
    """

    survived: bool
    repeated: int
    differing: list[str]
    restarted: bool = False
    struck: bool = True
    story: str = ""


class Disturbance(NamedTuple):
    """How a command is disturbed: at an event, or after a time in seconds."""

    kill_at: int | None = None
    signum: int = signal.SIGKILL
    after: float | None = None

    def __str__(self) -> str:
        name = signal.Signals(self.signum).name
        return f"{name} at event {self.kill_at}" if self.kill_at else f"{name} after {self.after} s"


def next_words(world: World, words: Sequence[str]) -> list[str] | None:
    """Return what a user types next: the command again, `continue`, or nothing when all is done."""
    runs = run_folders(world.results)
    if not runs:
        return list(words)
    return None if all(map(is_finished, runs)) else ["continue"]


def disturbed(
    launcher: Launcher,
    world: World,
    words: Sequence[str],
    disturbances: Iterable[Disturbance],
    between: Callable[[World], list[str]],
) -> Verdict:
    """Run a command with disturbances, one per process: what a user types next is disturbed, too."""
    so_far = Verdict(survived=True, repeated=0, differing=[], struck=False)
    for number, blow in enumerate(disturbances):
        typed = next_words(world, words)
        if typed is None:
            break
        ended = launcher.run(world, typed, world.plan(kill_at=blow.kill_at, signum=blow.signum), blow.after)
        story = f"mml {' '.join(typed)}, {blow}: {HUNG if ended.hung else ended.code}"
        so_far = Verdict(
            # Killed as planned, ended in order by the signal, or done before it came.
            survived=so_far.survived and ended.code in (-blow.signum, 128 + blow.signum, 0),
            repeated=0,
            differing=[*so_far.differing, *between(world)],
            restarted=so_far.restarted or (number > 0 and typed == list(words)),
            struck=so_far.struck or ended.code != 0,
            story=f"{so_far.story}\n{story}",
        )
    return so_far


def finished(launcher: Launcher, world: World, words: Sequence[str], whole: World, so_far: Verdict) -> Verdict:
    """Type what a user types until all is done, and compare with the world of an undisturbed run."""
    typed = next_words(world, words)
    if typed is not None:
        ended = launcher.run(world, typed)
        story = f"{so_far.story}\nmml {' '.join(typed)}: {HUNG if ended.hung else ended.code}"
        survived, restarted = so_far.survived and ended.code == 0, so_far.restarted or typed == list(words)
        so_far = so_far._replace(survived=survived, restarted=restarted, story=story)
    different = differences(world.root, whole.root)
    story = f"{so_far.story}\n{_where(world, whole)}" if different else so_far.story
    differing = [*so_far.differing, *different]
    return so_far._replace(repeated=so_far.repeated + repeated_steps(world.root), differing=differing, story=story)


def undisturbed(launcher: Launcher, world: World, words: Sequence[str], **plan: Any) -> list[str]:
    """Run a command to its end and return its events.

    Raises:
        RuntimeError: it fails.
    """
    note = world.root / "events.txt"
    ended = launcher.run(world, words, world.plan(note=str(note), **plan))
    if ended.code:
        msg = f"mml {' '.join(words)} ended with {ended.code}, undisturbed:\n{world.output.read_text()}"
        raise RuntimeError(msg)
    return note.read_text().splitlines()


def row(injected: str, verdicts: Sequence[Verdict], note: str = "") -> Row:
    """Return the row of the table that verdicts add up to."""
    restarts = sum(verdict.restarted for verdict in verdicts)
    notes = [note] if note else []
    if restarts:
        notes.append(f"{restarts} of them before there was a run to continue: started again")
    if spared := sum(not verdict.struck for verdict in verdicts):
        notes.append(f"{spared} of them were over before")
    return Row(
        injected,
        len(verdicts),
        sum(verdict.survived for verdict in verdicts),
        sum(verdict.repeated for verdict in verdicts),
        sum(len(verdict.differing) for verdict in verdicts),
        "; ".join(notes),
    )


class Pool:
    """Tries many points side by side, each thread with a launcher of its own.

    Args:
        make: returns a launcher.
        folder: of the worlds; a world in which nothing was lost is removed.
        whole: the world of the undisturbed run.
        words: the command.
        data: folder of the data that every world begins with.
        between: looks at a world after each disturbance, and returns what must never be seen, at any moment.
    """

    def __init__(
        self,
        make: Callable[[], Launcher],
        folder: Path,
        whole: World,
        words: Sequence[str],
        data: Path | None = None,
        *,
        between: Callable[[World], list[str]] = lambda _: [],
    ) -> None:
        self._make, self._folder, self._whole, self._words, self._data = make, folder, whole, words, data
        self._between = between
        self._local = threading.local()
        self._made: list[Launcher] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for launcher in self._made:
            launcher.close()

    def disturb(self, title: str, points: Mapping[str, Sequence[Disturbance]]) -> list[Verdict]:
        """Try points: name -> the disturbances of one run."""
        return self.map(title, list(points), lambda name: self._one(name, points[name]))

    def map(self, title: str, items: Sequence[_Item], work: Callable[[_Item], _Result]) -> list[_Result]:
        """Call `work` for all items, side by side, and show how far it is."""
        with Progress(transient=True) as progress, ThreadPoolExecutor(PROCESSES) as threads:
            bar = progress.add_task(title, total=len(items))
            futures = [threads.submit(work, item) for item in items]
            for future in futures:
                future.add_done_callback(lambda _: progress.advance(bar))
            return [future.result() for future in futures]

    @property
    def launcher(self) -> Launcher:
        """The launcher of this thread."""
        if not hasattr(self._local, "launcher"):
            self._local.launcher = self._make()
            self._made.append(self._local.launcher)
        found: Launcher = self._local.launcher
        return found

    def judge(self, world: World, verdict: Verdict) -> Verdict:
        """Remove the world in which nothing was lost; write down what happened in another."""
        if verdict.survived and not verdict.repeated and not verdict.differing:
            shutil.rmtree(world.root)
        else:
            text = "\n".join([verdict.story, f"{verdict.repeated} steps repeated", *verdict.differing])
            (world.root / "loss.txt").write_text(text + "\n")
        return verdict

    def _one(self, name: str, disturbances: Sequence[Disturbance]) -> Verdict:
        world = World.make(self._folder / name, self._data)
        so_far = disturbed(self.launcher, world, self._words, disturbances, self._between)
        return self.judge(world, finished(self.launcher, world, self._words, self._whole, so_far))


def _where(world: World, whole: World) -> str:
    """Say where the first two contents that differ part."""
    left, right = outcome(world.root), outcome(whole.root)
    both = (path for path in sorted(left) if path in right and left[path] != right[path])
    return next((f"{path} {first_difference(left[path], right[path])}" for path in both), "")


def _environment(more: Mapping[str, str]) -> dict[str, str]:
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
