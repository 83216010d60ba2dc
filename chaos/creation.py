"""Kills the creation of tasks: a small one at every event, the handwritten digits at a sample of events and moments."""

import random
import time
from pathlib import Path

from chaos.compare import outcome
from chaos.harness import Disturbance, Pool, row, undisturbed
from chaos.kills import sample, tiny_source
from chaos.launchers import ForkServer, Launchers, World
from chaos.table import Options, Row
from mml.core.data_preparation.publish import MARK_FILE

DIGITS = ["create", "task=digits", "logging.progress=false"]
POINTS, QUICK = 100, 4


def run(options: Options) -> list[Row]:
    """Kill the small creation at every event, in both ways, and, unless in haste, that of digits at `points` (100)."""
    source = tiny_source(options.folder / "source", ["ants", "bees", "cats"], 6)
    small = ["create", "task=pets", f"mode.source={source}", "logging.progress=false"]
    rows = [_small(options, "a small task", small, None)]
    rows.append(
        _small(options, "a task in place of another", [*small, "mode.overwrite=true"], _created(options, small))
    )
    return rows if options.quick else [*rows, *_digits(options)]


def _light() -> ForkServer:
    return ForkServer(light=True)


def _created(options: Options, words: list[str]) -> Path:
    """Return a data folder in which the task exists already."""
    world = World.make(options.folder / "before")
    with Launchers(_light) as servers, servers.one() as server:
        undisturbed(server, world, [*words, "mode.folds=2"])
    return world.data


def _small(options: Options, name: str, words: list[str], data: Path | None) -> Row:
    """Kill at every event."""
    folder = options.folder / name.replace(" ", "_")
    draw = random.Random(f"{options.seed} {name}")
    whole = World.make(folder / "whole", data)
    with Launchers(_light) as servers:
        with servers.one() as server:
            events = undisturbed(server, whole, words)
        states = [_task(whole.root), _task(data.parent) if data else {}]

        def half_there(world: World) -> list[str]:
            """Look whether the task is whole, or what it was before, whatever the moment of the kill."""
            return [] if _task(world.root) in states else ["data/tasks/pets: neither new nor old"]

        points = sample(draw, len(events), QUICK if options.quick else len(events))
        pool = Pool(servers, folder, whole, words, data, between=half_there)
        verdicts = pool.disturb(name, {f"{k}": [Disturbance(k)] for k in points})
    note = "every event" if len(points) == len(events) else f"drawn from {len(events)} events"
    return row(f"SIGKILL in the creation of {name}", verdicts, note)


def _task(root: Path) -> dict[str, bytes]:
    """Return what there is of the task, without the file that names its run."""
    found = outcome(root).items()
    return {path: content for path, content in found if "/tasks/pets" in path and not path.endswith(MARK_FILE)}


def _digits(options: Options) -> list[Row]:
    """Kill at events and moments, in equal parts."""
    draw = random.Random(f"{options.seed} digits")
    folder = options.folder / "digits"
    most = options.points or POINTS
    whole = World.make(folder / "whole")
    with Launchers(ForkServer) as servers:
        with servers.one() as server:
            start = time.monotonic()
            events = undisturbed(server, whole, DIGITS)
            seconds = time.monotonic() - start
        pool = Pool(servers, folder, whole, DIGITS)
        at_events = {f"event-{k}": [Disturbance(k)] for k in sample(draw, len(events), most // 2)}
        times = [round(seconds * draw.uniform(0.02, 0.95), 3) for _ in range(most - most // 2)]
        at_moments = {f"moment-{i}": [Disturbance(after=after)] for i, after in enumerate(times)}
        what = "the creation of digits, 1,797 images"
        return [
            row(f"SIGKILL at an event of {what}", pool.disturb("digits", at_events), f"drawn from {len(events)}"),
            row(f"SIGKILL at any moment of {what}", pool.disturb("digits", at_moments)),
        ]
