"""StructTracker: hands out task structs and finds what a step changed in them, at a cost of the touched ones alone."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_loading.task_struct import StructChange, StructState, TaskStruct, apply_change, difference, state_of
from mml.core.scripts.exceptions import JournalError
from mml.core.scripts.model_storage import record_from_builtins

_NOTHING = StructState({}, [])


class StructTracker:
    """All task structs of a run.

    Args:
        fm: loads structs.
    """

    def __init__(self, fm: MMLFileManager) -> None:
        self._fm = fm
        self._structs: dict[str, TaskStruct] = {}
        self._recorded: dict[str, list[StructChange]] = {}
        # What `reuse` attached to structs, as long as no record has it.
        self._reused: dict[str, StructChange] = {}
        self._before: dict[str, StructState] = {}
        # Structs handed out between steps may be kept by the scheduler, so every step may change them.
        self._held: set[str] = set()
        self._in_step = False
        # What a step sees of a struct, None where nothing is recorded; without it, all that was done in this process.
        self._viewer: Callable[[str], StructState | None] | None = None
        # As they were when they were loaded.
        self._loaded: dict[str, StructState] = {}

    def get(self, name: str) -> TaskStruct:
        """Return the struct of a task, the same object at every call.

        Raises:
            UnknownNameError: there is no such task.
        """
        struct = self._structs.get(name) or self._load(name)
        if self._in_step:
            if name not in self._before:
                self._before[name] = self._shown_before(name)
        else:
            self._held.add(name)
        return struct

    def watch(self, viewer: Callable[[str], StructState | None] | None) -> None:
        """Let each step see of a struct what `viewer` returns; None where nothing is recorded of the struct."""
        self._viewer = viewer

    def show(self, states: Callable[[str], StructState | None]) -> None:
        """Bring all structs that are loaded to given states; None where nothing is recorded of a struct."""
        for name in self._structs:
            if (state := states(name)) is not None:
                self._set(name, state)

    def initial_changes(self, names: list[str]) -> dict[str, StructChange]:
        """Return what `reuse` attaches to the structs of tasks, and attached to others that were loaded up to now.

        Recorded, it makes a later `continue` attach the same.
        """
        for name in names if self._fm.reuses else ():
            self._load(name)
        changes, self._reused = self._reused, {}
        return changes

    def replay(self, changes: Mapping[str, Any]) -> None:
        """Take over recorded changes, as builtins: at once for a struct that planning has loaded, else on loading.

        Args:
            changes: task name -> change.

        Raises:
            JournalError: no such change can have been recorded.
        """
        for name, change in changes.items():
            recorded = _converted(name, change)
            self._recorded.setdefault(name, []).append(recorded)
            if name in self._structs:
                apply_change(self._structs[name], recorded, self._fm.roots)

    def begin_step(self) -> None:
        """Start to watch for changes."""
        self._in_step = True
        self._before = {name: self._shown_before(name) for name in self._held}

    def end_step(self) -> dict[str, StructChange]:
        """Stop watching and return the changes since `begin_step`."""
        states = {name: state_of(self._structs[name], self._fm.roots) for name in self._before}
        self._in_step = False
        found = {}
        for name, before in self._before.items():
            self._reused.pop(name, None)
            if (change := difference(before, states[name])) is not None:
                found[name] = change
        return found

    def abandon_step(self) -> None:
        """Stop watching and undo all changes since `begin_step`, whatever they are: the step failed."""
        self._in_step = False
        for name, before in self._before.items():
            reused = self._reused.get(name)
            self._set(name, before if reused is None else StructState(reused.paths, reused.models))

    def _shown_before(self, name: str) -> StructState:
        """Bring a struct to what the step sees of it, and return its state."""
        if self._viewer is not None:
            state = self._viewer(name)
            if state is not None:
                self._reused.pop(name, None)
            elif (found := difference(_NOTHING, self._loaded[name])) is not None:
                self._reused[name] = found
            self._set(name, self._loaded[name] if state is None else state)
        return self._state_before(name)

    def _set(self, name: str, state: StructState) -> None:
        struct, roots = self._structs[name], self._fm.roots
        struct.paths = {key: roots.to_path(text) for key, text in state.paths.items()}
        struct.models = [record_from_builtins(model, roots) for model in state.models]

    def _state_before(self, name: str) -> StructState:
        # What `reuse` attached counts as a change of the step, unless it is in an earlier record.
        return _NOTHING if name in self._reused else state_of(self._structs[name], self._fm.roots)

    def _load(self, name: str) -> TaskStruct:
        if name not in self._structs:
            # What `reuse` found once is what a continued run goes on with, also when there is a newer file by now.
            struct = self._fm.load_struct(name, with_reuse=name not in self._recorded)
            self._loaded[name] = state_of(struct, self._fm.roots)
            if (reused := difference(_NOTHING, self._loaded[name])) is not None:
                self._reused[name] = reused
            for change in self._recorded.get(name, []):
                apply_change(struct, change, self._fm.roots)
            self._structs[name] = struct
        return self._structs[name]


def _converted(task: str, change: Any) -> StructChange:
    try:
        return msgspec.convert(change, StructChange)
    except msgspec.ValidationError as error:
        msg = f"The journal of the run is damaged in what it says of task '{task}': {error}."
        raise JournalError(msg) from error
