"""One no-op step, all told, beside the floor: a 300-byte append and fsync on the same disk.

For the first steps and the last of 5,000, for 1 task and for 200.
"""

import os
import tempfile
import time
from pathlib import Path

from omegaconf import DictConfig

from benchmarks._steps import config
from benchmarks._support import show
from mml.core.data_loading.task_attributes import TaskType
from mml.core.data_loading.task_description import DESCRIPTION_FILE, TaskDescription, store_description
from mml.core.data_loading.task_index import TASKS_FOLDER
from mml.core.scripts.base_scheduler import AbstractBaseScheduler

STEPS = 5_000
WINDOW = 500


class NoOpScheduler(AbstractBaseScheduler):
    """Does nothing `mode.steps` times, with the struct of a task in hand, and notes when."""

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, available_subroutines=["work"])
        self.times: list[float] = []

    def create_routine(self) -> None:
        """Plan the steps, the tasks in turn."""
        for number in range(self.cfg.mode.steps):
            self.add_step(self.work, self.task_list[number % len(self.task_list)], number)

    def work(self, task: str, _number: int) -> None:
        """Do nothing."""
        self.get_struct(task)
        self.times.append(time.perf_counter())


def floor(folder: Path, count: int) -> float:
    """Return the seconds of one append of 300 bytes and fsync."""
    handle = os.open(folder / "floor", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    start = time.perf_counter()
    for _ in range(count):
        os.write(handle, b"x" * 300)
        os.fsync(handle)
    os.close(handle)
    return (time.perf_counter() - start) / count


def steps(folder: Path, tasks: int) -> list[float]:
    """Run the no-op schedule and return when each step ran."""
    names = [f"task_{number}" for number in range(tasks)]
    for name in names:
        description = TaskDescription(name=name, task_type=TaskType.CLASSIFICATION)
        store_description(description, folder / "data" / TASKS_FOLDER / name / DESCRIPTION_FILE)
    scheduler = NoOpScheduler(config(folder, NoOpScheduler, {"steps": STEPS}, task_list=names))
    scheduler.run()
    return scheduler.times


def main() -> None:
    """Measure in turn and print the ratios."""
    import numpy  # noqa: F401 # loaded as in a real run, so that seeding it is part of a step
    import torch  # noqa: F401 # likewise

    for tasks in (1, 200):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
            folder = Path(name)
            before = floor(folder, WINDOW)
            times = steps(folder, tasks)
            after = floor(folder, WINDOW)
        first = (times[10 + WINDOW] - times[10]) / WINDOW
        last = (times[-1] - times[-1 - WINDOW]) / WINDOW
        whole = (times[-1] - times[0]) / (STEPS - 1)
        base = (before + after) / 2
        detail = f"{whole * 1e6:.0f} us / {base * 1e6:.0f} us"
        show(f"no-op step / append + fsync, {tasks} task(s)", whole / base, "<= 1.5", detail)
        detail = f"{last * 1e6:.0f} us / {first * 1e6:.0f} us"
        show(f"steps up to 5,000 / steps from 10, {tasks} task(s)", last / first, "~ 1", detail)


if __name__ == "__main__":
    main()
