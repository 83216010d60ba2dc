import pytest

from mml.core.data_loading.task_attributes import TaskType
from mml.core.data_loading.task_description import TaskHeader
from mml.core.models.kinds import check_supported, direction
from mml.core.scripts.exceptions import MMLMisconfigurationException


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [
        ("val/accuracy", "max"),
        ("val/loss", "min"),
        ("val/mae", "min"),
        ("val/calibration_error", "min"),
        ("train/loss", "min"),
        ("val/lossless", "max"),
        ("val/loss_task/f1", "max"),
        ("val/R2", "max"),
    ],
)
def test_direction_follows_the_metrics_name(monitor: str, expected: str) -> None:
    assert direction(monitor) == expected


def test_a_segmentation_task_is_refused_with_the_supported_types() -> None:
    header = TaskHeader(name="cells", task_type=TaskType.SEMANTIC_SEGMENTATION, idx_to_class={0: "a", 1: "b"})
    with pytest.raises(
        MMLMisconfigurationException, match=r"'cells'.*semantic_segmentation.*Supported: classification"
    ):
        check_supported(header)


def test_a_classification_with_one_class_is_refused() -> None:
    header = TaskHeader(name="one", task_type=TaskType.CLASSIFICATION, idx_to_class={0: "a"})
    with pytest.raises(MMLMisconfigurationException, match="1 class; at least two"):
        check_supported(header)


@pytest.mark.parametrize("kind", [TaskType.MULTILABEL_CLASSIFICATION, TaskType.REGRESSION])
def test_other_kinds_that_can_be_learnt_pass(kind: TaskType) -> None:
    check_supported(TaskHeader(name="fine", task_type=kind))
