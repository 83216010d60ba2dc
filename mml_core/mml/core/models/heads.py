"""Heads, and what else depends on the kind of task: which label is learnt, how many outputs, what logits mean."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mml.core.data_loading.task_attributes import Modality, TaskType
from mml.core.scripts.exceptions import MMLMisconfigurationException

if TYPE_CHECKING:
    from mml.core.data_loading.task_struct import TaskStruct

TARGETS = {
    TaskType.CLASSIFICATION: Modality.CLASS,
    TaskType.MULTILABEL_CLASSIFICATION: Modality.CLASSES,
    TaskType.REGRESSION: Modality.VALUE,
}


def check_supported(struct: "TaskStruct") -> None:
    """Refuse a task that no head can learn.

    Raises:
        MMLMisconfigurationException: names the task, its type and the supported types.
    """
    if struct.task_type not in TARGETS:
        msg = (
            f"Task '{struct.name}' is of type {struct.task_type}, which can't be trained yet. "
            f"Supported: {', '.join(TARGETS)}."
        )
        raise MMLMisconfigurationException(msg)
    if struct.task_type is TaskType.CLASSIFICATION and struct.num_classes < 2:
        msg = f"Task '{struct.name}' has {struct.num_classes} classes; at least two are needed to tell apart."
        raise MMLMisconfigurationException(msg)


def create_head(struct: "TaskStruct", num_features: int) -> nn.Module:
    """Return a linear head that maps features `[B, num_features]` to logits `[B, K]`, regression: values `[B]`.

    Raises:
        MMLMisconfigurationException: the task's type is not supported.
    """
    check_supported(struct)
    if struct.task_type is TaskType.REGRESSION:
        return nn.Sequential(nn.Linear(num_features, 1), nn.Flatten(0))
    return nn.Linear(num_features, struct.num_classes)


def scores(task_type: TaskType, logits: Tensor) -> Tensor:
    """Return probabilities `[B, K]` that logits stand for; values of a regression `[B]` as they are."""
    if task_type is TaskType.CLASSIFICATION:
        return torch.softmax(logits, dim=1)
    if task_type is TaskType.MULTILABEL_CLASSIFICATION:
        return torch.sigmoid(logits)
    return logits
