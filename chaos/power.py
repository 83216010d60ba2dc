"""Cuts the power at every event: what was not durable by then is lost, and the run goes on with what is left."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from chaos.compare import done_steps
from chaos.harness import Pool, Verdict, finished, next_words, row, undisturbed
from chaos.kills import WORDS, sample, tiny_data, tiny_source
from chaos.launchers import ForkServer, Launcher, Launchers, World
from chaos.recorder import FOLDER
from chaos.shadow import JOURNALED, STRICT, Disk, Recording, Remains
from chaos.table import Options, Row
from chaos.training import TASK, TRAINING
from mml.core.scripts.journal import JOURNAL_FILE

# Events at which the power is cut: of anything in haste, of creations, trainings and each continuation.
QUICK, CREATION, TRAINED, CONTINUED = 4, 60, 24, 30
CONTINUATIONS = 6
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
    data: Path | None = None
    light: bool = True
    most: int | None = None


class Recorded(NamedTuple):
    """A command that was recorded: in which world, and in which world all of it was undisturbed."""

    recording: Recording
    world: World
    whole: World


def run(options: Options) -> list[Row]:
    """Cut the power of a small schedule at every event, of other work at some, in both models of a disk."""
    with Launchers(_light) as servers, servers.one() as server:
        data = tiny_data(server, options.folder / "tasks")
    small = Subject("a small schedule", WORDS, data, most=QUICK if options.quick else options.points)
    rows = cut_power(small, options)
    if options.quick:
        return rows
    source = tiny_source(options.folder / "source", ["ants", "bees", "cats"], 6)
    words = ["create", "task=pets", f"mode.source={source}", "logging.progress=false"]
    rows += cut_power(Subject("the creation of a small task", words, most=options.points or CREATION), options)
    rows += cut_power(_training(options), options)
    return rows


def _light() -> ForkServer:
    return ForkServer(light=True)


def _training(options: Options) -> Subject:
    """Create the task of a training, and return it."""
    world = World.make(options.folder / "digits")
    with Launchers(ForkServer) as servers, servers.one() as server:
        undisturbed(server, world, TASK)
    return Subject("a training", TRAINING, world.data, light=False, most=options.points or TRAINED)


def cut_power(subject: Subject, options: Options) -> list[Row]:
    """Record an undisturbed run and cut its power, in each model of a disk; then of runs that are continued."""
    folder = options.folder / subject.name.replace(" ", "_")
    whole = World.make(folder / "whole", subject.data)
    with Launchers(_light if subject.light else ForkServer) as servers:
        with servers.one() as server:
            undisturbed(server, whole, subject.words, record=str(folder / "record"))
        recorded = Recorded(Recording(folder / "record"), whole, whole)
        pool = Pool(servers, folder, whole, subject.words)
        rows = [_in_model(pool, subject, recorded, model, options) for model in MODELS]
        if subject.data is not None and not options.quick:
            rows.append(_continuations(servers, pool, subject, recorded, options))
    return rows


def _in_model(pool: Pool, subject: Subject, recorded: Recorded, model: str, options: Options) -> Row:
    draw = random.Random(f"{options.seed} {subject.name} {model}")
    events = len(recorded.recording.cuts)
    numbers = sample(draw, events, subject.most or events)
    verdicts = _cut(pool, subject, recorded, [(number, model) for number in numbers])
    note = "every event" if len(numbers) == events else f"drawn from {events} events"
    return row(f"power cut of {subject.name}: {MODELS[model]}", verdicts, note)


def _continuations(servers: Launchers, pool: Pool, subject: Subject, recorded: Recorded, options: Options) -> Row:
    """Cut the power of processes that continue a run that was killed: they put things right before they go on."""
    draw = random.Random(f"{options.seed} {subject.name} continued")
    verdicts = []
    for number in sample(draw, len(recorded.recording.cuts), CONTINUATIONS):
        folder = recorded.world.root.with_name(f"continued-{number}")
        world = World.make(folder / "killed", subject.data)
        with servers.one() as server:
            server.run(world, subject.words, world.plan(kill_at=number))
            undisturbed(server, world, next_words(world, subject.words) or ["info"], record=str(folder / "record"))
        again = Recorded(Recording(folder / "record"), world, recorded.whole)
        cuts = sample(draw, len(again.recording.cuts), CONTINUED if subject.light else 2)
        verdicts += _cut(pool, subject, again, [(cut, draw.choice(list(MODELS))) for cut in cuts])
    return row(f"power cut of {subject.name} that goes on after a kill: either model", verdicts)


def _cut(pool: Pool, subject: Subject, recorded: Recorded, points: Sequence[tuple[int, str]]) -> list[Verdict]:
    """Cut the power at events, each in a model of a disk, and go on."""

    def one(launcher: Launcher, point: tuple[int, str]) -> Verdict:
        number, model = point
        world = World.make(recorded.world.root.with_name(f"{recorded.world.root.parent.name}-{model}-{number}"))
        return pool.judge(world, _cut_once(launcher, subject, recorded, world, point))

    return pool.map(f"power of {subject.name}", points, one)


def _cut_once(
    launcher: Launcher, subject: Subject, recorded: Recorded, world: World, point: tuple[int, str]
) -> Verdict:
    """Build what a cut leaves, and go on with it; steps whose record was lost count as repeated."""
    (number, model), (recording, before, whole) = point, recorded
    cut, draw = recording.cuts[number - 1], random.Random(f"{model} {number}")
    disk = Remains(recording, str(before.root), world.root).build(cut, model, draw, before.watched)
    lost = _recorded(recording, disk, before, world) - _left(world)
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
