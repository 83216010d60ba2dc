"""Heads: the last layer of a task, and what its logits mean."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mml.core.data_loading.task_attributes import TaskType
from mml.core.models.kinds import check_supported

if TYPE_CHECKING:
    from mml.core.data_loading.task_struct import TaskStruct


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
