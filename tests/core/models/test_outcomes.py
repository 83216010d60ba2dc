import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from mml.core.data_loading.task_attributes import TaskType
from mml.core.models.outcomes import epoch_metrics, finite_or_none, write_json, write_predictions
from tests.support.tasks import make_struct


def predicted(root: Path, kind: TaskType, *parts: dict[str, Any]) -> list[list[str]]:
    """Write predictions of a task with three classes and return the lines of the file."""
    struct = make_struct(root, "t", per_class=1, task_type=kind)
    path = root / "out" / "predictions.csv"
    number = write_predictions(path, struct, [{"t": part} for part in parts])
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert number == len(lines) - 1
    return lines


def test_classes_are_named_and_every_probability_is_there(tmp_path: Path) -> None:
    first = {"sample_id": ["a"], "scores": torch.tensor([[0.25, 0.5, 0.25]]), "target": torch.tensor([2])}
    second = {"sample_id": ["b,c"], "scores": torch.tensor([[1.0, 0.0, 0.0]]), "target": torch.tensor([0])}
    assert predicted(tmp_path, TaskType.CLASSIFICATION, first, second) == [
        ["sample_id", "target", "prediction", "p:class_0", "p:class_1", "p:class_2"],
        ["a", "class_2", "class_1", "0.25", "0.5", "0.25"],
        ["b,c", "class_0", "class_0", "1", "0", "0"],
    ]


def test_an_unknown_target_stays_empty(tmp_path: Path) -> None:
    part = {"sample_id": ["a"], "scores": torch.tensor([[0.0, 0.0, 1.0]])}
    assert predicted(tmp_path, TaskType.CLASSIFICATION, part)[1][:3] == ["a", "", "class_2"]


def test_labels_have_a_column_each(tmp_path: Path) -> None:
    part = {"sample_id": ["a"], "scores": torch.tensor([[0.5, 0.0, 1.0]]), "target": torch.tensor([[1, 0, 1]])}
    unknown = {"sample_id": ["b"], "scores": torch.tensor([[0.5, 0.0, 1.0]])}
    lines = predicted(tmp_path, TaskType.MULTILABEL_CLASSIFICATION, part, unknown)
    assert lines[0][1:4] == ["target:class_0", "target:class_1", "target:class_2"]
    assert lines[1] == ["a", "1", "0", "1", "0.5", "0", "1"]
    assert lines[2] == ["b", "", "", "", "0.5", "0", "1"]


def test_values_of_a_regression_stand_beside_their_targets(tmp_path: Path) -> None:
    part = {"sample_id": ["a", "b"], "scores": torch.tensor([1.5, -2.0]), "target": torch.tensor([1.0, 0.25])}
    unknown = {"sample_id": ["c"], "scores": torch.tensor([0.5])}
    assert predicted(tmp_path, TaskType.REGRESSION, part, unknown) == [
        ["sample_id", "target", "prediction"],
        ["a", "1", "1.5"],
        ["b", "0.25", "-2"],
        ["c", "", "0.5"],
    ]


def test_nothing_predicted_is_a_head_line(tmp_path: Path) -> None:
    assert len(predicted(tmp_path, TaskType.CLASSIFICATION)) == 1


def test_json_has_null_for_what_is_no_number(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"rows": [{"x": math.nan, "y": 1.5}], "n": 3, "t": "text"})
    assert json.loads((tmp_path / "a.json").read_text()) == {"rows": [{"x": None, "y": 1.5}], "n": 3, "t": "text"}


def test_metrics_of_an_epoch_are_parted_by_split() -> None:
    row = {"epoch": 3, "lr": 0.1, "train/loss": 1.0, "val/loss": 2.0, "val/a/f1": math.nan}
    assert epoch_metrics(row, ("train", "val", "test")) == [
        {"split": "train", "epoch": 3, "loss": 1.0},
        {"split": "val", "epoch": 3, "loss": 2.0, "a/f1": None},
    ]


@pytest.mark.parametrize(("value", "expected"), [(1.5, 1.5), (math.nan, None), (math.inf, None), (None, None)])
def test_only_numbers_are_finite(value: float | None, expected: float | None) -> None:
    assert finite_or_none(value) == expected
