"""The registry of creators: functions that fetch a data set, and functions that describe a task made of one.

A plugin registers its own:

    @register_dsetcreator(dset_name="shapes")
    def create_dset() -> Path: ...            # fetches files, returns their folder

    @register_taskcreator(task_name="shapes", dset_name="shapes")
    def create_task(dset_path: Path) -> "TaskCreator": ...
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mml.core.data_loading.task_description import validate_task_name
from mml.core.scripts.exceptions import MMLMisconfigurationException

if TYPE_CHECKING:  # plugins register at every start, and need no image library for that
    from mml.core.data_preparation.task_creator import TaskCreator

DSetCreatorFunc: TypeAlias = Callable[[], Path]
# The functions of tasks without a data set take no argument, the others the folder of the data set.
TaskCreatorFunc: TypeAlias = "Callable[..., TaskCreator]"

_DATASET_CREATORS: dict[str, DSetCreatorFunc] = {}
_TASKCREATORS: dict[str, TaskCreatorFunc] = {}
_TASK_TO_DSET: dict[str, str | None] = {}


def register_dsetcreator(dset_name: str) -> Callable[[DSetCreatorFunc], DSetCreatorFunc]:
    """Return a decorator that registers a function as the creator of a data set.

    Args:
        dset_name: name of the data set. The function takes no argument and returns the folder of its files.

    Raises:
        MMLMisconfigurationException: another function has this name.
    """

    def register(function: DSetCreatorFunc) -> DSetCreatorFunc:
        _add(_DATASET_CREATORS, "data set", dset_name, function)
        return function

    return register


def register_taskcreator(task_name: str, dset_name: str | None = None) -> Callable[[TaskCreatorFunc], TaskCreatorFunc]:
    """Return a decorator that registers a function as the creator of a task.

    Args:
        task_name: name of the task.
        dset_name: name of the data set that it is made of. The function takes the folder of this, and returns a
            `TaskCreator` with the samples. For a task that needs no data set the function takes no argument.

    Raises:
        MMLMisconfigurationException: another function has this name.
        TaskNameError: the name can't be a task's name.
    """

    def register(function: TaskCreatorFunc) -> TaskCreatorFunc:
        _add(_TASKCREATORS, "task", validate_task_name(task_name), function)
        _TASK_TO_DSET[task_name] = dset_name
        return function

    return register


def create_dataset(dset_name: str) -> Path:
    """Call the creator of a data set and return the folder of its files.

    Raises:
        MMLMisconfigurationException: no creator of this name is registered.
    """
    function = _DATASET_CREATORS.get(dset_name)
    if function is None:
        msg = f"No creator of data set '{dset_name}' is registered. Give its files with mode.source=<folder>."
        raise MMLMisconfigurationException(msg)
    return Path(function())


def create_creator_func(create_func: TaskCreatorFunc, **kwargs: Any) -> TaskCreatorFunc:
    """Return the creator function that calls another one with fixed arguments, for families of similar tasks.

    Args:
        create_func: takes the folder of a data set as `dset_path`, and more.
        **kwargs: all other arguments of it.
    """

    def create_task(dset_path: Path) -> "TaskCreator":
        return partial(create_func, **kwargs)(dset_path=dset_path)

    return create_task


def _add(known: dict[str, Any], kind: str, name: str, function: Callable[..., Any]) -> None:
    other = known.get(name)
    if other is not None and _place(other) != _place(function):
        msg = f"Two creators want the {kind} '{name}': {_place(other)} and {_place(function)}. Rename one of them."
        raise MMLMisconfigurationException(msg)
    known[name] = function


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
