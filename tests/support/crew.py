"""A scheduler whose plan is data, and a runner with a worker in the test's own process that ends work out of turn."""

import os
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import DictConfig

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.resources import Resources
from mml.core.scripts.utils import atomic_write
from mml.runners.base import Earlier, Report, RunSetup, Work, Worker
from mml.runners.transport import decode_report, decode_work, encode, lost_report
from tests.support.toy_scheduler import run_config

CREATED = datetime(2026, 1, 1, tzinfo=UTC)

MMLFileManager.add_assignment_path(None, "crew", "PROJ_PATH/CREW/TASK_NAME/note.txt")
MMLFileManager.add_assignment_path(None, "crew_model", "PROJ_PATH/CREW_MODELS/TASK_NAME/model.json")
MMLFileManager.add_assignment_path(None, "crew_fail", "PROJ_PATH/CREW_FAIL/TASK_NAME/note.txt")
MMLFileManager.add_assignment_path(None, "crew_hook", "PROJ_PATH/CREW_HOOK/note.txt")


class Crew(AbstractBaseScheduler):
    """Plans what `mode.plan` lists: mappings with `do`, `with`, `after`, `name` and `resources`."""

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, ["work"])
        self.prepared: Path | None = None

    def create_routine(self) -> None:
        for planned in self.cfg.mode.plan:
            after = planned.get("after", ())
            self.add_step(
                getattr(self, planned.do),
                *planned.get("with", []),
                after=None if after is None else [*after],
                name=planned.get("name"),
                resources=planned.get("resources"),
            )

    def after_preparation_hook(self) -> None:
        for _ in range(self.cfg.mode.get("hook_files", 0) + self.cfg.mode.get("worker_files", 0) * in_worker()):
            self.prepared = self.fm.construct_saving_path(None, "crew_hook")
            with atomic_write(self.prepared, "w") as file:
                file.write("prepared")

    def nothing(self, *_: Any) -> None:
        """Do nothing."""

    def add(self, task: str, name: str) -> None:
        """Add a model to a task, and a file."""
        struct = self.get_struct(task)
        path = self.fm.construct_saving_path(None, "crew", task_name=task)
        with atomic_write(path, "w") as file:
            file.write(f"{name} {random.random()}")
        struct.paths[name] = path
        storage = ModelStorage(task=task, fold=0, parameters=path, created=CREATED)
        storage.store(self.fm.construct_saving_path(storage, "crew_model", task_name=task), self.fm.roots)
        struct.models.append(storage)

    def alter(self, task: str, value: float) -> None:
        """Alter the last model that is seen."""
        self.get_struct(task).models[-1].performance = value

    def look(self, task: str) -> None:
        """Return what is seen."""
        struct = self.get_struct(task)
        self.return_value = [sorted(struct.paths), [model.performance for model in struct.models], self.return_value]

    def value(self, value: Any) -> None:
        self.return_value = value

    def draw(self) -> None:
        self.return_value = random.random()

    def grow(self, *plans: Any) -> None:
        """Add steps: `[do, with, after]` each; in `after`, "me" is this step and "last" the one added before."""
        last = None
        for do, params, after in plans:
            known = {"me": self.step_position, "last": last}
            needs = None if after is None else [known.get(needed, needed) for needed in after]
            last = self.add_step(getattr(self, do), *params, after=needs)

    def fail(self, text: str, control: str = "", times: int = 1) -> None:
        """Fail after a file was made; with a control file, only so many times."""
        path = self.fm.construct_saving_path(None, "crew_fail", task_name="t")
        with atomic_write(path, "w") as file:
            file.write("half")
        if control:
            with Path(control).open("a+") as tries:
                tries.write(".")
                tries.seek(0)
                if len(tries.read()) > times:
                    return
        raise ValueError(text)

    def leave(self, code: int) -> None:
        raise SystemExit(code)

    def signal(self, signum: int) -> None:
        os.kill(os.getpid(), signum)

    def report(self) -> None:
        self.seen = {task: self.get_struct(task) for task in self.task_list}


def in_worker() -> bool:
    return DirectRunner.executing


class DirectRunner:
    """Has one worker in this process, which ends work in another order than it came in.

    Args:
        slots: how much work it takes at a time.
        order: `first`, `last` or `random`: which of the work that waits is done next.
        lose: names of attempts that are lost; `name!` is lost after its work is done.
        stale: names of attempts that are reported a second time, as failed, with the next report.
        detached: end when all is submitted, as a queue would let it.
        fenced: whether attempts have folders.
        batch: end all work that waits before it is reported.
        has_gpus: refuse steps with more GPUs than these.
    """

    in_process: ClassVar[bool] = False
    executing: ClassVar[bool] = False
    log: ClassVar[list[str]] = []

    def __init__(self, slots: int = 2, order: str = "first", detached: bool = False, **more: Any) -> None:
        self.slots, self.order, self.chained, self.detaches = slots, order, detached, detached
        self.lose, self.stale = [*more.get("lose", [])], [*more.get("stale", [])]
        self.fenced, self.has_gpus = more.get("fenced", False), more.get("has_gpus", 0)
        self.batch = more.get("batch", False)
        self.waiting: list[Work] = []
        self.again: list[Report] = []
        self.closed = 0
        self._random = random.Random(5)
        self._worker: Worker | None = None
        self._run: RunSetup | None = None

    def open(self, run: RunSetup) -> list[Work]:
        self._run = run
        self.earlier: list[Earlier] = list(run.earlier)
        return []

    def check(self, resources: Resources, what: str) -> None:
        if (resources.gpus or 0) > self.has_gpus:
            from mml.core.scripts.exceptions import MMLMisconfigurationException

            msg = f"{what} needs {resources}, but there are {self.has_gpus} GPUs."
            raise MMLMisconfigurationException(msg)

    def has_room(self, resources: Resources) -> bool:
        return len(self.waiting) < self.slots or self.detaches

    def submit(self, work: Work) -> None:
        self.log.append(f"submit {work.name}")
        self.waiting.append(decode_work(encode(work)))
        if self.detaches and self._run is not None:
            self._run.take_down(work, {"runner": "direct", "cancel": "tests.support.crew:cancel"})

    def wait(self, seconds: float | None) -> list[Report]:
        if not self.waiting or self.detaches:
            return []
        if self.batch:
            waiting, self.waiting = self.waiting, []
            return [self._done(work) for work in waiting]
        index = {"first": 0, "last": -1}.get(self.order, self._random.randrange(len(self.waiting)))
        work = self.waiting.pop(index)
        again, self.again = self.again, []
        return [*again, self._done(work)]

    def _done(self, work: Work) -> Report:
        if work.name in self.lose:
            return lost_report(work, "worker w was killed by SIGKILL.", "w")
        report = decode_report(encode(self._execute(work)))
        if f"{work.name}!" in self.lose:
            return lost_report(work, "worker w was killed by SIGKILL.", "w")
        if work.name in self.stale:
            self.again.append(lost_report(work, "a ghost", "w"))
        return report

    def _execute(self, work: Work) -> Report:
        assert self._run is not None
        DirectRunner.executing = True
        try:
            if self._worker is None:
                self._worker = self._run.worker(self._run.setup, "w")
            return self._worker.execute(work)
        finally:
            DirectRunner.executing = False

    def interrupt(self) -> None:
        self.log.append("interrupt")

    def close(self) -> None:
        self.closed += 1
        if self._worker is not None:
            self._worker.close()
            self._worker = None


def cancel(job: dict[str, Any]) -> None:
    DirectRunner.log.append(f"cancel {job['runner']}")


def crew_config(root: Path, *plan: dict[str, Any], runner: dict[str, Any] | None = None, **changes: Any) -> DictConfig:
    """Return the config of a run with a plan; `runner` has the arguments of `DirectRunner`, None is serial."""
    mode = {"id": "crew", "plan": list(plan), "scheduler": {"_target_": "tests.support.crew.Crew"}}
    if runner is not None:
        changes = {"runner": {"_target_": "tests.support.crew.DirectRunner", **runner}, **changes}
    return run_config(root, mode, {"task_list": ["t"], "retry_pause": 0, **changes})


def do(what: str, *params: Any, after: Any = (), **more: Any) -> dict[str, Any]:
    """Return a planned step."""
    return {"do": what, "with": list(params), "after": after if after is None else list(after), **more}
