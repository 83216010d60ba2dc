"""Cuts the power at every event: what was not durable by then is lost, and the run goes on with what is left."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from chaos.compare import done_steps
from chaos.harness import Pool, Verdict, finished, row, undisturbed
from chaos.kills import WORDS, sample, tiny_data
from chaos.launchers import ForkServer, Launcher, Launchers, World
from chaos.recorder import FOLDER
from chaos.shadow import JOURNALED, STRICT, Disk, Recording, Remains
from chaos.table import Options, Row
from mml.core.scripts.journal import JOURNAL_FILE

# Events of a schedule at which the power is cut, where not at all.
QUICK = 6
MODELS = {
    STRICT: "only what POSIX promises is left",
    JOURNALED: "names in their order, files not fsynced old, empty or torn",
}


class Subject(NamedTuple):
    """What the power is cut of.

    Attributes:
        name: what it is.
        words: the command.
        data: folder of the data that it begins with, None for an empty one.
        light: whether libraries for training are left out of the server.
        most: how many events are drawn, None for all.
    """

    name: str
    words: list[str]
    data: Path | None
    light: bool
    most: int | None


def run(options: Options) -> list[Row]:
    """Cut the power of a small schedule at every event, in both models of a disk."""
    with Launchers(lambda: ForkServer(light=True)) as servers, servers.one() as server:
        data = tiny_data(server, options.folder / "tasks")
    subjects = [Subject("a small schedule", WORDS, data, light=True, most=QUICK if options.quick else options.points)]
    return [row for subject in subjects for row in cut_power(subject, options)]


def cut_power(subject: Subject, options: Options) -> list[Row]:
    """Record an undisturbed run and cut its power, in each model of a disk."""
    folder = options.folder / subject.name.replace(" ", "_")
    whole = World.make(folder / "whole", subject.data)
    with Launchers(lambda: ForkServer(light=subject.light)) as servers:
        with servers.one() as server:
            undisturbed(server, whole, subject.words, record=str(folder / "record"))
        pool = Pool(servers, folder, whole, subject.words)
        recording = Recording(folder / "record")
        return [_in_model(pool, subject, recording, whole, model, options) for model in MODELS]


def _in_model(pool: Pool, subject: Subject, recording: Recording, whole: World, model: str, options: Options) -> Row:
    draw = random.Random(f"{options.seed} {subject.name} {model}")
    numbers = sample(draw, len(recording.cuts), subject.most or len(recording.cuts))
    folder = options.folder / subject.name.replace(" ", "_")

    def cut(launcher: Launcher, number: int) -> Verdict:
        world = World.make(folder / f"{model}-{number}")
        return pool.judge(world, _cut_once(launcher, subject, recording, (world, whole), (number, model)))

    verdicts = pool.map(f"power of {subject.name}, {model}", numbers, cut)
    note = "every event" if len(numbers) == len(recording.cuts) else f"drawn from {len(recording.cuts)} events"
    return row(f"power cut of {subject.name}: {MODELS[model]}", verdicts, note)


def _cut_once(
    launcher: Launcher,
    subject: Subject,
    recording: Recording,
    worlds: tuple[World, World],
    point: tuple[int, str],
) -> Verdict:
    """Build what a cut leaves, and go on with it; steps whose record was lost count as repeated."""
    (world, whole), (number, model) = worlds, point
    cut = recording.cuts[number - 1]
    disk = Remains(recording, str(whole.root), world.root).build(
        cut, model, random.Random(f"{model} {number}"), whole.watched
    )
    lost = _recorded(recording, disk, whole, world) - _left(world)
    event = recording.log[cut]
    story = f"power cut before event {number}, {event['event']} {' '.join(event['paths'])}"
    verdict = finished(launcher, world, subject.words, whole, Verdict(True, 0, [], story=story))
    return verdict._replace(repeated=verdict.repeated + max(lost, 0))


def _recorded(recording: Recording, disk: Disk, whole: World, world: World) -> int:
    """Return how many steps were durably recorded as done, if only the record can be found again."""
    journals = {
        node.number
        for path, node in disk.seen.items()
        if path.startswith(str(whole.results)) and path.endswith(f"/{JOURNAL_FILE}") and node.content != FOLDER
    }
    contents = [recording.contents / disk.durable[number] for number in journals if number in disk.durable]
    return sum(done_steps(path.read_bytes(), world.root / "scratch") for path in contents)


def _left(world: World) -> int:
    journals: Sequence[Path] = list(world.results.glob(f"*/runs/*/{JOURNAL_FILE}"))
    return sum(done_steps(path.read_bytes(), world.root / "scratch") for path in journals)
