"""What the driver does for steps that run in other processes: it makes work of them, and a record of their reports."""

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from mml.core.scripts.attempts import AttemptFolder, remove_if_empty
from mml.core.scripts.journal import RunRecord
from mml.core.scripts.redaction import redact_config, redacted
from mml.core.scripts.run_book import RunBook
from mml.core.scripts.run_folder import plain_config
from mml.core.scripts.run_leftovers import clear, lives, remove_announced, take_down
from mml.core.scripts.run_records import Records
from mml.core.scripts.run_resources import StepResources
from mml.core.scripts.run_steps import Scheduler
from mml.core.scripts.run_unrecorded import log_level
from mml.core.scripts.run_worker import StepWorker
from mml.core.scripts.schedule import Step
from mml.runners.base import Earlier, Report, Runner, RunSetup, StepOutcome, Work, WorkerSetup


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
        self._opening = len(book.catch_up().openings)
        # Attempts that were given up, but whose worker may still be alive.
        self._haunting: list[AttemptFolder] = []

    def open(self, earlier: list[Earlier]) -> list[Work]:
        """Let the runner get ready, and return the attempts of an earlier process that it goes on with."""
        record = self._book.record
        setup = worker_setup(self._scheduler, self._book)
        kept = partial(take_down, self._book.folder, self._runner)
        attached = self._runner.open(RunSetup(self._book.folder, StepWorker, setup, _not_here, kept, earlier))
        names = {work.name for work in attached}
        for old in earlier:
            if old.work.name not in names:
                clear(AttemptFolder(self._book.folder, old.work.name), record, self._scheduler.fm)
        return [work for work in attached if not self._is_stale(work, record)]

    def work(self, step: Step, number: int, records: Records, flying: Iterable[Work]) -> Work:
        """Return the work of an attempt, which may begin at once.

        Args:
            step: to do.
            number: of the attempt in this process, from 1.
            records: what it sees.
            flying: attempts that go on.
        """
        visible = records.visible(step.position)
        work = Work(
            step=step.position,
            record=step.record,
            attempt=f"{self._opening}.{number}",
            planned=len(self._scheduler.commands),
            visible=list(visible),
            journal=self._book.size,
            pending=self._pending(visible, flying) if self._runner.chained else [],
            value=records.value(visible),
            resources=self._resources.of(step.record),
            fenced=self._runner.fenced,
        )
        if work.fenced:
            AttemptFolder(self._book.folder, work.name).create()
        return work

    def settle(self, work: Work, outcome: StepOutcome) -> None:
        """Remove the folder of an attempt whose step is recorded."""
        if outcome.paths or work.fenced:
            AttemptFolder(self._book.folder, work.name).remove()

    def clean(self, work: Work, report: Report) -> None:
        """Remove what an attempt left that did not do its step.

        When its worker was lost, but may still live, its files stay: it could write into those of the next attempt.
        """
        folder = AttemptFolder(self._book.folder, work.name)
        folder.revoke()
        lost = report.error is not None and report.error.lost
        if lost and work.fenced and report.worker and lives(self._book.folder, report.worker):
            self._haunting.append(folder)
        else:
            remove_announced(folder, self._scheduler.fm)
            folder.remove()

    def close(self) -> None:
        """Remove what attempts left that were given up; the runner is closed, so none of them goes on."""
        for folder in self._haunting:
            remove_announced(folder, self._scheduler.fm)
            folder.remove()
        self._haunting.clear()
        remove_if_empty(self._book.folder)

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


def _not_here(_: Work) -> StepOutcome:
    msg = "a runner of other processes asked for a step in the driver's"
    raise AssertionError(msg)
