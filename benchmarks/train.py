"""Samples per second of `mml train` beside a hand-written PyTorch loop: same network, images, batches and workers.

On Fashion-MNIST (PNG files, 28 pixels) with `arch=tiny`, and on JPEG files of 224 pixels with a timm network. The loop
is what one would write: a Dataset that opens files, a DataLoader, one `for`. Each is a process of its own, in turn.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks._support import pairs, python, show
from tests.support.real_data import fashion_mnist_idx

BATCH, WORKERS, EPOCHS = 128, 2, 2
CASES = {
    "Fashion-MNIST, arch=tiny": ("fashion_mnist", ("arch=tiny",)),
    "Fashion-MNIST, arch=tiny, sampling.cache=never": ("fashion_mnist", ("arch=tiny", "sampling.cache=never")),
    "224-pixel JPEG, timm": ("photos", ("arch=timm", "arch.name=mobilenetv3_small_100", "arch.pretrained=false")),
}


def overrides(case: str, folder: Path) -> list[str]:
    """Return the overrides of a case; validation and augmentation are left out, as in the loop."""
    task, arch = CASES[case]
    return [
        "mode=train",
        f"task={task}",
        *arch,
        f"data_dir={folder / 'data'}",
        f"out_dir={folder / 'results'}",
        "augmentations=none",
        f"sampling.batch_size={BATCH if task == 'fashion_mnist' else 32}",
        f"sampling.num_workers={WORKERS}",
        f"trainer.max_epochs={EPOCHS}",
        "trainer.limit_val_batches=0",
        "mode.subroutines=[train]",
        "mode.keep=last",
        "seed=42",
    ]


def ours(case: str, folder: Path) -> float:
    """Train by the train mode's own scheduler and return samples per second of the last epoch."""
    from hydra.utils import instantiate
    from lightning import Callback

    from mml.config_loading import compose

    marks: list[tuple[float, int]] = []

    class Clock(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 # Lightning's signature
            marks.append((time.perf_counter(), len(trainer.train_dataloader.dataset)))

    cfg = compose(overrides(case, folder))
    scheduler = instantiate(cfg.mode.scheduler, cfg=cfg, _recursive_=False)
    make = scheduler.create_trainer

    def with_clock(*args: Any, **kwargs: Any) -> Any:
        trainer = make(*args, **kwargs)
        trainer.callbacks.append(Clock())
        return trainer

    scheduler.create_trainer = with_clock
    scheduler.run()
    (before, _), (after, samples) = marks[-2:]
    return samples / (after - before)


def by_hand(case: str, folder: Path) -> float:
    """Train by a hand-written loop and return samples per second of the last epoch."""
    import numpy as np
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from mml.config_loading import compose
    from mml.core.data_loading.task_index import TaskIndex
    from mml.core.data_loading.task_struct import TaskStruct
    from mml.core.scripts.factories import create_model

    class Files(Dataset[tuple[torch.Tensor, int]]):
        def __init__(self, struct: TaskStruct, mode: str) -> None:
            names = [name for fold in struct.description.train_folds[1:] for name in fold]
            samples = [struct.description.train_samples[name] for name in names]
            self.items = [(struct.folder / str(s["image"]), int(s["class"])) for s in samples]  # type: ignore[index, arg-type]
            self.mode = mode

        def __len__(self) -> int:
            return len(self.items)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            path, label = self.items[index]
            with Image.open(path) as image:
                pixels = np.array(image.convert(self.mode))
            tensor = torch.from_numpy(pixels)
            tensor = tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)
            return (tensor.float() / 255 - 0.45) / 0.25, label

    cfg = compose(overrides(case, folder))
    task = cfg.task_list[0]
    index = TaskIndex(folder / "data")
    struct = TaskStruct(index.header(task), folder / "data" / "tasks" / task)
    torch.manual_seed(42)
    model = create_model(cfg, [struct]).model
    dataset = Files(struct, "L" if task == "fashion_mnist" else "RGB")
    loader = DataLoader(
        dataset, cfg.sampling.batch_size, shuffle=True, num_workers=WORKERS, persistent_workers=True, drop_last=False
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    steps = EPOCHS * len(loader)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps)
    criterion = torch.nn.CrossEntropyLoss()
    marks = []
    for _ in range(EPOCHS):
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(images)[task], labels)
            loss.backward()
            optimizer.step()
            schedule.step()
        marks.append(time.perf_counter())
    return len(dataset) / (marks[-1] - marks[-2])


def make_photos(folder: Path) -> Path:
    """Write 600 patches of 224 pixels of scikit-learn's two photos as JPEG, a folder per photo."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_image

    random = np.random.default_rng(0)
    for name in ("china", "flower"):
        photo = load_sample_image(f"{name}.jpg")
        (folder / name).mkdir(parents=True)
        for number in range(300):
            top, left = random.integers(photo.shape[0] - 224), random.integers(photo.shape[1] - 224)
            patch = Image.fromarray(photo[top : top + 224, left : left + 224])
            patch.save(folder / name / f"{number:03d}.jpg", quality=90)
    return folder


def prepare(folder: Path) -> None:
    """Create both tasks by the create mode."""
    where = [f"data_dir={folder / 'data'}", f"out_dir={folder / 'results'}", "logging.progress=false"]
    sources = {"fashion_mnist": fashion_mnist_idx(), "photos": make_photos(folder / "photos")}
    for task, source in sources.items():
        command = python("-m", "mml", "create", f"task={task}", f"mode.source={source}", *where)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measured(which: str, case: str, folder: Path) -> float:
    """Measure in a process of its own."""
    command = python("-m", "benchmarks.train", "--one", which, case, str(folder))
    # One thread for both: OpenMP's threads wait for one another, so that a second busy process on the machine decides.
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return float(json.loads(result.stdout.splitlines()[-1]))


def cases(wanted: str) -> Iterator[str]:
    """Return the cases whose name holds `wanted`."""
    return (case for case in CASES if wanted in case)


def main() -> None:
    """Measure in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=3, metavar=("WHICH", "CASE", "FOLDER"), help="measure in this process")
    parser.add_argument("--only", default="", help="cases with this text in their name")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.one:
        which, case, folder = arguments.one
        print(json.dumps({"ours": ours, "by_hand": by_hand}[which](case, Path(folder))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for case in cases(arguments.only):
            mine, hand, ratio = pairs(
                lambda case=case: measured("ours", case, folder),  # type: ignore[misc]
                lambda case=case: measured("by_hand", case, folder),  # type: ignore[misc]
                runs=arguments.runs,
            )
            show(f"train / hand-written loop, {case}", ratio, ">= 0.95", f"{mine:,.0f} / {hand:,.0f} samples/s")


if __name__ == "__main__":
    main()
