"""What a training leaves behind besides weights: curves, confusion matrix and predictions, readable without mml."""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mml.core.data_loading.task_attributes import TaskType
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.utils import atomic_write

# What one prediction step returns, see SingleFrameLightningModule.predict_step.
PredictedBatch = Mapping[str, Mapping[str, Any]]


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON document, atomically; values that JSON lacks (NaN) become null."""
    with atomic_write(path, "w") as file:
        json.dump(_finite(content), file, indent=1, allow_nan=False)


def write_predictions(path: Path, struct: TaskStruct, batches: Iterable[PredictedBatch]) -> int:
    """Write predictions as CSV (UTF-8, a head line), one line per sample, and return the number of samples.

    Classification has the columns `sample_id`, `target`, `prediction` (both class names) and, per class,
    `p:<class name>`, its probability. Multilabel classification has `sample_id` and, per class, `target:<class name>`
    (0 or 1) and `p:<class name>`. Regression has `sample_id`, `target` and `prediction`. A target is empty where
    nobody knows it.

    Args:
        path: the file.
        struct: the task.
        batches: what the prediction steps returned.
    """
    names = [struct.idx_to_class[index] for index in range(struct.num_classes)]
    number = 0
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_head(struct.task_type, names))
        for batch in batches:
            rows = list(_rows(struct, names, batch[struct.name]))
            writer.writerows(rows)
            number += len(rows)
    return number


def epoch_metrics(row: Mapping[str, Any], splits: Iterable[str]) -> list[dict[str, Any]]:
    """Return the metrics of an epoch as a model record keeps them: one mapping per split, with `split` and `epoch`."""
    found = []
    for split in splits:
        values = {name.removeprefix(f"{split}/"): value for name, value in row.items() if name.startswith(f"{split}/")}
        if values:
            found.append({"split": split, "epoch": row["epoch"], **_finite(values)})
    return found


def finite_or_none(value: float | None) -> float | None:
    """Return a number, or None in place of NaN and infinities."""
    return value if value is not None and math.isfinite(value) else None


def _head(task_type: TaskType, names: list[str]) -> list[str]:
    probabilities = [f"p:{name}" for name in names]
    if task_type is TaskType.CLASSIFICATION:
        return ["sample_id", "target", "prediction", *probabilities]
    if task_type is TaskType.MULTILABEL_CLASSIFICATION:
        return ["sample_id", *(f"target:{name}" for name in names), *probabilities]
    return ["sample_id", "target", "prediction"]


def _rows(struct: TaskStruct, names: list[str], part: Mapping[str, Any]) -> Iterator[list[Any]]:
    scores = part["scores"].tolist()
    targets = part["target"].tolist() if "target" in part else [None] * len(scores)
    for sample_id, score, target in zip(part["sample_id"], scores, targets, strict=True):
        if struct.task_type is TaskType.CLASSIFICATION:
            known = "" if target is None else names[target]
            yield [sample_id, known, names[score.index(max(score))], *(f"{p:.6g}" for p in score)]
        elif struct.task_type is TaskType.MULTILABEL_CLASSIFICATION:
            labels = [""] * len(names) if target is None else [int(label) for label in target]
            yield [sample_id, *labels, *(f"{p:.6g}" for p in score)]
        else:
            yield [sample_id, "" if target is None else f"{target:.8g}", f"{score:.8g}"]


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return finite_or_none(value) if isinstance(value, float) else value
