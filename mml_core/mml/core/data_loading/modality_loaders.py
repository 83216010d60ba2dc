"""From files and plain values to arrays: how images, masks and labels of a task are read. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from mml.core.data_loading.task_attributes import Modality, TaskType
from mml.core.data_loading.task_description import SampleDescription, TaskDescription
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.exceptions import TaskDataError
from mml.core.scripts.utils import as_list

UInt8Array = npt.NDArray[np.uint8]
ColorMode = Literal["L", "RGB"]

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# What Pillow raises for a file that is missing, cut off, damaged or suspiciously large: damaged bytes make its decoders
# raise nearly anything.
UNREADABLE = (Exception,)


class UnreadableFileError(TaskDataError):
    """A file of a sample that can't be read.

    Args:
        text: what to tell the user; of what torch makes of it when a worker process has met the error, with the
            worker's traceback in front, only this is kept.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text.rpartition(f"{UnreadableFileError.__name__}: ")[2].strip())

    @classmethod
    def of(cls, path: str, task: str, error: BaseException, sample_id: str = "") -> "UnreadableFileError":
        """Return the error that names the file, the sample, the task, the reason and the fix."""
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else str(error) or type(error).__name__
        sample = f" of sample '{sample_id}'" if sample_id else ""
        return cls(
            f"The image {path}{sample} in task '{task}' can't be read: {reason}. Put the file back, or create the task "
            f"again: mml create task={task} mode.overwrite=true, with mode.skip_unreadable=true to leave it out."
        )


LABELS: dict[TaskType, Modality] = {
    TaskType.CLASSIFICATION: Modality.CLASS,
    TaskType.MULTILABEL_CLASSIFICATION: Modality.CLASSES,
    TaskType.REGRESSION: Modality.VALUE,
    TaskType.SEMANTIC_SEGMENTATION: Modality.MASK,
}


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an image between its file and the batch.

    Attributes:
        height: of the result, in pixels.
        width: of the result, in pixels.
        mode: `"L"` for one channel, `"RGB"` for three.
        fit: how another shape becomes this one: `"stretch"`, `"crop"` (the middle) or `"pad"` (with black).
        interpolation: a key of `INTERPOLATIONS`.
        strict: refuse images of another size, and never resize.
    """

    height: int
    width: int
    mode: ColorMode = "RGB"
    fit: str = "stretch"
    interpolation: str = "bilinear"
    strict: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return (3 if self.mode == "RGB" else 1), self.height, self.width


def sample_tables(description: TaskDescription) -> tuple[dict[str, SampleDescription], ...]:
    """Return the three tables of a task's samples, in the order in which its images are numbered."""
    return description.train_samples, description.test_samples, description.unlabeled_samples


def image_paths(task: TaskStruct) -> list[str]:
    """Return the files of all images of a task, in their order."""
    samples = [sample for table in sample_tables(task.description) for sample in table.values()]
    return [file_path(task.folder, file_of(sample, Modality.IMAGE, task.name)) for sample in samples]


def file_of(sample: SampleDescription, key: Modality, task: str) -> str:
    """Return the file of a sample as its description names it.

    Raises:
        TaskDataError: the sample has no such file.
    """
    value = sample.get(key)
    if not isinstance(value, str):
        msg = f"A sample of task '{task}' has no {key}: {sample}. Create the task again."
        raise TaskDataError(msg)
    return value


def file_path(folder: Path, name: str) -> str:
    """Return the path of a file that a description names; as text, for a task may have a million of them."""
    return name if name.startswith("/") else f"{folder}/{name}"


def open_image(path: str, task: str) -> Image.Image:
    """Open an image file without decoding it.

    Raises:
        UnreadableFileError: names the file, the task and the fix.
    """
    try:
        return Image.open(path)
    except UNREADABLE as error:
        raise UnreadableFileError.of(path, task, error) from error


def load_image(path: str, preprocessing: Preprocessing) -> UInt8Array:
    """Read an image file.

    A JPEG that gets smaller is decoded at reduced scale, which is several times quicker.

    Returns:
        Pixel values, channels x height x width; a view that is to be copied.

    Raises:
        Exception: the file can't be read (`UNREADABLE`).
    """
    with Image.open(path) as image:
        if not preprocessing.strict and image.format == "JPEG":
            image.draft(preprocessing.mode, (preprocessing.width, preprocessing.height))
        array = np.asarray(_resized(to_mode(image, preprocessing.mode), preprocessing))
    return array.transpose(2, 0, 1) if array.ndim == 3 else array[None]


def to_mode(image: Image.Image, mode: ColorMode) -> Image.Image:
    """Convert an image of any kind, 16-bit and floating point greys included, to 8-bit grey or RGB."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bit(np.asarray(image), image.mode))
    return image if image.mode == mode else image.convert(mode)


def _to_8_bit(array: npt.NDArray[Any], mode: str) -> UInt8Array:
    """Scale greys by what their type can hold; Pillow alone would cut off all above 255."""
    largest = float(array.max(initial=0))
    if mode == "F":
        scale = 255.0 if largest <= 1 else 1.0
    else:
        scale = 255 / 65535 if mode.startswith("I;16") or largest > 255 else 1.0
    scaled: UInt8Array = (array * scale).clip(0, 255).round().astype(np.uint8)
    return scaled


def _resized(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    size = (preprocessing.width, preprocessing.height)
    if image.size == size:
        return image
    if preprocessing.strict:
        msg = f"it has {image.height} x {image.width} pixels instead of {size[1]} x {size[0]}, see preprocessing.size"
        raise ValueError(msg)
    method = INTERPOLATIONS[preprocessing.interpolation]
    if preprocessing.fit == "crop":
        return ImageOps.fit(image, size, method)
    if preprocessing.fit == "pad":
        return ImageOps.pad(image, size, method)
    return image.resize(size, method)


def load_mask(path: str, preprocessing: Preprocessing) -> npt.NDArray[np.int64]:
    """Read a mask file, whose pixel values are class indices.

    Returns:
        Class indices, height x width.

    Raises:
        Exception: the file can't be read (`UNREADABLE`), or is no mask.
    """
    with Image.open(path) as image:
        if len(image.getbands()) != 1:
            msg = f"a mask has one number per pixel, and this is an image of mode {image.mode}"
            raise ValueError(msg)
        nearest = Preprocessing(
            preprocessing.height, preprocessing.width, "L", preprocessing.fit, "nearest", preprocessing.strict
        )
        return np.asarray(_resized(image, nearest)).astype(np.int64)


def encode_labels(samples: Sequence[SampleDescription], struct: TaskStruct) -> npt.NDArray[Any] | None:
    """Turn the labels of samples into one array.

    Returns:
        `int64 [N]` for classes, `float32 [N, classes]` for several classes per sample, `float32 [N]` for values, `None`
        where labels are files or missing.

    Raises:
        TaskDataError: a label is missing or not among the classes.
    """
    if struct.task_type is TaskType.CLASSIFICATION:
        return _class_labels(samples, struct)
    if struct.task_type is TaskType.MULTILABEL_CLASSIFICATION:
        return _multi_hot(samples, struct)
    if struct.task_type is TaskType.REGRESSION:
        return _values(samples, struct)
    return None


def _label(sample: SampleDescription, key: Modality, struct: TaskStruct) -> Any:
    if key not in sample:
        msg = f"A sample of task '{struct.name}' has no {key}: {sample}. Create the task again."
        raise TaskDataError(msg)
    return sample[key]


def _values(samples: Sequence[SampleDescription], struct: TaskStruct) -> npt.NDArray[np.float32]:
    labels = [_label(sample, Modality.VALUE, struct) for sample in samples]
    if strange := [label for label in labels if type(label) not in (int, float)]:
        msg = f"Task '{struct.name}' has labels that are no numbers: {', '.join(map(str, strange[:5]))}."
        raise TaskDataError(msg)
    return np.array(labels, dtype=np.float32)


def _class_labels(samples: Sequence[SampleDescription], struct: TaskStruct) -> npt.NDArray[np.int64]:
    labels = [_label(sample, Modality.CLASS, struct) for sample in samples]
    _check_classes(labels, struct)
    return np.array(labels, dtype=np.int64)


def _multi_hot(samples: Sequence[SampleDescription], struct: TaskStruct) -> npt.NDArray[np.float32]:
    labels = [as_list(_label(sample, Modality.CLASSES, struct)) for sample in samples]
    _check_classes([label for several in labels for label in several], struct)
    hot = np.zeros((len(samples), struct.num_classes), dtype=np.float32)
    for row, several in enumerate(labels):
        hot[row, several] = 1
    return hot


def _check_classes(labels: list[Any], struct: TaskStruct) -> None:
    known_labels = struct.idx_to_class
    if strange := sorted({str(label) for label in labels if type(label) is not int or label not in known_labels}):
        known = f"0 to {struct.num_classes - 1}"
        msg = f"Task '{struct.name}' has labels that are no class: {', '.join(strange[:5])}; known are {known}."
        raise TaskDataError(msg)
