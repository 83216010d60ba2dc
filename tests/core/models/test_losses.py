from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as functional

from mml.core.data_loading.task_attributes import TaskType
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.models.losses import BinaryCrossEntropyLoss, CrossEntropyLoss, MSELoss, check_fits
from mml.core.scripts.exceptions import MMLMisconfigurationException
from tests.support.tasks import make_struct


def struct(root: Path, kind: TaskType = TaskType.CLASSIFICATION, counts: dict[int, int] | None = None) -> TaskStruct:
    made = make_struct(root, "t", per_class=4, test_per_class=2, task_type=kind)
    if counts:
        made.class_occ.update({made.idx_to_class[index]: count for index, count in counts.items()})
    return made


def test_cross_entropy_is_torchs_with_smoothing(tmp_path: Path) -> None:
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    loss = CrossEntropyLoss(struct(tmp_path), label_smoothing=0.2)
    torch.testing.assert_close(loss(logits, target), functional.cross_entropy(logits, target, label_smoothing=0.2))


def test_automatic_weights_make_rare_classes_heavy(tmp_path: Path) -> None:
    loss = CrossEntropyLoss(struct(tmp_path, counts={0: 10, 1: 20, 2: 30}), class_weights="auto")
    torch.testing.assert_close(loss.weight, torch.tensor([60 / 30, 60 / 60, 60 / 90]))


def test_a_class_without_samples_has_a_finite_weight(tmp_path: Path) -> None:
    loss = CrossEntropyLoss(struct(tmp_path, counts={0: 0}), class_weights="auto")
    assert torch.isfinite(loss.weight).all()


def test_own_weights_are_taken(tmp_path: Path) -> None:
    loss = CrossEntropyLoss(struct(tmp_path), class_weights=[1, 2, 3])
    assert loss.weight.tolist() == [1, 2, 3]


@pytest.mark.parametrize(("weights", "given"), [([1.0, 2.0], "2 numbers"), ("balanced", "'balanced'")])
def test_wrong_weights_are_refused_with_the_choices(tmp_path: Path, weights: Any, given: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=rf"{given}.*null, 'auto' or 3 numbers"):
        CrossEntropyLoss(struct(tmp_path), class_weights=weights)


def test_binary_cross_entropy_takes_labels_of_any_number_type(tmp_path: Path) -> None:
    loss = BinaryCrossEntropyLoss(struct(tmp_path, TaskType.MULTILABEL_CLASSIFICATION))
    logits, target = torch.randn(4, 3), torch.randint(0, 2, (4, 3))
    expected = functional.binary_cross_entropy_with_logits(logits, target.float())
    torch.testing.assert_close(loss(logits, target), expected)


def test_automatic_weight_of_a_yes_is_the_noes_per_yes(tmp_path: Path) -> None:
    task = struct(tmp_path, TaskType.MULTILABEL_CLASSIFICATION, counts={0: 18, 1: 9, 2: 6})
    loss = BinaryCrossEntropyLoss(task, class_weights="auto")
    assert loss.pos_weight.tolist() == [0, 1, 2]


def test_squared_error_is_a_mean(tmp_path: Path) -> None:
    loss = MSELoss(struct(tmp_path, TaskType.REGRESSION))
    assert loss(torch.tensor([1.0, 2.0]), torch.tensor([1, 4])) == 2


def test_a_loss_of_another_kind_of_task_is_refused_with_the_one_that_fits(tmp_path: Path) -> None:
    task = struct(tmp_path, TaskType.REGRESSION)
    with pytest.raises(MMLMisconfigurationException, match=r"made for classification.*regression\. Use loss=mse"):
        check_fits(CrossEntropyLoss(struct(tmp_path / "other")), task)


def test_a_loss_that_says_nothing_fits_every_task(tmp_path: Path) -> None:
    check_fits(torch.nn.HuberLoss(), struct(tmp_path, TaskType.REGRESSION))
