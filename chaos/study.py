"""The same five-fold study on Fashion-MNIST with every runner, its driver killed and continued: equal results."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

from chaos.engines import ENGINES, Engine, SerialEngine, kill_driver
from chaos.harness import row
from chaos.runners import Study, opened
from chaos.table import Options, Row
from mml.testing.driving import World

STUDY = [
    "train",
    "task=fashion_mnist",
    "mode.cv=true",
    "arch.drop_rate=0.1",
    "augmentations=flip",
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=40",
    "trainer.limit_val_batches=10",
    "trainer.limit_test_batches=10",
    "trainer.limit_predict_batches=10",
    "trainer.checkpoint_minutes=0.05",
    "sampling.num_workers=0",
    "logging.progress=false",
]
_STEPS = 15
QUICK = ["trainer.max_epochs=1", "trainer.limit_train_batches=5"]


def run(options: Options) -> list[Row]:
    """Train with each runner, with its driver killed `points` times (1, at most 14) on the way."""
    from tests.support.real_data import fashion_mnist_idx

    data = options.folder / "data"
    tasks = World(options.folder / "tasks", data)
    tasks.ends(tasks.start("create", "task=fashion_mnist", f"mode.source={fashion_mnist_idx()}"))
    study = Study(options, [*STUDY, *(QUICK if options.quick else [])], data)
    return [_with(make, study, options) for make in (SerialEngine, *(ENGINES[:1] if options.quick else ENGINES))]


def _with(make: Callable[[Path], Engine], study: Study, options: Options) -> Row:
    """Train with an engine, and kill the driver when so many steps are done."""
    with opened(make, options.folder) as engine:
        draw = random.Random(f"{options.seed} {engine.name} study")
        numbers = sorted(draw.sample(range(1, _STEPS), options.points or 1))
        waiting = list(numbers)

        def kill(world: World, driver: "subprocess.Popen[bytes]", draw: random.Random) -> bool:
            return _done(world) >= waiting[0] and bool(waiting.pop(0)) and kill_driver(world, driver, draw)

        engine.victims["the driver"] = kill
        verdict = study.struck(engine, "the driver", "study", [0.0] * len(numbers))
    what = f"SIGKILL to the driver of five folds on Fashion-MNIST, runner={engine.name}"
    return row(
        what, [verdict], f"when {', '.join(map(str, numbers))} of {_STEPS} steps were done; compared with serial"
    )


def _done(world: World) -> int:
    """Return how many steps the journal of the only run has as done."""
    return sum(path.read_bytes().count(b'{"event":"done"') for path in world.results.glob("*/runs/*/journal.jsonl"))
