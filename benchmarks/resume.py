"""What it costs that a training can go on in its midst: the same training with and without checkpoints, in turn.

Fashion-MNIST with `arch=tiny`. Both are trained in one process, an epoch of one and an epoch of the other, so that the
machine's mood hits both; the ratio is taken of the processor time of an epoch and what follows it, and of wall time.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._support import python, show
from tests.support.real_data import fashion_mnist_idx

EPOCHS = 2


def prepare(folder: Path) -> None:
    """Create the task by the create mode."""
    import subprocess

    where = [f"data_dir={folder / 'data'}", f"out_dir={folder / 'results'}", "logging.progress=false"]
    command = python("-m", "mml", "create", "task=fashion_mnist", f"mode.source={fashion_mnist_idx()}", *where)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Trainings:
    """Trains the same model over and over, with or without checkpoints."""

    def __init__(self, root: Path, minutes: str) -> None:
        from mml.config_loading import compose
        from mml.core.data_loading.file_manager import MMLFileManager

        self.cfg = compose(
            [
                "mode=train",
                "task=fashion_mnist",
                f"data_dir={root / 'data'}",
                f"out_dir={root / 'results'}",
                f"trainer.max_epochs={EPOCHS}",
                f"trainer.checkpoint_minutes={minutes}",
                "logging.progress=false",
                "logging.tensorboard=false",
                "sampling.num_workers=0",
            ]
        )
        MMLFileManager.clear_instance()
        self.fm = MMLFileManager(data_path=root / "data", proj_path=root / "results" / "default")
        self.root, self.number = root, 0

    def train(self, *, checkpoints: bool) -> tuple[float, float]:
        """Return processor and wall time of one training."""
        from mml.core.scripts import factories
        from mml.core.scripts.progress import RunProgress

        self.number += 1
        struct = self.fm.load_struct("fashion_mnist")
        model = factories.create_model(self.cfg, [struct])
        data = factories.create_datamodule(self.cfg, [struct], 0, 7)
        kept: dict[str, Any] = {"folder": self.root / f"training_{self.number}"} if checkpoints else {}
        trainer = factories.create_trainer(
            self.cfg, fm=self.fm, progress=RunProgress(enabled=False), seed=7, metrics_callback=True, **kept
        )
        processor, wall = time.process_time(), time.perf_counter()
        trainer.fit(model, datamodule=data)
        return time.process_time() - processor, time.perf_counter() - wall


def main() -> None:
    """Measure in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--minutes", default="5", help="trainer.checkpoint_minutes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        trainings = Trainings(Path(name), arguments.minutes)
        trainings.train(checkpoints=False)  # decodes the images
        found = []
        for number in range(arguments.runs):
            order = (True, False) if number % 2 else (False, True)
            both = {checkpoints: trainings.train(checkpoints=checkpoints) for checkpoints in order}
            found.append([both[True][kind] / both[False][kind] for kind in (0, 1)] + [both[True][1], both[False][1]])
        processor, wall, ours, peer = (statistics.median(column) for column in zip(*found, strict=True))
        detail = f"{arguments.runs} pairs of {EPOCHS} epochs, checkpoint_minutes={arguments.minutes}"
        show("training with / without checkpoints, processor time", processor, "<= 1.02", detail)
        show("training with / without checkpoints, wall time", wall, "<= 1.02", f"{ours:.1f} / {peer:.1f} s, {detail}")


if __name__ == "__main__":
    main()
