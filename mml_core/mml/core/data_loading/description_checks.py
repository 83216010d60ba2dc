"""What a task description may say: faults of its parts, found when it is read instead of in the midst of a training."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from mml.core.data_loading.task_attributes import Modality, RGBInfo, Sizes

_FILES = (Modality.IMAGE, Modality.MASK)
_LARGEST_SIDE = 2**20
_MOST_NAMED = 3


def class_fault(idx_to_class: Mapping[int, str]) -> str | None:
    """Return what is wrong with class indices, which are 0 to n - 1, None if nothing is."""
    wrong = sorted(set(idx_to_class) - set(range(len(idx_to_class))))
    if not wrong:
        return None
    return f"classes are numbered from 0 without gaps, so there can't be class {wrong[0]} - at `$.idx_to_class`"


def sizes_fault(sizes: Sizes | None) -> str | None:
    """Return what is wrong with the range of image sizes, None if nothing is."""
    if sizes is None:
        return None
    for low, high, side in (
        (sizes.min_height, sizes.max_height, "heights"),
        (sizes.min_width, sizes.max_width, "widths"),
    ):
        if not 1 <= low <= high <= _LARGEST_SIDE:
            return f"images can't have {side} from {low} to {high} pixels - at `$.sizes`"
    return None


def colour_fault(field: str, values: RGBInfo | None) -> str | None:
    """Return what is wrong with means or standard deviations of pixel values in [0, 1], None if nothing is."""
    if values is None or all(0 <= value <= 1 for value in values.get_rgb()):
        return None
    return f"pixel values are from 0 to 1, so they can't be {values.get_rgb()} - at `$.{field}`"


def folds_fault(folds: Sequence[Iterable[str]], samples: Mapping[str, Any]) -> str | None:
    """Return what is wrong with folds, which together are all training samples, each once; None if nothing is."""
    if not folds:
        return None
    listed = [sample_id for fold in folds for sample_id in fold]
    known = set(listed)
    if unknown := known - samples.keys():
        return f"{_some(unknown)} is in a fold, but not among the training samples - at `$.train_folds`"
    if missing := samples.keys() - known:
        return f"training sample {_some(missing)} is in no fold - at `$.train_folds`"
    return "a sample is in two folds - at `$.train_folds`" if len(listed) > len(known) else None


def files_fault(table: str, samples: Mapping[str, Mapping[Modality, Any]]) -> str | None:
    """Return what is wrong with the files that samples name: text, and no way out of the task's folder."""
    for sample_id, sample in samples.items():
        for key in _FILES:
            name = sample.get(key, "")
            if fault := _file_fault(name):
                return f"{key} {name!r} of sample {sample_id!r} {fault} - at `$.{table}`"
    return None


def _file_fault(name: Any) -> str | None:
    if not isinstance(name, str):
        return "has to be the path of a file"
    if "\0" in name:
        return "holds a zero byte"
    if ".." in name and ".." in PurePosixPath(name).parts:
        return "leads out of the task's folder; write an absolute path, if that is meant"
    return None


def _some(names: Iterable[str]) -> str:
    some = sorted(names)
    return ", ".join(map(repr, some[:_MOST_NAMED])) + (", ..." if len(some) > _MOST_NAMED else "")
