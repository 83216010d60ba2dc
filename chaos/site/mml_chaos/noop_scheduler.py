"""The mode `noop`: steps that cost nothing and leave something of every kind that a run can leave."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path

from omegaconf import DictConfig

from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.utils import atomic_save, atomic_write

GROWN = 100


class NoopScheduler(AbstractBaseScheduler):
    """Steps `work(0) ... work(n - 1)`; the second one adds two more to the plan.

    Each writes numbered and unnumbered files, whole and through a library, changes the struct of its task, draws random
    numbers and carries the return value on. With `mode.wrong` it breaks a rule that schedulers have to keep.
    """

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, available_subroutines=["work"])
        self.remembered = 0

    def create_routine(self) -> None:
        """Plan the steps, in turn for every task."""
        for number in range(self.cfg.mode.n):
            self.add_step(self.work, self.task_list[number % len(self.task_list)], number)

    def work(self, task: str, number: int) -> None:
        """Leave something of every kind."""
        drawn, struct = random.random(), self.get_struct(task)
        text = self.fm.construct_saving_path(None, "noop_text", task, f"text_{number}.txt")
        with atomic_write(text, "w") as file:
            file.write(f"{number} {drawn} {len(struct.models)}\n" * 100)
        self._save("noop_scrap", f"{drawn}")
        self.fm.construct_saving_path(None, "temp", file_name=f"{number}.txt").write_text(str(drawn))
        record = ModelStorage(task=task, fold=number, parameters=text, performance=drawn, created=datetime.now(UTC))
        record.store(self.fm.construct_saving_path(record, "noop_model", task), self.fm.roots)
        struct.models.append(record)
        struct.paths[f"text_{number}"] = text
        self.return_value = [*(self.return_value or []), drawn]
        if number == 1:
            self.add_step(self.work, task, GROWN)
            self.add_step(self.rest, GROWN)
        self._misbehave(number)

    def rest(self, number: int) -> None:
        """Replace a file that is written once per run, and attach nothing."""
        path = self.fm.construct_saving_path(None, "noop_sum")
        with atomic_write(path, "w") as file:
            json.dump({"number": number, "drawn": random.random()}, file)

    def before_finishing_hook(self) -> None:
        """Sum up, from structs alone."""
        values = {task: [m.performance for m in self.get_struct(task).models] for task in self.task_list}
        with atomic_write(self.fm.construct_saving_path(None, "plots", "all", "summary.json"), "w") as file:
            json.dump({"models": values, "drawn": random.random()}, file)
        self.return_value = {"steps": self.return_value, "models": values, "remembered": self.remembered}

    def _save(self, key: str, text: str) -> None:
        atomic_save(self.fm.construct_saving_path(None, key, file_name="scrap.txt"), lambda path: _write(path, text))

    def _misbehave(self, number: int) -> None:
        """Break a rule: files are written whole and below paths of the file manager, and nothing is remembered."""
        folder = self.fm.proj_path
        match self.cfg.mode.wrong:
            case "tears":
                if not (folder / f"torn_{number}.txt").exists():
                    with (folder / f"torn_{number}.txt").open("w") as file:
                        file.write("half of it")
                        file.flush()
                        (folder / f"between_{number}").touch()
                        file.write(", and the rest")
            case "appends":
                with (folder / "lines.txt").open("a") as file:
                    file.write(f"{number}\n")
            case "forgets":
                self.remembered += 1


def _write(path: Path, text: str) -> None:
    path.write_text(text)
