"""The steps that runners are tested with: each reads what it needs, so that a wrong order can't stay unseen.

A test and the steps talk through files in a folder, `mode.control`: `trace/` tells which attempts began where, and a
file `<step>.<what>` tells a step what to do.
"""

import json
import os
import random
import signal
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from omegaconf import DictConfig

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.exceptions import Interrupted
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.utils import atomic_write
from mml.testing.driving import TRACE

_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
_LOOK = 0.05

MMLFileManager.add_assignment_path(None, "contract", "PROJ_PATH/CONTRACT/TASK_NAME/note.txt", True, True)
MMLFileManager.add_assignment_path(None, "contract_own", "PROJ_PATH/CONTRACT_OWN/TASK_NAME/FILE_NAME", False)
MMLFileManager.add_assignment_path(None, "contract_model", "PROJ_PATH/CONTRACT_MODELS/TASK_NAME/model.json")
MMLFileManager.add_assignment_path(None, "contract_scrap", "TEMP_PATH/FILE_NAME", False)


class ContractSteps(AbstractBaseScheduler):
    """Every step leaves a file, and a path, a model or a value; some wait, fail, die or are odd."""

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, ["work"])

    def make(self, name: str) -> None:
        """Write a file of random numbers, and attach it and a model to each task."""
        self._begin(name)
        self._leave(name, f"{name} {random.random()}")

    def join(self, name: str, needed: list[str]) -> None:
        """Read what other steps wrote, which has to be there, and write it again."""
        self._begin(name)
        texts = [self.get_struct(task).paths[other].read_text() for task in self.task_list for other in needed]
        self._leave(name, f"{name} {random.random()} ({'; '.join(texts)})")

    def count(self, name: str) -> None:
        """Add to the return value, and write a file."""
        self._begin(name)
        self._leave(name, name)
        self.return_value = [*(self.return_value or []), [name, random.random()]]

    def state(self, name: str) -> None:
        """Set the return value, whatever it was."""
        self._begin(name)
        self.return_value = {"by": name, "drawn": random.random()}

    def params_of(self, name: str, values: list[object], path: Path) -> None:
        """Write down what it was called with."""
        self._begin(name)
        self._leave(name, f"{values!r} {path.relative_to(self.fm.data_path)} {type(path).__name__ != 'str'}")

    def grow(self, name: str, more: int) -> None:
        """Write a file, and add two steps, of which one adds steps again."""
        self._begin(name)
        self._leave(name, f"{name} {random.random()}")
        first = self.add_step(self.join, f"{name}_first", [name], after=[self.step_position])
        if more > 1:
            self.add_step(self.grow, f"{name}_more", more - 1, after=[first])

    def fail(self, name: str) -> None:
        """Fail while there is a file `<name>.fail`, half of what it makes being done."""
        self._begin(name)
        half = self._half(name)
        if self._told(name, "fail"):
            msg = f"{name} was told to fail"
            raise ValueError(msg)
        half.write_text(f"{name} {random.random()}")

    def flaky(self, name: str) -> None:
        """Fail at the first attempt."""
        attempt = self._begin(name)
        self._half(name)
        if attempt == 1:
            msg = f"{name} fails once"
            raise ValueError(msg)
        self._leave(name, f"{name} {random.random()}")

    def hold(self, name: str) -> None:
        """Wait for a file `<name>.go`, half of what it makes being done; with `<name>.deaf`, whatever signal comes."""
        attempt = self._begin(name)
        half = self._half(name)
        try:
            self._wait_for_go(name)
        finally:
            Path(self.cfg.mode.control, TRACE, f"{name}.{attempt}.end").touch()
        half.write_text(f"{name} {random.random()}")
        self._leave(name, f"{name} {random.random()}")

    def die(self, name: str) -> None:
        """Kill the process that it runs in while there is a file `<name>.die`."""
        self._begin(name)
        half = self._half(name)
        if self._told(name, "die"):
            os.kill(os.getpid(), signal.SIGKILL)
        half.write_text(f"{name} {random.random()}")

    def odd_value(self, name: str) -> None:
        """Set a return value that is no JSON."""
        self._begin(name)
        self.return_value = {"model": object}

    def odd_error(self, name: str) -> None:
        """Raise an error that can't be pickled."""
        self._begin(name)

        class OddError(Exception):
            """Is found nowhere by its name."""

        msg = f"{name} is odd"
        raise OddError(msg)

    def odd_growth(self, name: str) -> None:
        """Add a step whose param is no JSON."""
        self._begin(name)
        self.add_step(self.make, object, after=())

    def before_finishing_hook(self) -> None:
        """Write a summary of what all steps attached."""
        paths = {task: sorted(self.get_struct(task).paths) for task in self.task_list}
        models = {task: [model.performance for model in self.get_struct(task).models] for task in self.task_list}
        summary = self.fm.construct_saving_path(None, "plots", "all", "summary.json")
        with atomic_write(summary, "w") as file:
            json.dump([paths, models, random.random()], file)

    def _leave(self, name: str, text: str) -> None:
        """Write files, numbered and not, and attach them and a model to each task."""
        for task in self.task_list:
            struct = self.get_struct(task)
            path = self.fm.construct_saving_path(None, "contract", task_name=task)
            with atomic_write(path, "w") as file:
                file.write(text)
            struct.paths[name] = path
            model = ModelStorage(
                task=task, fold=self.step_position, parameters=path, performance=random.random(), created=_CREATED
            )
            model.store(self.fm.construct_saving_path(model, "contract_model", task_name=task), self.fm.roots)
            struct.models.append(model)
        self.fm.construct_saving_path(None, "contract_scrap", file_name=f"{name}.txt").write_text(text)

    def _wait_for_go(self, name: str) -> None:
        while not self._told(name, "go"):
            try:
                self.guard.pause(_LOOK) if self.guard is not None else time.sleep(_LOOK)
            except Interrupted:
                if not self._told(name, "deaf"):
                    raise
                time.sleep(_LOOK)

    def _half(self, name: str) -> Path:
        """Write half of a file, and return its path."""
        path = self.fm.construct_saving_path(None, "contract_own", self.task_list[0], f"{name}.txt")
        path.write_text(f"{name} half")
        self.get_struct(self.task_list[0]).paths[name] = path
        return path

    def _told(self, name: str, what: str) -> bool:
        return Path(self.cfg.mode.control, f"{name}.{what}").exists()

    def _begin(self, name: str) -> int:
        """Note down that an attempt begins, and where; return its number, from 1."""
        trace = Path(self.cfg.mode.control, TRACE)
        trace.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            with suppress(FileExistsError), (trace / f"{name}.{number}").open("x") as file:
                file.write(f"{socket.gethostname()} {os.getpid()}")
                return number
            number += 1
