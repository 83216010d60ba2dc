from pathlib import Path

import pytest
import torch

from mml.core.data_loading.task_attributes import TaskType
from mml.core.models.heads import create_head, scores
from mml.core.scripts.exceptions import MMLMisconfigurationException
from tests.support.tasks import make_struct


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (TaskType.CLASSIFICATION, (5, 3)),
        (TaskType.MULTILABEL_CLASSIFICATION, (5, 3)),
        (TaskType.REGRESSION, (5,)),
    ],
)
def test_a_head_has_the_outputs_of_its_task(tmp_path: Path, kind: TaskType, shape: tuple[int, ...]) -> None:
    head = create_head(make_struct(tmp_path, "t", per_class=1, task_type=kind), 7)
    assert head(torch.rand(5, 7)).shape == shape


def test_a_task_that_can_not_be_learnt_gets_no_head(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "t", per_class=1, task_type=TaskType.SEMANTIC_SEGMENTATION)
    with pytest.raises(MMLMisconfigurationException, match="can't be trained yet"):
        create_head(struct, 7)


def test_scores_are_probabilities_of_classes() -> None:
    values = scores(TaskType.CLASSIFICATION, torch.tensor([[0.0, 0.0], [5.0, -5.0]]))
    torch.testing.assert_close(values.sum(dim=1), torch.ones(2))
    assert values[0].tolist() == [0.5, 0.5]


def test_scores_of_labels_are_independent() -> None:
    values = scores(TaskType.MULTILABEL_CLASSIFICATION, torch.tensor([[0.0, 0.0, 20.0]]))
    torch.testing.assert_close(values, torch.tensor([[0.5, 0.5, 1.0]]))


def test_scores_of_a_regression_are_its_values() -> None:
    values = torch.tensor([3.0, -2.0])
    assert scores(TaskType.REGRESSION, values) is values
