"""What depends on the kind of a task and needs no torch: its label, the options that fit, which metrics are costs."""

from typing import TYPE_CHECKING, Literal

from mml.core.data_loading.task_attributes import Modality, TaskType
from mml.core.scripts.exceptions import MMLMisconfigurationException

if TYPE_CHECKING:
    from mml.core.data_loading.task_description import TaskHeader
    from mml.core.data_loading.task_struct import TaskStruct

# What is learnt, of the kinds of tasks that can be trained.
TARGETS = {
    TaskType.CLASSIFICATION: Modality.CLASS,
    TaskType.MULTILABEL_CLASSIFICATION: Modality.CLASSES,
    TaskType.REGRESSION: Modality.VALUE,
}
# What to write on the command line for each of them.
FITTING_OPTIONS = {
    TaskType.CLASSIFICATION: "loss=cross_entropy metrics=classification mode.monitor=val/accuracy",
    TaskType.MULTILABEL_CLASSIFICATION: "loss=bce metrics=multilabel mode.monitor=val/f1",
    TaskType.REGRESSION: "loss=mse metrics=regression mode.monitor=val/mae",
}
# Parts of metric names that tell that less is better.
_COSTS = frozenset({"loss", "error", "mae", "mse", "rmse", "distance", "deviance", "perplexity"})


def check_supported(task: "TaskHeader | TaskStruct") -> None:
    """Refuse a task that can't be learnt.

    Raises:
        MMLMisconfigurationException: names the task, its type and the supported types.
    """
    if task.task_type not in TARGETS:
        msg = (
            f"Task '{task.name}' is of type {task.task_type}, which can't be trained yet. "
            f"Supported: {', '.join(TARGETS)}."
        )
        raise MMLMisconfigurationException(msg)
    if task.task_type is TaskType.CLASSIFICATION and len(task.idx_to_class) < 2:
        msg = f"Task '{task.name}' has {len(task.idx_to_class)} class; at least two are needed to tell apart."
        raise MMLMisconfigurationException(msg)


def direction(monitor: str) -> Literal["min", "max"]:
    """Return `"min"` for metrics of which less is better, by their name, else `"max"`."""
    return "min" if _COSTS & set(monitor.rpartition("/")[2].lower().split("_")) else "max"
