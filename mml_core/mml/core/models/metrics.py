"""Metrics of tasks, built from torchmetrics by the `metrics` group."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torchmetrics
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from mml.core.data_loading.task_attributes import TaskType
from mml.core.models.heads import scores
from mml.core.models.kinds import FITTING_OPTIONS
from mml.core.scripts.exceptions import MMLMisconfigurationException

if TYPE_CHECKING:
    from mml.core.data_loading.task_struct import TaskStruct


class TaskMetrics(nn.Module):
    """The metrics of one task in one phase.

    Args:
        struct: the task.
        builders: metric name -> torchmetrics class, to be called with the number of classes where it wants it.

    Raises:
        MMLMisconfigurationException: a metric does not fit the task; names an option that does.
    """

    def __init__(self, struct: "TaskStruct", builders: Mapping[str, Any]) -> None:
        super().__init__()
        self.task_type = struct.task_type
        self.collection = torchmetrics.MetricCollection(
            {name: _build(struct, name, builder) for name, builder in builders.items()}
        )

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Take a batch into account.

        Args:
            logits: of the head, `[B, K]` or `[B]`.
            target: class indices `[B]`, labels `[B, K]` or values `[B]`.
        """
        self.collection.update(scores(self.task_type, logits.float()), target)

    def compute(self) -> dict[str, float]:
        """Return metric name -> value over all batches since the last reset."""
        values: dict[str, Tensor] = self.collection.compute()
        return {name: float(value) for name, value in values.items()}

    def reset(self) -> None:
        """Forget all batches."""
        self.collection.reset()


def confusion_matrix(struct: "TaskStruct") -> MulticlassConfusionMatrix:
    """Return a metric that counts, per true class (row), the predicted classes (columns)."""
    return MulticlassConfusionMatrix(num_classes=struct.num_classes, validate_args=False)


def _build(struct: "TaskStruct", name: str, builder: Any) -> torchmetrics.Metric:
    sizes: dict[TaskType, dict[str, int]] = {
        TaskType.CLASSIFICATION: {"num_classes": struct.num_classes},
        TaskType.MULTILABEL_CLASSIFICATION: {"num_labels": struct.num_classes},
    }
    try:
        metric: torchmetrics.Metric = builder(**sizes.get(struct.task_type, {}))
    except (TypeError, ValueError) as error:
        msg = (
            f"Metric metrics.{name} does not fit task '{struct.name}' of type {struct.task_type}: {error}. "
            f"Use {FITTING_OPTIONS[struct.task_type]}."
        )
        raise MMLMisconfigurationException(msg) from error
    return metric
