"""Kills a real training, two folds with test and predictions, at events and at random times; compares all bytes."""

import random
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from chaos.harness import Disturbance, Pool, row, undisturbed
from chaos.kills import sample
from chaos.launchers import ForkServer, FreshProcess, Launchers, World
from chaos.table import Options, Row

TASK = ["create", "task=digits", "mode.folds=2", "logging.progress=false"]
# Dropout and augmentation draw random numbers for every batch, which have to go on where they stopped.
TRAINING = [
    "train",
    "task=digits",
    "mode.cv=true",
    "mode.predict=[val,test]",
    "arch.width=8",
    "arch.drop_rate=0.2",
    "augmentations=flip",
    "trainer.max_epochs=3",
    "trainer.limit_train_batches=8",
    "trainer.checkpoint_minutes=0.002",
    "logging.progress=false",
]
WORKERS = ["sampling.num_workers=2", "sampling.cache=never"]
POINTS, QUICK = 200, 4
# Shares of the points: with worker processes, and with signals that let a run end in order.
SHARE_WORKERS, SHARE_SIGNALS = 0.15, 0.06
TIMES_IN_ONE, TRAININGS_KILLED_OFTEN, FRESH = 10, 4, 8


def run(options: Options) -> list[Row]:
    """Kill at `points` points (200), half of them events, half of them moments."""
    points = QUICK if options.quick else options.points or POINTS
    with_workers, signals = max(2, round(points * SHARE_WORKERS)), max(2, round(points * SHARE_SIGNALS))
    with Launchers(ForkServer) as servers:
        tasks = World.make(options.folder / "tasks")
        with servers.one() as server:
            undisturbed(server, tasks, TASK)
        alone = _Training(servers, options, "alone", TRAINING, tasks.data)
        rows = alone.killed(points) + [alone.signalled(signals, signum) for signum in (signal.SIGTERM, signal.SIGINT)]
        rows.append(alone.killed_often(1 if options.quick else TRAININGS_KILLED_OFTEN))
        workers = _Training(servers, options, "workers", [*TRAINING, *WORKERS], tasks.data)
        rows += [*workers.killed(with_workers), workers.signalled(signals, signal.SIGTERM)]
    return [*rows, alone.killed_fresh(1 if options.quick else FRESH)]


class _Training:
    """One way to train, run undisturbed and then with disturbances.

    Args:
        launchers: for all of it.
        options: of the module.
        name: of this way.
        words: the command.
        data: with the task.
    """

    def __init__(self, launchers: Launchers, options: Options, name: str, words: list[str], data: Path) -> None:
        self._folder, self._words, self._data = options.folder / name, words, data
        self._what = "a training" if name == "alone" else "a training with worker processes"
        self._draw = random.Random(f"{options.seed} {name}")
        self._whole = World.make(self._folder / "whole", data)
        with launchers.one() as launcher:
            start = time.monotonic()
            self._events = undisturbed(launcher, self._whole, words)
            self._seconds = time.monotonic() - start
        self._pool = Pool(launchers, self._folder, self._whole, words, data)

    def killed(self, points: int) -> list[Row]:
        """Kill at events and at moments, in equal parts; every fourth time its continuation, too."""
        events = sample(self._draw, len(self._events), points // 2)
        at_events = {f"event-{k}": self._blows(number, Disturbance(k)) for number, k in enumerate(events)}
        at_moments = {f"moment-{i}": self._blows(i, self._moment()) for i in range(points - points // 2)}
        return [
            self._row("SIGKILL at an event of", at_events, f"drawn from {len(self._events)}, every fourth time twice"),
            self._row("SIGKILL at any moment of", at_moments, "every fourth time twice"),
        ]

    def signalled(self, points: int, signum: int) -> Row:
        """Send a signal at events."""
        name = signal.Signals(signum).name
        events = sample(self._draw, len(self._events), points)
        return self._row(f"{name} at an event of", {f"{name}-{k}": [Disturbance(k, signum)] for k in events}, "drawn")

    def killed_often(self, trainings: int) -> Row:
        """Kill trainings again and again, with little time between."""
        points = {f"often-{i}": [self._moment(0.2, 0.5) for _ in range(TIMES_IN_ONE)] for i in range(trainings)}
        return self._row(f"SIGKILL {TIMES_IN_ONE} times in one run of", points)

    def killed_fresh(self, points: int) -> Row:
        """Kill at events with every command a new process."""
        events = sample(self._draw, len(self._events), points)
        pool = Pool(Launchers(FreshProcess), self._folder, self._whole, self._words, self._data)
        verdicts = pool.disturb("fresh processes", {f"fresh-{k}": [Disturbance(k)] for k in events})
        return row(f"SIGKILL at an event of {self._what}, every command a new `python -m mml`", verdicts)

    def _blows(self, number: int, first: Disturbance) -> list[Disturbance]:
        return [first] if number % 4 else [first, self._moment()]

    def _moment(self, earliest: float = 0.02, latest: float = 0.95) -> Disturbance:
        return Disturbance(after=round(self._seconds * self._draw.uniform(earliest, latest), 3))

    def _row(self, title: str, points: Mapping[str, Sequence[Disturbance]], note: str = "") -> Row:
        return row(f"{title} {self._what}", self._pool.disturb(f"{title} {self._what}", points), note)
