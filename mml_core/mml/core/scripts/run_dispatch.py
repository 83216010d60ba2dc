"""What the driver does for steps that run in other processes: it makes work of them, and a record of their reports."""

import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from mml.core.scripts.attempts import AttemptFolder, remove_if_empty
from mml.core.scripts.journal import Done, PathAnnounced, RunRecord
from mml.core.scripts.redaction import redact_config, redacted
from mml.core.scripts.run_book import RunBook
from mml.core.scripts.run_folder import plain_config
from mml.core.scripts.run_leftovers import clear, lives, remove_announced, take_down
from mml.core.scripts.run_resources import StepResources
from mml.core.scripts.run_sight import Sight
from mml.core.scripts.run_steps import Scheduler, extend_plan
from mml.core.scripts.run_unrecorded import log_level
from mml.core.scripts.run_worker import StepWorker
from mml.core.scripts.schedule import Step, StepRecord
from mml.core.scripts.struct_views import StructViews
from mml.runners.base import Earlier, Runner, RunSetup, StepOutcome, Work, WorkerSetup


class Dispatch:
    """Makes work of steps, and a record of what comes back.

    Args:
        scheduler: whose steps they are.
        book: where they are recorded.
        runner: where they run.
        resources: what they need.
    """

    def __init__(self, scheduler: Scheduler, book: RunBook, runner: Runner, resources: StepResources) -> None:
        self._scheduler, self._book, self._runner, self._resources = scheduler, book, runner, resources
        record = book.catch_up()
        self._opening = len(record.openings)
        self._views = StructViews(record.initial)
        for done in record.done.values():
            self._views.take(done.step, done.tasks)
        self._plan: list[StepRecord] = []
        self._sight = Sight(self._plan, record.done)
        # Attempts that were given up, but whose worker may still be alive.
        self._haunting: list[AttemptFolder] = []

    def open(self, earlier: list[Earlier]) -> list[Work]:
        """Let the runner get ready, and return the attempts of an earlier process that it goes on with."""
        record = self._book.record
        setup = worker_setup(self._scheduler, self._book)
        kept = partial(take_down, self._book.folder, self._runner)
        attached = self._runner.open(
            RunSetup(self._book.folder, StepWorker, setup, _not_here, kept, [old for old in earlier])
        )
        names = {work.name for work in attached}
        for old in earlier:
            if old.work.name not in names:
                clear(AttemptFolder(self._book.folder, old.work.name), record, self._scheduler.fm)
        return [work for work in attached if not self._is_stale(work, record)]

    def extend(self, steps: Iterable[Step]) -> None:
        """Take note of steps of the plan, in its order."""
        self._plan += [step.record for step in steps]

    def work(self, step: Step, number: int, flying: Iterable[Work]) -> Work:
        """Return the work of an attempt, which may begin at once.

        Args:
            step: to do.
            number: of the attempt in this process, from 1.
            flying: attempts that go on.
        """
        visible = self._sight.of(step.position)
        work = Work(
            step=step.position,
            record=step.record,
            attempt=f"{self._opening}.{number}",
            planned=len(self._scheduler.commands),
            visible=list(visible),
            journal=self._book.size,
            pending=self._pending(visible, flying) if self._runner.chained else [],
            value=self._sight.value(visible),
            resources=self._resources.of(step.record),
            fenced=self._runner.fenced,
        )
        if work.fenced:
            AttemptFolder(self._book.folder, work.name).create()
        return work

    def record(self, work: Work, outcome: StepOutcome) -> None:
        """Record that a step is done, for good, and bring the scheduler to what it changed.

        Raises:
            PlanError: another step, at the same time, changed the same.
        """
        scheduler, now = self._scheduler, time.time()
        tasks = self._journaled(work, outcome)
        grown = _moved(outcome.grown, len(scheduler.commands) - work.planned, work.planned)
        paths = [PathAnnounced(time=now, path=path, key=key, step=work.step) for path, key in outcome.paths]
        done = Done(
            time=now,
            step=work.step,
            seconds=outcome.seconds,
            tasks=tasks,
            value=outcome.value,
            grown=grown,
            attempt=work.attempt,
        )
        self._book.append(*paths, done)
        self._views.take(work.step, tasks)
        scheduler.structs.replay(tasks)
        if outcome.value is not msgspec.UNSET:
            self._sight.set_value(work.step, outcome.value)
        extend_plan(scheduler, grown)
        if outcome.paths or work.fenced:
            AttemptFolder(self._book.folder, work.name).remove()

    def clean(self, work: Work, worker: str, *, over: bool) -> None:
        """Remove what an attempt left that did not do its step.

        Args:
            work: the attempt.
            worker: that made it.
            over: whether the attempt is over for certain; else its files stay as long as the worker lives, so that it
                can't write into those of the next attempt.
        """
        folder = AttemptFolder(self._book.folder, work.name)
        folder.revoke()
        if over or not work.fenced or not (worker and lives(self._book.folder, worker)):
            remove_announced(folder, self._scheduler.fm)
            folder.remove()
        else:
            self._haunting.append(folder)

    def close(self) -> None:
        """Remove what attempts left that were given up; the runner is closed, so none of them goes on."""
        for folder in self._haunting:
            remove_announced(folder, self._scheduler.fm)
            folder.remove()
        self._haunting.clear()
        remove_if_empty(self._book.folder)

    def _journaled(self, work: Work, outcome: StepOutcome) -> dict[str, Any]:
        changes = {task: msgspec.to_builtins(change) for task, change in outcome.tasks.items()}
        made = {task: self._views.journaled(task, work.step, work.visible, change) for task, change in changes.items()}
        return {task: change for task, change in made.items() if change is not None}

    def _pending(self, visible: tuple[tuple[int, int], ...], flying: Iterable[Work]) -> list[str]:
        return [work.name for work in flying if any(start <= work.step < stop for start, stop in visible)]

    def _is_stale(self, work: Work, record: RunRecord) -> bool:
        """Tell whether an attempt is one at a step that is done already: it was recorded, but its folder was left."""
        stale = work.step in record.done
        if stale:
            clear(AttemptFolder(self._book.folder, work.name), record, self._scheduler.fm)
        return stale


def worker_setup(scheduler: Scheduler, book: RunBook) -> WorkerSetup:
    """Return what the workers of a run have to know."""
    plain = plain_config(scheduler.cfg)
    redact_config(scheduler.cfg, plain)
    now = book.catch_up().openings[-1]
    return WorkerSetup(
        folder=str(book.folder),
        config=plain,
        hydra=_hydra_config(),
        journal=book.size,
        versions=now.versions,
        code=now.code,
        log_level=log_level(scheduler),
        search_path=[str(Path(folder).absolute()) for folder in sys.path if folder],
        directory=str(Path.cwd()),
    )


def _hydra_config() -> dict[str, Any] | None:
    if not HydraConfig.initialized():
        return None
    config: Any = OmegaConf.to_container(HydraConfig.instance().cfg, resolve=False)
    overrides = config["hydra"]["overrides"]
    overrides["task"] = redacted(overrides["task"])
    return {"hydra": config["hydra"]}


def _moved(grown: list[StepRecord], shift: int, first: int) -> list[StepRecord]:
    """Return added steps with the positions that those they need have, behind steps that others added meanwhile.

    Args:
        grown: as the worker made them.
        shift: by how much they moved.
        first: the position of the first as the worker saw it.
    """
    if not shift:
        return grown
    return [
        msgspec.structs.replace(
            record,
            after=None if record.after is None else [at + shift if at >= first else at for at in record.after],
        )
        for record in grown
    ]


def _not_here(_: Work) -> StepOutcome:
    msg = "a runner of other processes asked for a step in the driver's"
    raise AssertionError(msg)
