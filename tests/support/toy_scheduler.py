"""A scheduler whose every step leaves traces, and that fails, stops or dies wherever it is told to.

Run as a script it is a child process: `python toy_scheduler.py '<json of config keys>'`.
"""

import json
import os
import random
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.exceptions import Interrupted, MMLError
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.run_folder import RUNS_FOLDER
from mml.core.scripts.utils import atomic_write

# Files of a run folder that hold times, pids or where the run was killed.
OF_THE_MOMENT = ("journal.jsonl", "run.lock", "exp.log", "config.yaml", "overrides.yaml", "errors", "live.json")
CREATED = datetime(2026, 1, 1, tzinfo=UTC)

MMLFileManager.add_assignment_path(None, "toy", "PROJ_PATH/TOY/TASK_NAME/toy.txt", True, True)
MMLFileManager.add_assignment_path(None, "toy_all", "PROJ_PATH/TOY/all.txt", True, MMLFileManager.GLOBAL_REUSABLE)
MMLFileManager.add_assignment_path(None, "toy_sum", "PROJ_PATH/SUM/sum.json", False)
MMLFileManager.add_assignment_path(None, "toy_scrap", "TEMP_PATH/scrap.txt", False)
MMLFileManager.add_assignment_path(None, "toy_model", "PROJ_PATH/TOY_MODELS/TASK_NAME/model.json")


class Toy(AbstractBaseScheduler):
    """Steps `work(0) ... work(n - 1)`; `grow_at` adds one more step while the run goes on.

    Config keys below `mode`: `n`, `grow_at`, `trap` (`"<place>:<what>"`, see `spring`), `trace` (a file that gets a
    line whenever a step or hook begins or ends).
    """

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, ["work", "rest"])

    def create_routine(self) -> None:
        for number in range(self.cfg.mode.n):
            self.add_step(self.work, number)

    def after_preparation_hook(self) -> None:
        self.mark("prepare")

    def work(self, number: int) -> None:
        """Write files of every kind, change structs, draw random numbers, set the return value."""
        self.mark(f"begin{number}")
        drawn = random.random()
        for task in self.task_list:
            struct = self.get_struct(task)
            path = self.fm.construct_saving_path(None, "toy", task_name=task)
            with path.open("w") as file:
                file.write(f"{number} half")
                file.flush()
                self.mark(f"half{number}")
                file.write(f" whole {drawn} {len(struct.models)}")
            struct.paths[f"toy_{number}"] = path
            model = ModelStorage(task=task, fold=number, parameters=path, performance=drawn, created=CREATED)
            model.store(self.fm.construct_saving_path(model, "toy_model", task_name=task), self.fm.roots)
            struct.models.append(model)
        with atomic_write(self.fm.construct_saving_path(None, "toy_all"), "w") as file:
            file.write(str(drawn))
        self.fm.construct_saving_path(None, "toy_scrap").write_text(str(number))
        self.return_value = [*(self.return_value or []), [number, drawn]]
        if number == self.cfg.mode.get("grow_at"):
            self.add_step(self.work, 100)
        self.mark(f"end{number}")

    def before_finishing_hook(self) -> None:
        self.mark("finish")
        models = [model.performance for task in self.task_list for model in self.get_struct(task).models]
        summary = self.fm.construct_saving_path(None, "plots", "all", "summary.json")
        with summary.open("w") as file:
            file.write("[")
            file.flush()
            self.mark("half_finish")
            file.write(f"{models}, {random.random()}]")
        with atomic_write(self.fm.construct_saving_path(None, "toy_sum"), "w") as file:
            json.dump(models, file)
        self.return_value = {"steps": self.return_value, "models": models}
        self.mark("end_finish")

    def mark(self, place: str) -> None:
        """Note down a place, and spring the trap that is set there."""
        if trace := self.cfg.mode.get("trace"):
            with Path(trace).open("a") as file:
                file.write(place + "\n")
        trapped, _, what = str(self.cfg.mode.get("trap")).partition(":")
        if trapped == place:
            spring(what)


def spring(what: str) -> None:
    """Raise an error, wait for a line on standard input, or send this process a signal by its name."""
    if what == "error":
        raise ValueError("boom")
    if what == "wait":
        print("waiting", flush=True)
        sys.stdin.readline()
        return
    os.kill(os.getpid(), getattr(signal, what))


def toy_config(root: Path, **changes: Any) -> DictConfig:
    """Return a config with data and results below `root`; `mode__n=3` changes `mode.n`."""
    return run_config(root, {"id": "toy", "n": 3, "trap": None, "grow_at": None, "trace": None}, changes)


def run_config(root: Path, mode: dict[str, Any], changes: dict[str, Any]) -> DictConfig:
    """Return a config with this mode, and with data and results below `root`; `a__b` changes `a.b`."""
    cfg = OmegaConf.create(
        {
            "mode": {"subroutines": ["work"], **mode},
            "task_list": [],
            "proj": "default",
            "seed": 1,
            "data_dir": str(root / "data"),
            "out_dir": str(root / "results"),
            "continue": None,
            "reuse": {},
            "logging": {"progress": False, "level": "WARNING"},
        }
    )
    for key, value in changes.items():
        OmegaConf.update(cfg, key.replace("__", "."), value, force_add=True)
    return cfg


def only_run(root: Path, proj: str = "default") -> Path:
    """Return the folder of the only run of a project."""
    (folder,) = (root / "results" / proj / RUNS_FOLDER).iterdir()
    return folder


def outcome(root: Path) -> dict[str, str]:
    """Return what a run left, path -> text, without what differs from run to run by its nature."""
    results = root / "results"
    runs = {run.name for run in results.glob(f"*/{RUNS_FOLDER}/*")}
    found = {}
    for path in sorted(results.rglob("*")):
        relative = path.relative_to(results).as_posix()
        if any(name in path.parts for name in OF_THE_MOMENT):
            continue
        text = path.read_text() if path.is_file() else "<folder>"
        for run in runs:
            relative, text = relative.replace(run, "RUN"), text.replace(run, "RUN")
        found[relative] = text
    return found


def runs_of(root: Path, proj: str = "default") -> list[Path]:
    """Return the run folders of a project."""
    return sorted((root / "results" / proj / RUNS_FOLDER).iterdir())


def start_child(cfg: DictConfig, **options: Any) -> "subprocess.Popen[str]":
    """Start a process that runs the toy; options go to `Popen`."""
    command = [sys.executable, __file__, json.dumps(OmegaConf.to_container(cfg))]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C at the tests is not the child's
        **options,
    )


def crowd(make: Callable[[int], None], size: int) -> None:
    """Call `make(0) ... make(size - 1)` at the same moment, each in a fork of its own; fail if one fails."""
    ready, go = os.pipe(), os.pipe()
    children = []
    for number in range(size):
        if child := os.fork():
            children.append(child)
            continue
        os.close(go[1])
        os.write(ready[1], b".")
        os.read(go[0], 1)  # returns when the parent closes its end
        status = 1
        try:
            make(number)
            status = 0
        finally:
            traceback.print_exc() if status else None
            os._exit(status)
    for _ in range(size):
        os.read(ready[0], 1)
    os.close(go[1])
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * size


def main(arguments: list[str]) -> int:
    """Run one scheduler and print what it returned, or its error; return the exit code of `mml`.

    With a number behind the config, start as many at the same moment.
    """
    cfg = OmegaConf.create(json.loads(arguments[0]))
    if arguments[1:]:
        crowd(lambda _: Toy(cfg).run(), int(arguments[1]))
        return 0
    try:
        print(json.dumps(Toy(cfg).run()))
    except (MMLError, ValueError, OSError, Interrupted) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, Interrupted) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
