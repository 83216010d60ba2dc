"""The scheduler that runners are tested with: its steps read what they need, so that a wrong order can't stay unseen.

A test and the steps talk through files in a folder, `mode.control`: `trace/` tells which attempts began where, and a
file `<step>.<what>` tells a step what to do.
"""

import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

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


class ContractScheduler(AbstractBaseScheduler):
    """Plans one of several schedules; every step leaves a file, and a path, a model or a value."""

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, ["work"])

    def create_routine(self) -> None:
        """Plan the schedule that `mode.plan` names."""
        self.PLANS[self.cfg.mode.plan](self)

    # Schedules.

    def plan_folds(self) -> None:
        """Plan independent folds, a test after each, and a step after all."""
        self._folds()

    def plan_chain(self) -> None:
        """Plan steps that say nothing of what they need: each comes after the one before it."""
        for name in "abcd":
            self.add_step(self.count, f"chain_{name}")

    def plan_diamond(self) -> None:
        """Plan a step, two that need it, and one that needs these."""
        self._diamond()

    def plan_growing(self) -> None:
        """Plan steps that add steps while the run goes on."""
        self._growing()

    def plan_values(self) -> None:
        """Plan independent steps that set the return value: that of the last one in the plan stays."""
        for name in "abcd":
            self.add_step(self.state, f"value_{name}", after=())

    def plan_everything(self) -> None:
        """Plan all of these, beside one another, and a step after all."""
        ends = [self._folds(), self._diamond(), self._growing()]
        first = self.add_step(self.count, "chain_a", after=())
        second = self.add_step(self.count, "chain_b")
        self.add_step(self.params_of, "params", ["ü", 1.5, None, {"a": [True, -3]}], self.fm.data_path / "x", after=())
        last = self.add_step(self.join, "all", ["end", "diamond_d", "grow"], after=[first, second, *ends])
        self.add_step(self.count, "last", after=[last])

    def plan_failing(self) -> None:
        """Plan a step that fails while it is told to, steps that need it, and others that do not."""
        self.add_step(self.make, "fine_a", after=())
        bad = self.add_step(self.fail, "bad", after=())
        after = self.add_step(self.join, "after_bad", ["bad"], after=[bad])
        self.add_step(self.join, "after_that", ["after_bad"], after=[after])
        fine = self.add_step(self.make, "fine_b", after=())
        self.add_step(self.join, "after_fine", ["fine_b"], after=[fine])

    def plan_flaky(self) -> None:
        """Plan steps of which one fails once."""
        self.add_step(self.make, "steady", after=())
        flaky = self.add_step(self.flaky, "flaky", after=())
        self.add_step(self.join, "after_flaky", ["flaky"], after=[flaky])

    def plan_held(self) -> None:
        """Plan steps that wait for a file, a step after each, and one after all."""
        done = self.add_step(self.make, "before", after=())
        held = [self.add_step(self.hold, name, after=[done]) for name in ("held_a", "held_b")]
        ends = [self.add_step(self.join, f"after_{name}", [name], after=[at]) for name, at in _named(held)]
        self.add_step(self.join, "end", [f"after_{name}" for name, _ in _named(held)], after=ends)

    def plan_deadly(self) -> None:
        """Plan a step that kills its worker while it is told to, and one after it."""
        self.add_step(self.make, "before", after=())
        deadly = self.add_step(self.die, "deadly", after=())
        self.add_step(self.join, "after_deadly", ["deadly"], after=[deadly])

    def plan_odd(self) -> None:
        """Plan steps whose value, error or further steps can't be sent to another process, and one that can."""
        for command in (self.odd_value, self.odd_error, self.odd_growth, self.make):
            self.add_step(command, f"odd_{command.__name__}", after=())

    def plan_unsendable(self) -> None:
        """Plan a step whose param is no JSON, which is refused."""
        self.add_step(self.make, object)

    PLANS: ClassVar[dict[str, Callable[["ContractScheduler"], None]]] = {
        "everything": plan_everything,
        "folds": plan_folds,
        "chain": plan_chain,
        "diamond": plan_diamond,
        "growing": plan_growing,
        "values": plan_values,
        "failing": plan_failing,
        "flaky": plan_flaky,
        "held": plan_held,
        "deadly": plan_deadly,
        "odd": plan_odd,
        "unsendable": plan_unsendable,
    }

    def _folds(self) -> int:
        names = [f"fold_{number}" for number in range(4)]
        made = [self.add_step(self.make, name, after=()) for name in names]
        tests = [
            self.add_step(self.join, f"test_{name}", [name], after=[at]) for name, at in zip(names, made, strict=True)
        ]
        return self.add_step(self.join, "end", [f"test_{name}" for name in names], after=tests)

    def _diamond(self) -> int:
        top = self.add_step(self.make, "diamond_a", after=())
        left = self.add_step(self.join, "diamond_b", ["diamond_a"], after=[top])
        right = self.add_step(self.join, "diamond_c", ["diamond_a"], after=[top])
        return self.add_step(self.join, "diamond_d", ["diamond_b", "diamond_c"], after=[left, right])

    def _growing(self) -> int:
        return self.add_step(self.grow, "grow", 2, after=())

    # Steps.

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


def _named(held: list[int]) -> list[tuple[str, int]]:
    return list(zip(("held_a", "held_b"), held, strict=True))
