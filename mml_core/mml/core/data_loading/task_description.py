"""Task descriptions: what a task's JSON file holds, typed, and how it is read and written.

A task is a folder `<data>/tasks/<name>` with `task.json` and, unless the images are only referenced, the images.
"""

import re
from pathlib import Path
from typing import Any

import msgspec

from mml.core.data_loading.description_checks import (
    class_fault,
    colour_fault,
    files_fault,
    folds_fault,
    sizes_fault,
)
from mml.core.data_loading.task_attributes import Keyword, License, Modality, RGBInfo, Sizes, TaskType
from mml.core.scripts.exceptions import TaskDescriptionError, TaskNameError
from mml.core.scripts.utils import ARG_SEP, TAG_SEP, atomic_write

DESCRIPTION_FILE = "task.json"
RESERVED_TOKENS = ("PROJ_PATH", "TEMP_PATH", "TASK_NAME", "FILE_NAME")

# One sample: modality -> path of a file (relative to the task's folder, or absolute) or a plain value.
SampleDescription = dict[Modality, str | int | float | list[int | float]]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TAGGED = re.compile(rf"[A-Za-z0-9_.{re.escape(ARG_SEP)}-]+")


class TaskHeader(msgspec.Struct, kw_only=True):
    """What is known of a task without its samples.

    Attributes:
        name: unique name, also the name of its folder.
        class_occ: number of labelled samples (train and test) per class name.
        means: per channel, over the training images, pixel values in [0, 1].
        stds: per channel, over all pixels of the training images, pixel values in [0, 1].
        sizes: smallest and largest image, in pixels.
        modalities: what every sample holds, and the storage form of it (e.g. `"image": "png"`).
        idx_to_class: class index (0..n-1, as written in the samples) -> class name.
    """

    name: str
    task_type: TaskType
    description: str = ""
    creation_protocol: str = ""
    reference: str = ""
    url: str = ""
    download: str = ""
    license: License = License.UNKNOWN
    release: str = ""
    keywords: list[Keyword] = []
    means: RGBInfo | None = None
    stds: RGBInfo | None = None
    sizes: Sizes | None = None
    modalities: dict[Modality, str] = {}
    idx_to_class: dict[int, str] = {}
    class_occ: dict[str, int] = {}


class TaskDescription(TaskHeader, kw_only=True):
    """A whole task: the header and the samples.

    Attributes:
        train_folds: disjoint lists of ids that together are all of `train_samples`.
        train_samples: sample id -> what the sample holds.
        test_samples: the samples kept apart, never trained on.
        unlabeled_samples: samples without a label.
    """

    train_folds: list[list[str]] = []
    train_samples: dict[str, SampleDescription] = {}
    test_samples: dict[str, SampleDescription] = {}
    unlabeled_samples: dict[str, SampleDescription] = {}

    def header(self) -> TaskHeader:
        """Return the description without its samples."""
        return TaskHeader(**{field: getattr(self, field) for field in TaskHeader.__struct_fields__})


def validate_task_name(name: str) -> str:
    """Return `name` if it can be a task's name.

    Raises:
        TaskNameError: with the reason and the nearest name that would do.
    """
    base, *tags = name.split(TAG_SEP)
    reason = _name_fault(base, tags)
    if reason is None:
        return name
    better = re.sub(r"[^A-Za-z0-9_.-]+|\.{2,}", "_", name).strip("._-") or "my_task"
    for token in RESERVED_TOKENS:
        better = better.replace(token, token.lower())
    msg = (
        f"'{name}' can't be the name of a task: {reason}. Use letters, digits, '_', '-' and '.', e.g. '{better[:100]}'."
    )
    raise TaskNameError(msg)


def _name_fault(base: str, tags: list[str]) -> str | None:
    whole = TAG_SEP.join([base, *tags])
    if not base:
        return "it is empty"
    if ".." in whole:
        return "it holds '..'"
    if token := next((token for token in RESERVED_TOKENS if token in whole), None):
        return f"'{token}' is a token of path templates"
    if not _NAME.fullmatch(base) or not all(_TAGGED.fullmatch(tag) for tag in tags):
        return "it holds a character that paths, overrides or sweeps would misread, or starts with one"
    return "it is longer than 100 bytes" if len(whole) > 100 else None


def decode_description(
    data: bytes | msgspec.Raw, path: Path | str, kind: type[msgspec.Struct] = TaskDescription
) -> Any:
    """Decode the bytes of a description file.

    Args:
        data: the bytes of the file.
        path: where they are from, for the message.
        kind: what to decode: `TaskDescription`, or `TaskHeader` to skip the samples.

    Raises:
        TaskDescriptionError: names the file and the field that does not fit.
    """
    try:
        decoded = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(path, error) from error
    if isinstance(decoded, TaskHeader):
        if fault := _description_fault(decoded):
            raise _unreadable(path, fault)
        # By index, whatever the order in the file: other tools sort such keys as text.
        decoded.idx_to_class = dict(sorted(decoded.idx_to_class.items()))
    return decoded


def _unreadable(path: Path | str, fault: object) -> TaskDescriptionError:
    msg = f"Task description {path} can't be read: {fault}. Mend the file, or create the task again."
    return TaskDescriptionError(msg)


def _description_fault(task: TaskHeader) -> str | None:
    """Return what is wrong with a description whose fields all have the right type, None if nothing is."""
    fault = (
        class_fault(task.idx_to_class)
        or sizes_fault(task.sizes)
        or colour_fault("means", task.means)
        or colour_fault("stds", task.stds)
    )
    if fault or not isinstance(task, TaskDescription):
        return fault
    tables = ("train_samples", "test_samples", "unlabeled_samples")
    faults = (files_fault(table, getattr(task, table)) for table in tables)
    return folds_fault(task.train_folds, task.train_samples) or next(filter(None, faults), None)


def load_description(path: Path) -> TaskDescription:
    """Read a description file.

    Raises:
        TaskDescriptionError: the file is missing, no JSON, or a field does not fit.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"Task description {path} can't be read: {error.strerror}."
        raise TaskDescriptionError(msg) from error
    description: TaskDescription = decode_description(data, path)
    return description


def store_description(description: TaskDescription, path: Path) -> None:
    """Write a description file, atomically."""
    with atomic_write(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(description), indent=1))
