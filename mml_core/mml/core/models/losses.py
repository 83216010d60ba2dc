"""Losses: torch's own, which know the kinds of task they fit and may weigh classes by their frequency."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from mml.core.data_loading.task_attributes import TaskType
from mml.core.models.kinds import FITTING_OPTIONS
from mml.core.scripts.exceptions import MMLMisconfigurationException

if TYPE_CHECKING:
    from mml.core.data_loading.task_struct import TaskStruct

ClassWeights = str | Sequence[float] | None


class CrossEntropyLoss(nn.CrossEntropyLoss):
    """Cross entropy of logits `[B, K]` and class indices `[B]`.

    Args:
        struct: the task.
        class_weights: None; `"auto"`: the rarer the heavier, `n / (K * count)`; or K weights.
        label_smoothing: probability given to all classes alike (Szegedy et al. 2015), 0 to 1.

    Raises:
        MMLMisconfigurationException: the weights are not as many as classes.
    """

    fits: ClassVar[frozenset[TaskType]] = frozenset({TaskType.CLASSIFICATION})

    def __init__(
        self, struct: "TaskStruct", *, class_weights: ClassWeights = None, label_smoothing: float = 0.0
    ) -> None:
        weight = None
        if class_weights is not None:
            counts = _class_counts(struct)
            weight = _weights(struct, class_weights, counts.sum() / (len(counts) * counts))
        super().__init__(weight=weight, label_smoothing=label_smoothing)


class BinaryCrossEntropyLoss(nn.BCEWithLogitsLoss):
    """Binary cross entropy of logits `[B, K]` and labels 0 or 1 `[B, K]`: one yes-no question per class.

    Args:
        struct: the task.
        class_weights: None; `"auto"`: a yes weighs as much as there are noes per yes; or K weights of the yes.

    Raises:
        MMLMisconfigurationException: the weights are not as many as classes.
    """

    fits: ClassVar[frozenset[TaskType]] = frozenset({TaskType.MULTILABEL_CLASSIFICATION})

    def __init__(self, struct: "TaskStruct", *, class_weights: ClassWeights = None) -> None:
        weight = None
        if class_weights is not None:
            counts = _class_counts(struct)
            total = len(struct.description.train_samples) + len(struct.description.test_samples)
            weight = _weights(struct, class_weights, (total - counts) / counts)
        super().__init__(pos_weight=weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002 # torch's name for it
        """Return the mean over samples and classes."""
        return super().forward(input, target.to(input.dtype))


class MSELoss(nn.MSELoss):
    """Squared error of values `[B]`.

    Args:
        struct: the task.
    """

    fits: ClassVar[frozenset[TaskType]] = frozenset({TaskType.REGRESSION})

    def __init__(self, struct: "TaskStruct") -> None:  # noqa: ARG002 # every loss is built alike
        super().__init__()

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002 # torch's name for it
        """Return the mean over samples."""
        return super().forward(input, target.to(input.dtype))


def check_fits(loss: object, struct: "TaskStruct") -> None:
    """Refuse a loss that can't be that of a task.

    Raises:
        MMLMisconfigurationException: names the loss, the task's type and an option that fits.
    """
    fits = getattr(loss, "fits", None)
    if fits is None or struct.task_type in fits:
        return
    msg = (
        f"Loss {type(loss).__name__} is made for {' and '.join(sorted(fits))}, but task '{struct.name}' is of type "
        f"{struct.task_type}. Use {FITTING_OPTIONS[struct.task_type]}."
    )
    raise MMLMisconfigurationException(msg)


def _class_counts(struct: "TaskStruct") -> Tensor:
    """Return the samples per class `[K]`; a class that nobody has seen counts one."""
    counts = [struct.class_occ.get(struct.idx_to_class[index], 0) for index in range(struct.num_classes)]
    return torch.tensor(counts, dtype=torch.float32).clamp(min=1)


def _weights(struct: "TaskStruct", wanted: str | Sequence[float], automatic: Tensor) -> Tensor:
    if wanted == "auto":
        return automatic
    if isinstance(wanted, str) or len(wanted) != struct.num_classes:
        given = repr(wanted) if isinstance(wanted, str) else f"{len(wanted)} numbers"
        msg = (
            f"loss.class_weights: {given} for task '{struct.name}'. Use null, 'auto' or {struct.num_classes} numbers, "
            "one per class."
        )
        raise MMLMisconfigurationException(msg)
    return torch.tensor(list(wanted), dtype=torch.float32)
