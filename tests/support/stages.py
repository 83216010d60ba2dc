"""A scheduler in stages, whose steps say what they need and what they depend on: for tests of forks."""

import os
import random
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from omegaconf import DictConfig, OmegaConf

from chaos import watcher
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.journal import AnyEvent, Done, read_events
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.run_folder import RUNS_FOLDER
from tests.support.toy_scheduler import CREATED, spring

MMLFileManager.add_assignment_path(None, "stage", "PROJ_PATH/STAGES/TASK_NAME/stage.txt", True, True)
MMLFileManager.add_assignment_path(None, "stage_model", "PROJ_PATH/STAGE_MODELS/TASK_NAME/model.json")
STAGES_MODE = """
# Makes, uses and sums up.
# mml stages mode.n=5

# Name of the mode.
id: stages
# What carries the mode out.
scheduler:
  # Class of the scheduler.
  _target_: tests.support.stages.Stages
# What to do, a list of: make, use, sum.
subroutines: [make, use, sum]
# Number of items, at least 0.
n: 2
# What `make` depends on.
make: 1
# What `use` depends on.
use: 1
# What `total` depends on.
sum: 1
# Number of sums, at least 0.
sums: 2
# Whether the first sum adds two more: true or false.
grow: false
# Where to fail: null or <command><number>:<what>.
trap: null
"""
KEYS = {"make": ["mode.make", "optimizer"], "use": ["mode", "~mode.make", "~mode.sum"], "total": ["mode.sum"]}
_OF_THE_PLAN = ("n", "sums", "subroutines", "trap", "grow")


class Stages(AbstractBaseScheduler):
    """For each item `make` and, after it, `use`; then sums, one after the other, that all add to the return value."""

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, ["make", "use", "sum"])

    def create_routine(self) -> None:
        for number in range(self.cfg.mode.n):
            made: tuple[int, ...] = ()
            if "make" in self.subroutines:
                made = (self.add_step(self.make, number, after=()),)
            if "use" in self.subroutines:
                self.add_step(self.use, number, after=made)
        for number in range(self.cfg.mode.sums if "sum" in self.subroutines else 0):
            self.add_step(self.total, number)

    def step_config(self, command: str) -> Sequence[str] | None:
        return [*KEYS[command], *(f"~mode.{key}" for key in _OF_THE_PLAN)]

    def after_preparation_hook(self) -> None:
        self.spring_trap("prepare0")

    def make(self, number: int) -> None:
        """Make a model and a file for each task."""
        for task in self.task_list:
            struct, drawn = self.get_struct(task), random.random()
            path = self.fm.construct_saving_path(None, "stage", task_name=task)
            path.write_text(f"made {number} {self.cfg.mode.make} {drawn}")
            struct.paths[f"made_{number}"] = path
            model = ModelStorage(task=task, fold=number, parameters=path, performance=drawn, created=CREATED)
            model.store(self.fm.construct_saving_path(model, "stage_model", task_name=task), self.fm.roots)
            struct.models.append(model)
        self.spring_trap(f"make{number}")

    def use(self, number: int) -> None:
        """Read what was made, write a file, and alter the model."""
        for task in self.task_list:
            struct = self.get_struct(task)
            path = self.fm.construct_saving_path(None, "stage", task_name=task)
            path.write_text(f"{struct.paths[f'made_{number}'].read_text()} used {self.cfg.mode.use} {random.random()}")
            struct.paths[f"used_{number}"] = path
            index = next(index for index, model in enumerate(struct.models) if model.fold == number)
            metrics = [{"split": "test", "used": self.cfg.mode.use}]
            struct.models[index] = msgspec.structs.replace(struct.models[index], metrics=metrics)
        self.spring_trap(f"use{number}")

    def total(self, number: int) -> None:
        """Add to the return value, and perhaps to the plan."""
        self.return_value = [*(self.return_value or []), [number, self.cfg.mode.sum, random.random()]]
        if number == 0 and self.cfg.mode.grow:
            first = self.add_step(self.total, 100)
            self.add_step(self.total, 101, after=(first,))
        self.spring_trap(f"total{number}")

    def before_finishing_hook(self) -> None:
        structs = [self.get_struct(task) for task in self.task_list]
        texts = {f"{s.name}/{key}": path.read_text() for s in structs for key, path in sorted(s.paths.items())}
        models = sorted([s.name, m.fold, m.performance, m.metrics] for s in structs for m in s.models)
        self.return_value = {"sums": self.return_value, "texts": texts, "models": models}

    def spring_trap(self, place: str) -> None:
        trapped, _, what = str(self.cfg.mode.get("trap")).partition(":")
        if trapped == place:
            spring(what)


def stages_config(root: Path, **changes: Any) -> DictConfig:
    """Return a config with data and results below `root`; `mode__n=3` changes `mode.n`."""
    cfg = OmegaConf.create(
        {
            "mode": OmegaConf.create(STAGES_MODE),
            "optimizer": {"lr": 0.1},
            "task_list": [],
            "proj": "default",
            "seed": 1,
            "data_dir": str(root / "data"),
            "out_dir": str(root / "results"),
            "continue": None,
            "fork": None,
            "reuse": {},
            "logging": {"progress": False, "level": "WARNING"},
        }
    )
    for key, value in changes.items():
        OmegaConf.update(cfg, key.replace("__", "."), value, force_add=True)
    return cfg


def run_stages(root: Path, **changes: Any) -> Any:
    """Run the stages in this process; return what they return."""
    return Stages(stages_config(root, **changes)).run()


def run_in_fork(cfg: DictConfig, kill_at: int | None = None) -> tuple[int, int]:
    """Run the stages in a child, killed at a change of the results; return status and number of changes."""
    results = Path(cfg.out_dir)
    note = results.parent / f"changes_{kill_at}"
    if pid := os.fork():
        return os.waitpid(pid, 0)[1], len(note.read_text().splitlines())
    try:
        watcher.install()
        watcher.arm(watcher.Plan([str(results)], kill_at, note=str(note)))
        Stages(cfg).run()
    except BaseException:  # noqa: BLE001 # a fork must not return into the tests of its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def newest(root: Path, proj: str = "default") -> Path:
    """Return the folder of the run of a project that was started last."""
    folders = (root / "results" / proj / RUNS_FOLDER).iterdir()
    return max(folders, key=lambda folder: (folder.stat().st_ctime_ns, folder.name))


def events_of(folder: Path) -> list[AnyEvent]:
    """Return the journal of a run."""
    return read_events(folder / "journal.jsonl")[0]


def taken_over(folder: Path) -> list[int]:
    """Return the positions of the steps that a run took over."""
    return [event.step for event in events_of(folder) if isinstance(event, Done) and event.source]
