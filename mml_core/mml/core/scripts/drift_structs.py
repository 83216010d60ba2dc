"""Carrying what a step did to task structs over to another run, where not all of the steps before it were done.

A journal keeps changes of structs relative to all steps before, e.g. "the models after the second". Here such a change
is made into what the step itself added, altered and removed, and that is made again on other states. Pure functions.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from mml.core.data_loading.task_struct import StructChange, StructState, difference

_ABSENT = object()

States = dict[str, StructState]


class CannotTransferError(Exception):
    """A step altered what is not there, or is otherwise: it belongs to a step that was not taken over."""


def initial_states(changes: Mapping[str, Any]) -> States:
    """Return the states of structs that `reuse` changed before the first step: task -> change, as builtins."""
    return {task: applied(nothing(), change) for task, change in changes.items()}


def nothing() -> StructState:
    """Return the state of a struct that no step has touched."""
    return StructState({}, [])


def applied(state: StructState, change: Any) -> StructState:
    """Return a state after a recorded change."""
    made = msgspec.convert(change, StructChange)
    paths = {key: path for key, path in state.paths.items() if key not in made.removed}
    return StructState(paths | made.paths, [*state.models[: made.keep], *made.models])


def transferred(before: StructState, change: Any, target: StructState) -> StructState:
    """Return `target` after what a step did that made a recorded change to `before`.

    Raises:
        CannotTransferError: it altered or removed what the target does not have, or has otherwise.
    """
    after = applied(before, change)
    paths = _merged(before.paths, after.paths, target.paths)
    if before.models == target.models:
        return StructState(paths, after.models)
    return StructState(paths, _merged_models(before.models, after.models, target.models))


def change_between(before: StructState, after: StructState) -> dict[str, Any] | None:
    """Return the recorded form of a change, as builtins; None when nothing differs."""
    change = difference(before, after)
    return None if change is None else msgspec.to_builtins(change)


def files_of(before: StructState, after: StructState) -> set[str]:
    """Return the files, as portable paths, that a struct refers to after a change and did not before."""
    return _files(after) - _files(before)


def _files(state: StructState) -> set[str]:
    models = [text for model in state.models for text in _model_files(model)]
    return {*state.paths.values(), *models}


def _model_files(model: Mapping[str, Any]) -> Iterable[str]:
    yield from (text for name in ("parameters", "pipeline", "storage") if (text := model.get(name)))
    yield from (model.get("predictions") or {}).values()


def _merged_models(before: list[Any], after: list[Any], target: list[Any]) -> list[Any]:
    """Return models of the target with the alterations that made `after` of `before`."""
    old, new, here = _by_identity(before), _by_identity(after), _by_identity(target)
    altered = {name: model for name, model in new.items() if name in old and model != old[name]}
    gone = [name for name in old if name not in new]
    if any(name not in here for name in (*altered, *gone)) or any(name in here for name in new if name not in old):
        raise CannotTransferError
    merged = here | {name: _merged(old[name], model, here[name]) for name, model in altered.items()}
    merged |= {name: model for name, model in new.items() if name not in old}
    return [model for name, model in merged.items() if name not in gone]


def _by_identity(models: list[Any]) -> dict[tuple[Any, ...], Any]:
    found = {(model.get("task"), model.get("fold"), model.get("parameters")): model for model in models}
    if len(found) < len(models):
        raise CannotTransferError
    return found


def _merged(before: Mapping[str, Any], after: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    """Return `target` with the fields that differ between `before` and `after`; mappings are merged field by field."""
    merged = dict(target)
    for name in {**before, **after}:
        old, new, here = (fields.get(name, _ABSENT) for fields in (before, after, target))
        if new == old:
            continue
        if isinstance(new, Mapping) and isinstance(here, Mapping):
            merged[name] = _merged(old if isinstance(old, Mapping) else {}, new, here)
        elif old is not _ABSENT and here not in (old, new):
            raise CannotTransferError
        elif new is _ABSENT:
            merged.pop(name, None)
        else:
            merged[name] = new
    return merged
