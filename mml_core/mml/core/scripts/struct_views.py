"""What each step sees of task structs when steps run beside one another: what the steps that it needs changed, no more.

So it does not matter which of the others happened to be done. A journal keeps changes relative to all lines before; a
change that a step made to what it saw is made into such a one here. Values alone, no disk.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mml.core.data_loading.task_struct import StructState
from mml.core.scripts.drift_structs import (
    CannotTransferError,
    applied,
    change_between,
    initial_states,
    nothing,
    transferred,
)
from mml.core.scripts.exceptions import PlanError

Ranges = Sequence[tuple[int, int]]


class _Change(NamedTuple):
    """What one step did to the struct of a task.

    Attributes:
        step: position.
        before: the state that the change is relative to.
        change: as the journal has it.
    """

    step: int
    before: StructState
    change: Any


class StructViews:
    """The states of structs that steps see.

    Args:
        initial: task -> change that `reuse` made before the first step.
    """

    def __init__(self, initial: Mapping[str, Any]) -> None:
        self._initial = initial_states(initial)
        self._states = dict(self._initial)
        self._changes: dict[str, list[_Change]] = {}
        # Task -> path key, or identity of a model -> position of the step that it is of.
        self._makers: dict[str, dict[Any, int]] = {
            task: {_identity(model): -1 for model in state.models} for task, state in self._initial.items()
        }

    def take(self, step: int, tasks: Mapping[str, Any]) -> None:
        """Take in what a step changed, in the order of the journal.

        Args:
            step: its position.
            tasks: task -> change, as builtins, relative to all lines before.
        """
        for task, change in tasks.items():
            before = self._states.get(task, nothing())
            self._changes.setdefault(task, []).append(_Change(step, before, change))
            self._states[task] = applied(before, change)
            self._note_makers(task, step, before, self._states[task])

    def state(self, task: str) -> StructState | None:
        """Return the state of a struct after all that is recorded; None when nothing of it is."""
        return self._states.get(task)

    def view(self, task: str, visible: Ranges) -> StructState | None:
        """Return the state of a struct as a step sees it; None when nothing that it sees is recorded.

        Args:
            task: its name.
            visible: positions of the steps that it sees, as ranges.
        """
        changes = self._changes.get(task, [])
        seen = [change for change in changes if is_in(change.step, visible)]
        if len(seen) == len(changes):
            return self._states.get(task)
        state = self._initial.get(task, nothing())
        try:
            for change in sorted(seen, key=lambda change: change.step):
                state = self._ordered(task, change.step, transferred(change.before, change.change, state))
        except CannotTransferError:
            # It builds on a step that the plan says it does not need, which was possible where one came after another.
            return self._states.get(task)
        return state if seen or task in self._initial else None

    def journaled(self, task: str, step: int, visible: Ranges, change: Any) -> dict[str, Any] | None:
        """Return a change, relative to what its step saw, as one relative to all that is recorded up to now.

        Raises:
            PlanError: another step, which this one does not come after, changed the same.
        """
        before = self.view(task, visible) or nothing()
        here = self._states.get(task, nothing())
        try:
            mine = self._own(task, step, before, change, here)
            after = here if mine is None else self._ordered(task, step, transferred(before, mine, here))
        except CannotTransferError:
            others = [other.step + 1 for other in self._changes.get(task, ()) if not is_in(other.step, visible)]
            msg = (
                f"Step {step + 1} changed what another step, one of {others}, has changed of task '{task}' as well. "
                "Let one of them come `after` the other."
            )
            raise PlanError(msg) from None
        return change_between(here, after)

    def _note_makers(self, task: str, step: int, before: StructState, after: StructState) -> None:
        makers = self._makers.setdefault(task, {})
        makers |= {key: step for key, path in after.paths.items() if before.paths.get(key) != path}
        for model in after.models:
            makers.setdefault(_identity(model), step)

    def _own(self, task: str, step: int, before: StructState, change: Any, here: StructState) -> dict[str, Any] | None:
        """Return what of a change is a step's own.

        Not its own are paths that a later step of the plan has set, and models that others have added as well: those
        that `reuse` finds for each step that is the first to ask for the task.
        """
        makers, known = self._makers.get(task, {}), {_identity(model) for model in here.models}
        had = {_identity(model) for model in before.models}
        after = applied(before, change)
        models = [model for model in after.models if _identity(model) in had or _identity(model) not in known]
        changed = {key for key, path in after.paths.items() if before.paths.get(key) != path}
        later = {key for key in changed if makers.get(key, -1) > step}
        paths = {key: path for key, path in after.paths.items() if key not in later}
        kept = {key: path for key, path in before.paths.items() if key in later}
        return change_between(before, StructState(paths | kept, models))

    def _ordered(self, task: str, step: int, state: StructState) -> StructState:
        """Return a state whose models have the order of the plan, whichever was there first."""
        makers = self._makers.get(task, {})
        models = sorted(state.models, key=lambda model: makers.get(_identity(model), step))
        return StructState(state.paths, models)


def is_in(position: int, ranges: Ranges) -> bool:
    """Tell whether a position lies in one of the ranges `(start, stop)`."""
    return any(start <= position < stop for start, stop in ranges)


def _identity(model: Mapping[str, Any]) -> tuple[Any, ...]:
    return model.get("task"), model.get("fold"), model.get("parameters")
