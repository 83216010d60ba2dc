"""Faults in what a training leaves: damaged checkpoints, weights, records and pipelines, and images that are gone."""

import random
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from chaos import faults
from chaos.harness import Verdict, finished, row, undisturbed
from chaos.hostile_trained import TEST, copied, one, trained_world
from chaos.launchers import ForkServer, World
from chaos.table import Options, Row
from chaos.training import TASK, TRAINING

Damage = Callable[[Path], object]
# How a file can be damaged.
DAMAGES: dict[str, Damage] = {
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "cut by a byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "with a bit turned": lambda path: _turn_bit(path),
    "of zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "gone": Path.unlink,
}
_CHECKPOINTS = "*/runs/*/temp/TRAINING/*/*/[0-9]*.ckpt"
_SAID = ("is damaged", "can't be read", "starts anew")


def run(options: Options) -> list[Row]:
    """Damage what trainings left, and go on."""
    server = ForkServer()
    try:
        return [*_checkpoints(options, server), *_models(options, server), _images(options, server)]
    finally:
        server.close()


def _turn_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _checkpoints(options: Options, server: ForkServer) -> list[Row]:
    """Damage the newest checkpoint of a training that was killed, or all: it goes on from an earlier point."""
    tasks = World.make(options.folder / "digits")
    undisturbed(server, tasks, TASK)
    whole = World.make(options.folder / "whole_training", tasks.data)
    events = undisturbed(server, whole, TRAINING)
    killed = World.make(options.folder / "killed_training", tasks.data)
    number = _with_checkpoints(server, killed, events, random.Random(options.seed))
    kept = copied(killed.root, options.folder / "kept_training").root
    rows = []
    for which, count in (("the newest checkpoint", 1), ("all checkpoints", None)):
        verdicts = []
        for name, damage in DAMAGES.items():
            # In the place of the first one, whose path its config holds.
            shutil.rmtree(killed.root)
            world = copied(kept, killed.root)
            world.output.unlink(missing_ok=True)
            found = sorted(world.results.glob(_CHECKPOINTS), key=lambda path: path.stat().st_mtime_ns)
            for path in found[-count:] if count else found:
                damage(path)
            verdict = finished(server, world, TRAINING, whole, Verdict(True, 0, [], story=f"{which} {name}"))
            said = world.output.read_text(errors="replace")
            aloud = name == "gone" or any(text in said for text in _SAID)
            verdicts.append(_judged(world, verdict._replace(survived=verdict.survived and aloud), said))
            killed.root.mkdir(exist_ok=True)
        rows.append(row(f"{which} of a training damaged", verdicts, f"{', '.join(DAMAGES)}; killed at event {number}"))
    return rows


def _with_checkpoints(server: ForkServer, world: World, events: Sequence[str], draw: random.Random) -> int:
    """Kill a training when there are two checkpoints at least, and return the event.

    Raises:
        RuntimeError: there never are.
    """
    places = [number for number, event in enumerate(events, start=1) if "TRAINING" in event]
    middle = places[len(places) // 2 :]
    for _ in range(10):
        number = draw.choice(middle)
        server.run(world, TRAINING, world.plan(kill_at=number))
        if len(list(world.results.glob(_CHECKPOINTS))) >= 2:
            return number
        shutil.rmtree(world.results)
        world.results.mkdir()
    msg = "no moment with two checkpoints was found"
    raise RuntimeError(msg)


def _models(options: Options, server: ForkServer) -> list[Row]:
    """Damage what a trained model consists of: a run that needs it says so, and goes on when it is back."""
    start = trained_world(server, options.folder / "trained")
    whole = copied(start, options.folder / "whole_test")
    undisturbed(server, whole, TEST)
    rows = []
    for what, pattern in (("record", "MODELS/**/*.json"), ("weights", "*.safetensors"), ("pipeline", "pipeline*.yaml")):
        verdicts = []
        for name, damage in DAMAGES.items():
            world = copied(start, options.folder / f"{what}-{name}".replace(" ", "_"))
            path = one(world.results / "default", pattern)
            good = path.read_bytes()
            damage(path)
            ended = server.run(world, TEST)
            # A bit of a weight may change without anybody being able to tell; of a pipeline, the first part is enough.
            unnoticed = ["with a bit turned", *(["cut in half", "cut by a byte"] if what == "pipeline" else [])]
            codes = (0, 1, 2) if name in unnoticed else (1, 2)
            fault = faults.said_clearly(world, ended.code, ended.hung, codes=codes)
            said = world.output.read_text(errors="replace")
            path.write_bytes(good)
            if ended.code == 0:
                shutil.rmtree(world.root)
                verdicts.append(Verdict(survived=not fault, repeated=0, differing=[]))
                continue
            verdict = _repeated(server, world, whole, fault)
            verdicts.append(_judged(world, verdict, said))
        rows.append(row(f"{what} of a model damaged", verdicts, f"{', '.join(DAMAGES)}; then restored"))
    return rows


def _repeated(server: ForkServer, world: World, whole: World, fault: str) -> Verdict:
    """Run the command again with all in order; what a refused run left is no result."""
    shutil.rmtree(world.results / "later", ignore_errors=True)
    verdict = Verdict(survived=not fault, repeated=0, differing=[], story=fault)
    ended = server.run(world, TEST)
    fine = ended.code == 0 and (world.results / "later").is_dir() == (whole.results / "later").is_dir()
    return verdict._replace(survived=verdict.survived and fine)


def _images(options: Options, server: ForkServer) -> Row:
    """Take the images of a task away while it is trained on, and put them back."""
    words = [*TRAINING, "sampling.cache=never"]
    tasks = World(options.folder / "digits")
    whole = World.make(options.folder / "whole_images", tasks.data)
    events = undisturbed(server, whole, words)
    verdicts = []
    for part in (3, 2):
        world = World.make(options.folder / f"images-{part}", tasks.data)
        images, aside = world.data / "tasks" / "digits" / "images", world.root / "aside"
        code = faults.stopped_at(world, words, len(events) // part, partial(images.rename, aside))
        fault = faults.said_clearly(world, code, hung=False, codes=(0, 1, 2))
        if aside.exists():
            aside.rename(images)
        said = world.output.read_text(errors="replace")
        verdict = faults.mended(server, world, words, whole, fault, f"images gone at {len(events) // part}")
        verdicts.append(_judged(world, verdict, said))
    return row("images removed while a training reads them", verdicts, "then put back")


def _judged(world: World, verdict: Verdict, said: str) -> Verdict:
    if verdict.survived and not verdict.repeated and not verdict.differing:
        shutil.rmtree(world.root)
    else:
        text = [verdict.story, *verdict.differing, said]
        title = (verdict.story.splitlines() or [""])[0][:60].replace("/", "_")
        world.root.with_name(f"{world.root.name}-{title}.loss.txt").write_text("\n".join(text))
    return verdict
