"""Kills a schedule of small steps at every event, its continuation too, and interrupts it with signals."""

import random
import signal
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from chaos.harness import Disturbance, Pool, row, undisturbed
from chaos.launchers import ForkServer, FreshProcess, Launcher, Launchers, World
from chaos.table import Options, Row

WORDS = ["noop", "task=[ants,bees]", "reuse.clean_up.noop_scrap=true", "logging.progress=false"]
# Of a fresh process per command, which takes two seconds; of kills during a continuation; of signals.
FRESH, TWICE, SIGNALS = 12, 150, 60
QUICK = 5


def run(options: Options) -> list[Row]:
    """Kill at every event (or `points` of them), twice at a sample, and with signals."""
    draw = random.Random(options.seed)
    with Launchers(lambda: ForkServer(light=True)) as servers:
        with servers.one() as server:
            data = tiny_data(server, options.folder / "tasks")
            whole = World.make(options.folder / "whole", data)
            events = undisturbed(server, whole, WORDS)
        pool = Pool(servers, options.folder / "forked", whole, WORDS, data)
        rows = [_at_every_event(pool, events, options, draw), _twice(pool, events, options, draw)]
        rows += [_signalled(pool, events, signum, options, draw) for signum in (signal.SIGTERM, signal.SIGINT)]
    points = sample(draw, len(events), 1 if options.quick else min(options.points or FRESH, FRESH))
    pool = Pool(Launchers(FreshProcess), options.folder / "fresh", whole, WORDS, data)
    verdicts = pool.disturb("fresh processes", {f"{k}": [Disturbance(k)] for k in points})
    return [*rows, row("SIGKILL, every command a new `python -m mml`", verdicts, "events drawn")]


def sample(draw: random.Random, events: int, most: int) -> list[int]:
    """Return numbers of events, at most `most`, drawn without return and sorted."""
    return sorted(draw.sample(range(1, events + 1), min(most, events)))


def tiny_data(launcher: Launcher, folder: Path) -> Path:
    """Return a data folder with two tasks of a few images, created by `mml create`."""
    world = World.make(folder)
    for task in ("ants", "bees"):
        source = tiny_source(world.root / task, ["many", "few"], 5)
        undisturbed(launcher, world, ["create", f"task={task}", f"mode.source={source}", "logging.progress=false"])
    return world.data


def tiny_source(folder: Path, classes: Sequence[str], images: int) -> Path:
    """Draw images of a few pixels, in a folder per class."""
    draw = random.Random(len(classes) * images)
    for label in classes:
        (folder / label).mkdir(parents=True)
        for number in range(images):
            image = Image.frombytes("L", (8, 8), draw.randbytes(64))
            image.save(folder / label / f"{number}.png")
    return folder


def _at_every_event(pool: Pool, events: Sequence[str], options: Options, draw: random.Random) -> Row:
    most = QUICK if options.quick else options.points or len(events)
    points = sample(draw, len(events), most)
    verdicts = pool.disturb("SIGKILL", {f"{k}": [Disturbance(k)] for k in points})
    note = "every event" if len(points) == len(events) else f"drawn from {len(events)} events"
    return row("SIGKILL at a file-system event or write of a small schedule", verdicts, note)


def _twice(pool: Pool, events: Sequence[str], options: Options, draw: random.Random) -> Row:
    """Kill the continuation, too: its first events are the ones in which it puts things right."""
    most = QUICK if options.quick else options.points or TWICE
    firsts = [draw.randint(1, len(events)) for _ in range(most)]
    points = {
        f"{number}-{k}-twice": [Disturbance(k), Disturbance(draw.choice((draw.randint(1, 40), draw.randint(1, 200))))]
        for number, k in enumerate(firsts)
    }
    verdicts = pool.disturb("SIGKILL twice", points)
    return row("SIGKILL, and again while it continues", verdicts, f"pairs drawn from {len(events)} events")


def _signalled(pool: Pool, events: Sequence[str], signum: int, options: Options, draw: random.Random) -> Row:
    most = QUICK if options.quick else options.points or SIGNALS
    name = signal.Signals(signum).name
    points = {f"{k}-{name}": [Disturbance(k, signum)] for k in sample(draw, len(events), most)}
    return row(f"{name} at an event", pool.disturb(name, points), f"drawn from {len(events)} events")
