"""Records: steps that are no row, where each sees what those that it needs changed and no more.

Whoever is done first, and wherever a step runs: what it sees follows from the plan alone. The journal still keeps
changes relative to all lines before, so that it is read as one of steps in a row.
"""

import time
from collections.abc import Iterable
from typing import Any

import msgspec

from mml.core.data_loading.task_struct import StructState
from mml.core.scripts.journal import Done, PathAnnounced
from mml.core.scripts.run_book import RunBook
from mml.core.scripts.run_sight import Ranges, Sight
from mml.core.scripts.run_steps import Scheduler, extend_plan
from mml.core.scripts.schedule import Step, StepRecord
from mml.core.scripts.struct_views import StructViews
from mml.core.scripts.values import restored_value
from mml.runners.base import StepOutcome, Work


class Records:
    """Knows what each step sees, and records what it changed.

    Args:
        scheduler: whose steps they are.
        book: where they are recorded.
    """

    def __init__(self, scheduler: Scheduler, book: RunBook) -> None:
        self._scheduler, self._book = scheduler, book
        record = book.catch_up()
        self._views = StructViews(record.initial)
        for done in record.done.values():
            self._views.take(done.step, done.tasks)
        self._plan: list[StepRecord] = []
        self._sight = Sight(self._plan, record.done)
        self._here: Ranges | None = None

    def extend(self, steps: Iterable[Step]) -> None:
        """Take note of steps of the plan, in its order."""
        self._plan += [step.record for step in steps]

    def visible(self, position: int) -> Ranges:
        """Return the positions of the steps that one sees."""
        return self._sight.of(position)

    def value(self, visible: Ranges) -> Any:
        """Return the return value as visible steps left it."""
        return self._sight.value(visible)

    def watch_steps_here(self) -> None:
        """Let the steps of this process see what they need and no more."""
        self._scheduler.structs.watch(self._view)

    def work_here(self, work: Work) -> Work:
        """Return the work of a step of this process, and bring the return value to what it sees."""
        self._here = self.visible(work.step)
        self._scheduler.return_value = restored_value(self.value(self._here))
        return msgspec.structs.replace(work, visible=list(self._here))

    def record(self, work: Work, outcome: StepOutcome) -> None:
        """Record that a step is done, for good, and bring the scheduler to what it changed.

        Raises:
            PlanError: another step, at the same time, changed the same.
        """
        scheduler, now = self._scheduler, time.time()
        tasks = self._journaled(work, outcome)
        grown = outcome.grown
        if work.attempt:
            grown = moved(grown, len(scheduler.commands) - work.planned, work.planned)
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
        if work.attempt:
            extend_plan(scheduler, grown)

    def close(self) -> None:
        """Bring structs and return value to what all steps together left."""
        self._scheduler.structs.watch(None)
        self._scheduler.structs.show(self._views.state)
        self._scheduler.return_value = restored_value(self.value(((0, len(self._plan)),)))

    def _view(self, task: str) -> StructState | None:
        return self._views.view(task, self._here or ())

    def _journaled(self, work: Work, outcome: StepOutcome) -> dict[str, Any]:
        changes = {task: msgspec.to_builtins(change) for task, change in outcome.tasks.items()}
        made = {task: self._views.journaled(task, work.step, work.visible, change) for task, change in changes.items()}
        return {task: change for task, change in made.items() if change is not None}


def moved(grown: list[StepRecord], shift: int, first: int) -> list[StepRecord]:
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
