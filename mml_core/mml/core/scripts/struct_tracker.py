"""StructTracker: hands out task structs and finds what a step changed in them, at a cost of the touched ones alone."""

from collections.abc import Mapping
from typing import Any

import msgspec

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_loading.task_struct import StructChange, StructState, TaskStruct, apply_change, difference, state_of


class StructTracker:
    """All task structs of a run.

    Args:
        fm: loads structs.
    """

    def __init__(self, fm: MMLFileManager) -> None:
        self._fm = fm
        self._structs: dict[str, TaskStruct] = {}
        self._recorded: dict[str, list[StructChange]] = {}
        self._with_reuse = True
        self._before: dict[str, StructState] = {}
        # Structs handed out between steps may be kept by the scheduler, so every step may change them.
        self._held: set[str] = set()
        self._in_step = False

    def get(self, name: str) -> TaskStruct:
        """Return the struct of a task, the same object at every call.

        Raises:
            UnknownNameError: there is no such task.
        """
        struct = self._structs.get(name) or self._load(name)
        if self._in_step:
            if name not in self._before:
                self._before[name] = state_of(struct, self._fm.roots)
        else:
            self._held.add(name)
        return struct

    def initial_changes(self, names: list[str]) -> dict[str, StructChange]:
        """Return what `reuse` attaches to the structs of tasks, so that a later `continue` attaches the same."""
        if not self._fm.reuses:
            return {}
        empty = StructState({}, [])
        changes = {name: difference(empty, state_of(self._load(name), self._fm.roots)) for name in names}
        return {name: change for name, change in changes.items() if change is not None}

    def replay(self, changes: Mapping[str, Any], *, initial: bool = False) -> None:
        """Take over recorded changes, as builtins: at once for a struct that planning has loaded, else on loading.

        Args:
            changes: task name -> change.
            initial: whether these are the changes that `reuse` made at the start of the run.
        """
        self._with_reuse = self._with_reuse and not initial
        for name, change in changes.items():
            recorded = msgspec.convert(change, StructChange)
            self._recorded.setdefault(name, []).append(recorded)
            if name in self._structs:
                apply_change(self._structs[name], recorded, self._fm.roots)

    def begin_step(self) -> None:
        """Start to watch for changes."""
        self._in_step = True
        self._before = {name: state_of(self._structs[name], self._fm.roots) for name in self._held}

    def end_step(self) -> dict[str, StructChange]:
        """Stop watching and return the changes since `begin_step`."""
        self._in_step = False
        found = {}
        for name, before in self._before.items():
            change = difference(before, state_of(self._structs[name], self._fm.roots))
            if change is not None:
                found[name] = change
        return found

    def _load(self, name: str) -> TaskStruct:
        if name not in self._structs:
            struct = self._fm.load_struct(name, with_reuse=self._with_reuse)
            for change in self._recorded.get(name, []):
                apply_change(struct, change, self._fm.roots)
            self._structs[name] = struct
        return self._structs[name]
