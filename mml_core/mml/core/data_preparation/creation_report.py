"""What a user is shown of a task that was just created, and what to type next."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mml.core.data_loading.task_attributes import Modality, RGBInfo, Sizes
from mml.core.data_loading.task_description import SampleDescription, TaskDescription
from mml.report.tables import NOTHING, Column, as_table, count_text, show

_MOST_CLASSES = 20


class _ClassRow(NamedTuple):
    name: str
    train: int
    test: int


_COLUMNS = [
    Column("class", lambda row: row.name, fold=True),
    Column("train", lambda row: f"{row.train:,}", number=True),
    Column("test", lambda row: f"{row.test:,}", number=True),
]


def show_created(task: TaskDescription, folder: Path) -> None:
    """Print the samples per class and split of a task, its statistics, where it lies, and what to type next."""
    rows = class_rows(task)
    show(as_table(f"Task {task.name}", _COLUMNS, rows), *created_lines(task, folder))


def class_rows(task: TaskDescription) -> list[_ClassRow]:
    """Return samples per class, those of many classes summed up, and their total."""
    train, test = _counts(task.train_samples), _counts(task.test_samples)
    rows = [_ClassRow(name, train[index], test[index]) for index, name in task.idx_to_class.items()]
    shown = rows if len(rows) <= _MOST_CLASSES else rows[: _MOST_CLASSES - 1]
    if rest := rows[len(shown) :]:
        more = _ClassRow(f"... {len(rest)} more classes", sum(row.train for row in rest), sum(row.test for row in rest))
        shown = [*shown, more]
    return [*shown, _ClassRow("all", len(task.train_samples), len(task.test_samples))]


def created_lines(task: TaskDescription, folder: Path) -> list[str]:
    """Return the lines below the table of a task."""
    folds = f"{len(task.train_folds)} folds of {_range_text([len(fold) for fold in task.train_folds])} samples"
    unlabeled = f", {count_text(len(task.unlabeled_samples), 'sample')} without label" if task.unlabeled_samples else ""
    return [
        f"{len(task.idx_to_class)} classes, {folds}{unlabeled}",
        f"images {_sizes_text(task.sizes)}, mean {_rgb_text(task.means)}, std {_rgb_text(task.stds)}",
        *task.creation_protocol.splitlines(),
        f"It lies in {folder}",
        f"Next: mml train task={task.name}",
    ]


def _counts(samples: Mapping[str, SampleDescription]) -> Counter[object]:
    return Counter(sample[Modality.CLASS] for sample in samples.values())


def _sizes_text(sizes: Sizes | None) -> str:
    if sizes is None:
        return NOTHING
    heights = _range_text([sizes.min_height, sizes.max_height])
    return f"{heights} pixels high and {_range_text([sizes.min_width, sizes.max_width])} wide"


def _range_text(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _rgb_text(values: RGBInfo | None) -> str:
    return NOTHING if values is None else " ".join(f"{value:.3f}" for value in values.get_rgb())
