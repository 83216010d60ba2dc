"""Kills one training on Fashion-MNIST, 60,000 real images, ten times at random moments, and compares all it leaves."""

import random
import time

from chaos.harness import Disturbance, disturbed, finished, row, undisturbed
from chaos.launchers import ForkServer, Launchers, World
from chaos.table import Options, Row

TRAINING = [
    "train",
    "task=fashion_mnist",
    "trainer.max_epochs=3",
    "trainer.checkpoint_minutes=0.01",
    "logging.progress=false",
]
KILLS, QUICK_KILLS = 10, 2
QUICK = ["trainer.max_epochs=1", "trainer.limit_train_batches=50"]


def run(options: Options) -> list[Row]:
    """Kill `points` times (10), each time the process that went on from the time before."""
    from tests.support.real_data import fashion_mnist_idx

    words = [*TRAINING, *(QUICK if options.quick else [])]
    kills = QUICK_KILLS if options.quick else options.points or KILLS
    draw = random.Random(f"{options.seed} fashion_mnist")
    with Launchers(ForkServer) as servers, servers.one() as server:
        tasks = World.make(options.folder / "tasks")
        undisturbed(server, tasks, ["create", "task=fashion_mnist", f"mode.source={fashion_mnist_idx()}"])
        whole, killed = (World.make(options.folder / name, tasks.data) for name in ("whole", "killed"))
        start = time.monotonic()
        undisturbed(server, whole, words)
        seconds = time.monotonic() - start
        moments = [Disturbance(after=round(seconds * draw.uniform(0.05, 0.3), 3)) for _ in range(kills)]
        so_far = disturbed(server, killed, words, moments, lambda _: [])
        verdict = finished(server, killed, words, whole, so_far)
    counts = f"{kills} kills, drawn from moments up to {0.3 * seconds:.0f} s after a start; undisturbed {seconds:.0f} s"
    return [row("SIGKILL again and again in a training on Fashion-MNIST, 3 epochs", [verdict], counts)]
