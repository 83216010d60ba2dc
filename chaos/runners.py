"""Kills drivers, workers, nodes, jobs and daemons under a training in folds, which has to go on all the same.

With each runner the same training; what it leaves is compared with that of the serial runner, undisturbed, whoever made
which fold in which order.
"""

import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.progress import Progress

from chaos.compare import is_finished, repeated_steps
from chaos.engines import ENGINES, Blow, Engine
from chaos.harness import Verdict, row
from chaos.table import Options, Row, is_loss
from chaos.training import TRAINING
from mml.testing.driving import World
from mml.testing.outcomes import outcome_of

TASK = ["create", "task=digits", "mode.folds=3", "logging.progress=false"]
FOLDS = [*TRAINING, "sampling.num_workers=0", "retries_lost=5"]
POINTS, QUICK = 6, 1
LIMIT = 300.0
_LOOK = 0.05


def run(options: Options) -> list[Row]:
    """Kill `points` times (6) each kind of victim that each engine has; in haste, once with local processes alone."""
    data = options.folder / "data"
    tasks = World(options.folder / "tasks", data)
    tasks.ends(tasks.start(*TASK))
    study = Study(options, FOLDS, data)
    points = QUICK if options.quick else options.points or POINTS
    rows = []
    for make in ENGINES[:1] if options.quick else ENGINES:
        with opened(make, options.folder) as engine:
            rows += study.with_engine(engine, points)
    return rows


@contextmanager
def opened(make: Callable[[Path], Engine], folder: Path) -> Iterator[Engine]:
    """Start an engine for the block."""
    engine = make(folder)
    try:
        engine.open()
        yield engine
    finally:
        engine.close()


class Study:
    """A training that is done with several engines, undisturbed and with blows.

    Args:
        options: of the module.
        words: the command.
        data: folder with the task.

    Attributes:
        folder: of all worlds.
        whole: what the serial runner leaves.
        seconds: that it takes.
    """

    def __init__(self, options: Options, words: list[str], data: Path) -> None:
        self.folder, self._seed, self._words, self._data = options.folder, options.seed, words, data
        start = time.monotonic()
        world = World(options.folder / "whole", data)
        world.ends(world.start(*words, "runner=serial"))
        self.whole, self.seconds = world.outcome(), time.monotonic() - start

    def with_engine(self, engine: Engine, points: int) -> list[Row]:
        """Return a row for the undisturbed training, and one for each kind of victim."""
        verdict, seconds = self.undisturbed(engine)
        rows = [row(f"nothing, runner={engine.name}", [verdict], f"{seconds:.0f} s")]
        with Progress(transient=True) as progress:
            for victim in engine.victims:
                bar = progress.add_task(f"{engine.name}: {victim}", total=points)
                draw = random.Random(f"{self._seed} {engine.name} {victim}")
                verdicts = []
                for number in range(points):
                    verdicts.append(self.struck(engine, victim, f"{number}", _moments(draw, number, seconds)))
                    progress.advance(bar)
                rows.append(row(f"SIGKILL to {victim}, runner={engine.name}", verdicts, "every third time twice"))
        return rows

    def undisturbed(self, engine: Engine) -> tuple[Verdict, float]:
        """Train with an engine; return what became of it, and the seconds."""
        world, start = self._world(engine, "undisturbed"), time.monotonic()
        code = world.wait(world.start(*self._words, *engine.overrides), LIMIT)
        seconds = time.monotonic() - start
        return self._judged(world, engine, Verdict(code == 0, repeated=0, differing=[], story=f"exit {code}")), seconds

    def struck(self, engine: Engine, victim: str, name: str, moments: Sequence[float]) -> Verdict:
        """Train, and strike a victim at moments, each counted from the start of the command of then."""
        world = self._world(engine, f"{victim}-{name}".replace(" ", "_"))
        words = [*self._words, *engine.overrides]
        so_far = Verdict(survived=True, repeated=0, differing=[], struck=False)
        for moment in moments:
            if (typed := _next_words(world, words)) is not None:
                child = world.start(*typed)
                struck = _strike(engine.victims[victim], world, child, moment)
                code = _waited(world, child, engine)
                story = f"{so_far.story}\n{_line(typed)}: struck {struck} after {moment:.2f} s, exit code {code}"
                so_far = so_far._replace(struck=so_far.struck or struck, story=story)
        if (typed := _next_words(world, words)) is not None:
            code = world.wait(world.start(*typed), LIMIT)
            story = f"{so_far.story}\n{_line(typed)}: exit code {code}"
            so_far = so_far._replace(survived=code == 0, restarted=typed == words, story=story)
        return self._judged(world, engine, so_far)

    def _judged(self, world: World, engine: Engine, verdict: Verdict) -> Verdict:
        """Return a verdict with what the run left; a world without a loss is removed."""
        finished = _finished(world)
        differing = outcome_of(world.run_folder()).differences(self.whole) if finished else []
        left = engine.left_running(world)
        differing += [f"still running: {left}"] if left else []
        verdict = verdict._replace(
            survived=verdict.survived and finished, repeated=repeated_steps(world.root), differing=differing
        )
        world.close()
        if is_loss(row("", [verdict])):
            (world.root / "loss.txt").write_text("\n".join([verdict.story, f"{verdict.repeated} repeated", *differing]))
        else:
            shutil.rmtree(world.root)
        return verdict

    def _world(self, engine: Engine, name: str) -> World:
        return World(self.folder / engine.name / name, self._data)


def _moments(draw: random.Random, number: int, seconds: float) -> list[float]:
    """Return when to strike: at any time of the training, every third time its continuation, too."""
    return [draw.uniform(0.1, 0.95) * seconds for _ in range(1 if number % 3 else 2)]


def _strike(blow: Blow, world: World, child: "subprocess.Popen[bytes]", after: float) -> bool:
    """Strike when the time has come and there is a victim; tell whether that was before the end."""
    moment, draw = time.monotonic() + after, random.Random(after)
    while child.poll() is None:
        if time.monotonic() >= moment and blow(world, child, draw):
            return True
        time.sleep(_LOOK)
    return False


def _waited(world: World, child: "subprocess.Popen[bytes]", engine: Engine) -> int:
    """Return the exit code of a command that was struck; what it lost is put back."""
    if engine.down_for is not None:
        with suppress(subprocess.TimeoutExpired):
            child.wait(engine.down_for)
        engine.mend()
    code = world.wait(child, LIMIT)
    engine.mend()
    return code


def _line(words: Sequence[str]) -> str:
    return f"mml {' '.join(words)}"


def _next_words(world: World, words: list[str]) -> list[str] | None:
    """Return what a user types next: the command again, `continue`, or nothing when all is done."""
    if not list(world.results.glob("*/runs/*/config.yaml")):
        return words
    return None if _finished(world) else ["continue", "latest"]


def _finished(world: World) -> bool:
    return any(is_finished(path.parent) for path in world.results.glob("*/runs/*/config.yaml"))
