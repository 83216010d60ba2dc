"""Fashion-MNIST, `arch=tiny`, five epochs, seed 42, all else as by default: test accuracy and wall time."""

import json
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks._support import python, show
from tests.support.real_data import fashion_mnist_idx


def main() -> None:
    """Create, train and test by the command line, and print the accuracy."""
    with tempfile.TemporaryDirectory() as name:
        where = [f"data_dir={name}/data", f"out_dir={name}/results", "logging.progress=false"]
        create = ["create", "task=fashion_mnist", f"mode.source={fashion_mnist_idx()}"]
        subprocess.run(python("-m", "mml", *create, *where), check=True, stdout=subprocess.DEVNULL)
        start = time.perf_counter()
        train = ["train", "task=fashion_mnist", "arch=tiny", "trainer.max_epochs=5", "seed=42"]
        subprocess.run(python("-m", "mml", *train, *where), check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        (record,) = Path(name, "results", "default", "MODELS", "fashion_mnist").glob("*.json")
        metrics = json.loads(record.read_text())["metrics"]
    accuracy = next(entry["accuracy"] for entry in metrics if entry["split"] == "test")
    show("Fashion-MNIST, five epochs: test accuracy", accuracy, ">= 0.91", f"{accuracy:.4f} in {seconds:.0f} s")


if __name__ == "__main__":
    main()
