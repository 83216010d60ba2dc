"""Disturbs real commands where a plan says, goes on as a user would, and judges what became of them."""

import shutil
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.progress import Progress

from chaos.compare import differences, first_difference, is_finished, outcome, repeated_steps, run_folders
from chaos.launchers import Ended, ForkServer, FreshProcess, Launcher, Launchers, World
from chaos.table import Row

__all__ = ["Disturbance", "Ended", "ForkServer", "FreshProcess", "Launcher", "Launchers", "Pool", "Verdict", "World"]

PROCESSES = 2
HUNG = "hung"

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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
    """Tries many points side by side.

    Args:
        launchers: for as many as run at once.
        folder: of the worlds; a world in which nothing was lost is removed.
        whole: the world of the undisturbed run.
        words: the command.
        data: folder of the data that every world begins with.
        between: looks at a world after each disturbance, and returns what must never be seen, at any moment.
    """

    def __init__(
        self,
        launchers: Launchers,
        folder: Path,
        whole: World,
        words: Sequence[str],
        data: Path | None = None,
        *,
        between: Callable[[World], list[str]] = lambda _: [],
    ) -> None:
        self._launchers, self._folder, self._whole, self._words = launchers, folder, whole, words
        self._data, self._between = data, between

    def disturb(self, title: str, points: Mapping[str, Sequence[Disturbance]]) -> list[Verdict]:
        """Try points: name -> the disturbances of one run."""

        def one(launcher: Launcher, name: str) -> Verdict:
            world = World.make(self._folder / name, self._data)
            so_far = disturbed(launcher, world, self._words, points[name], self._between)
            return self.judge(world, finished(launcher, world, self._words, self._whole, so_far))

        return self.map(title, list(points), one)

    def map(self, title: str, items: Sequence[_Item], work: Callable[[Launcher, _Item], _Result]) -> list[_Result]:
        """Call `work` for all items, side by side, and show how far it is."""

        def borrowed(item: _Item) -> _Result:
            with self._launchers.one() as launcher:
                return work(launcher, item)

        with Progress(transient=True) as progress, ThreadPoolExecutor(PROCESSES) as threads:
            bar = progress.add_task(title, total=len(items))
            futures = [threads.submit(borrowed, item) for item in items]
            for future in futures:
                future.add_done_callback(lambda _: progress.advance(bar))
            return [future.result() for future in futures]

    def judge(self, world: World, verdict: Verdict) -> Verdict:
        """Remove the world in which nothing was lost; write down what happened in another."""
        if verdict.survived and not verdict.repeated and not verdict.differing:
            shutil.rmtree(world.root)
        else:
            text = "\n".join([verdict.story, f"{verdict.repeated} steps repeated", *verdict.differing])
            (world.root / "loss.txt").write_text(text + "\n")
        return verdict


def _where(world: World, whole: World) -> str:
    """Say where the first two contents that differ part."""
    left, right = outcome(world.root), outcome(whole.root)
    both = (path for path in sorted(left) if path in right and left[path] != right[path])
    return next((f"{path} {first_difference(left[path], right[path])}" for path in both), "")
