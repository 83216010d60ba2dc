"""Start with 10,000 tasks and a warm index, beside `os.scandir` and `stat` over the same files."""

import os
import shutil
import tempfile
from pathlib import Path

from benchmarks._support import pairs, seconds, show
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_loading.task_attributes import Modality, TaskType
from mml.core.data_loading.task_description import DESCRIPTION_FILE, TaskDescription
from mml.core.data_loading.task_index import TASKS_FOLDER

TASKS = 10_000


def make_tasks(folder: Path) -> None:
    """Write descriptions of 50 samples each."""
    import msgspec

    for number in range(TASKS):
        samples = {f"{sample:04d}": {Modality.IMAGE: f"images/{sample}.png", Modality.CLASS: 0} for sample in range(50)}
        description = TaskDescription(
            name=f"task_{number:05d}",
            task_type=TaskType.CLASSIFICATION,
            idx_to_class={0: "cat", 1: "dog"},
            train_samples=samples,
            train_folds=[list(samples)],
        )
        path = folder / description.name / DESCRIPTION_FILE
        path.parent.mkdir(parents=True)
        path.write_bytes(msgspec.json.encode(description))


def scan(folder: Path) -> None:
    """Look at all files, and do no more."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] != ".":
                os.stat(os.path.join(entry.path, DESCRIPTION_FILE))  # noqa: PTH116, PTH118 # the floor has no Path


def start(data: Path, out: Path) -> None:
    """Do what a start does: a file manager, all tasks with their headers."""
    MMLFileManager.clear_instance()
    manager = MMLFileManager(data, out / "bench")
    if sum(1 for _ in manager.task_index.headers()) != TASKS:
        raise AssertionError


def main() -> None:
    """Measure in turn and print the ratio."""
    folder = Path(tempfile.mkdtemp(dir=Path.cwd()))
    try:
        tasks = folder / "data" / TASKS_FOLDER
        make_tasks(tasks)
        start(folder / "data", folder)
        ours, peer, ratio = pairs(
            lambda: seconds(lambda: start(folder / "data", folder)), lambda: seconds(lambda: scan(tasks))
        )
        detail = f"{ours * 1e3:.0f} ms / {peer * 1e3:.0f} ms"
        show("start with 10,000 tasks, warm / scandir + stat", ratio, "<= 3", detail)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
