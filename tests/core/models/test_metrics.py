from functools import partial
from pathlib import Path

import pytest
import torch
from torchmetrics import MeanAbsoluteError
from torchmetrics.classification import MulticlassAccuracy, MulticlassRecall, MultilabelAccuracy

from mml.core.data_loading.task_attributes import TaskType
from mml.core.models.metrics import TaskMetrics, confusion_matrix
from mml.core.scripts.exceptions import MMLMisconfigurationException
from tests.support.tasks import make_struct

ACCURACIES = {"accuracy": partial(MulticlassAccuracy, average="micro"), "balanced": MulticlassRecall}


def test_values_are_those_over_all_batches(tmp_path: Path) -> None:
    metrics = TaskMetrics(make_struct(tmp_path, "t", per_class=1), ACCURACIES)
    metrics.update(torch.eye(3), torch.tensor([0, 1, 2]))
    metrics.update(torch.eye(3)[:1], torch.tensor([1]))
    assert metrics.compute() == pytest.approx({"accuracy": 0.75, "balanced": (1 + 0.5 + 1) / 3})


def test_a_reset_forgets(tmp_path: Path) -> None:
    metrics = TaskMetrics(make_struct(tmp_path, "t", per_class=1), ACCURACIES)
    metrics.update(torch.eye(3), torch.tensor([2, 2, 1]))
    metrics.reset()
    metrics.update(torch.eye(3), torch.tensor([0, 1, 2]))
    assert metrics.compute()["accuracy"] == 1


def test_labels_are_judged_one_by_one(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "t", per_class=1, task_type=TaskType.MULTILABEL_CLASSIFICATION)
    metrics = TaskMetrics(struct, {"accuracy": MultilabelAccuracy})
    metrics.update(torch.tensor([[9.0, -9.0, 9.0]]), torch.tensor([[1, 0, 0]]))
    assert metrics.compute() == pytest.approx({"accuracy": 2 / 3})


def test_values_of_a_regression_are_compared_as_they_are(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "t", per_class=1, task_type=TaskType.REGRESSION)
    metrics = TaskMetrics(struct, {"mae": MeanAbsoluteError})
    metrics.update(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 5.0]))
    assert metrics.compute() == {"mae": 1}


def test_a_metric_of_another_kind_of_task_is_refused_with_the_option_that_fits(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "t", per_class=1, task_type=TaskType.REGRESSION)
    with pytest.raises(MMLMisconfigurationException, match=r"metrics\.accuracy does not fit.*metrics=regression"):
        TaskMetrics(struct, {"accuracy": MulticlassAccuracy})


def test_the_confusion_matrix_has_true_classes_as_rows(tmp_path: Path) -> None:
    matrix = confusion_matrix(make_struct(tmp_path, "t", per_class=1))
    matrix.update(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([0]))
    assert matrix.compute().tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
