"""Schedules of steps that do next to nothing: what the benchmarks of steps and of runners run."""

import hashlib
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.schedule import Step

PROJECT = "bench"


class ManySteps(AbstractBaseScheduler):
    """Does `mode.steps` steps in no order, each with `mode.rounds` of a hash, and notes when each was recorded."""

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, available_subroutines=["work"])
        self.times: list[float] = []

    def create_routine(self) -> None:
        """Plan the steps."""
        command = self.compute if self.cfg.mode.rounds else self.nothing
        for number in range(self.cfg.mode.steps):
            self.add_step(command, number, after=[])

    def nothing(self, _number: int) -> None:
        """Do nothing."""

    def compute(self, number: int) -> None:
        """Keep one core busy."""
        hashlib.pbkdf2_hmac("sha256", b"x", str(number).encode(), self.cfg.mode.rounds)

    def step_recorded(self, step: Step) -> None:
        """Note the time."""
        super().step_recorded(step)
        self.times.append(time.perf_counter())


def config(folder: Path, scheduler: type, mode: dict[str, Any], **more: Any) -> DictConfig:
    """Return the config of a run below a folder.

    Args:
        folder: for data and results.
        scheduler: whose steps are run; workers find it by its name.
        mode: further keys of `mode`.
        more: further keys, e.g. `runner`.
    """
    target = {"_target_": f"{scheduler.__module__}.{scheduler.__qualname__}"}
    return OmegaConf.create(
        {
            "mode": {"id": "many", "scheduler": target, "subroutines": ["work"], **mode},
            "task_list": [],
            "proj": PROJECT,
            "seed": 42,
            "continue": None,
            "data_dir": str(folder / "data"),
            "out_dir": str(folder / "results"),
            "logging": {"progress": False},
            "reuse": {},
            **more,
        }
    )


def run_many(folder: Path, steps: int, rounds: int, runner: dict[str, Any]) -> list[float]:
    """Run `ManySteps`, and return when it began and when each step was recorded."""
    cfg = config(folder, ManySteps, {"steps": steps, "rounds": rounds}, runner=runner)
    began = time.perf_counter()
    scheduler = ManySteps(cfg)
    scheduler.run()
    return [began, *scheduler.times]
