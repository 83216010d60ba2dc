"""IDX files, the form of MNIST and its kin: a file of images and a file of labels per split, gzipped or raw."""

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_preparation.archive_extractors import Allowance
from mml.core.data_preparation.images import Pixels
from mml.core.data_preparation.samples import Collection, Sample
from mml.core.scripts.exceptions import TaskDataError
from mml.report.tables import count_text, list_text

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

_NAME = re.compile(
    r"(?P<stem>(?:.*[-_.])?(?P<split>train|training|val|valid|validation|t10k|test|testing))"
    r"[-_.](?P<part>images|labels)[-_.]idx[1-9][-_.]ubyte(?:\.gz)?",
    re.IGNORECASE,
)
_SPLITS = {"t": DataSplit.TEST, "v": DataSplit.VAL}
_UNSIGNED_BYTE = 8
_GZIP_MAGIC = b"\x1f\x8b"
_LONGEST_HEADER = 4 + 4 * 255


class _Pair(NamedTuple):
    """The two files of one split, None where one is missing."""

    split: DataSplit
    images: Path | None
    labels: Path | None


def is_idx_name(name: str) -> bool:
    """Tell whether a file is called as IDX files are: `train-images-idx3-ubyte`, `t10k-labels.idx1-ubyte.gz`, ..."""
    return _NAME.fullmatch(name) is not None


def read_idx_folder(folder: Path, classes: list[str] | None = None) -> Collection:
    """Read all pairs of IDX files in a folder; `t10k` and `test` files are the test split.

    Args:
        folder: where the files lie.
        classes: class names by label; None names them as the labels are, `"0"`, `"1"`, ...

    Raises:
        TaskDataError: a file is missing or damaged, or images and labels don't fit.
    """
    pairs = _find_pairs(folder)
    if not any(pair.split is DataSplit.TRAIN for pair in pairs.values()):
        msg = f"There are no IDX files with training images in {folder}. Wanted: {', '.join(IDX_FILES)} (or with .gz)."
        raise TaskDataError(msg)
    samples: list[Sample] = []
    for stem, pair in sorted(pairs.items(), key=lambda item: (item[1].split is not DataSplit.TRAIN, item[0])):
        samples += _read_pair(stem, pair, classes)
    return Collection(samples, f"IDX files of {folder}", classes)


def read_idx(path: Path) -> Pixels:
    """Read one IDX file of unsigned bytes, gzipped or raw, e.g. of shape (60000, 28, 28).

    Raises:
        TaskDataError: it is no such file, or is cut short.
    """
    try:
        data = _read_data(path)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"IDX file {path} can't be read: {error}."
        raise TaskDataError(msg) from error
    return _parse_idx(data, path)


def _read_data(path: Path) -> bytes:
    """Return the bytes of a file, unpacked no further than its header promises: more than that is no image."""
    with path.open("rb") as file:
        if file.read(2) != _GZIP_MAGIC:
            file.seek(0)
            return file.read()
    with gzip.open(path) as packed:
        head = packed.read(_LONGEST_HEADER)
        dimensions = head[3] if len(head) > 3 else 0
        shape = np.frombuffer(head[4 : 4 + 4 * dimensions].ljust(4 * dimensions, b"\0"), ">u4")
        wanted = 4 + 4 * dimensions + math.prod(map(int, shape)) + 1
        Allowance(path, path.parent).take(wanted)
        return head + packed.read(max(0, wanted - len(head)))


def _parse_idx(data: bytes, path: Path) -> Pixels:
    """Format: two zero bytes, type, number of dimensions, each as 4 bytes big-endian; http://yann.lecun.com/exdb/mnist/."""
    dimensions = data[3] if len(data) > 3 else 0
    start = 4 + 4 * dimensions
    if data[:2] != b"\0\0" or not dimensions or len(data) < start:
        msg = f"{path} is no IDX file: its first bytes are {data[:4].hex(' ') or 'missing'}."
        raise TaskDataError(msg)
    if data[2] != _UNSIGNED_BYTE:
        msg = (
            f"IDX file {path} holds values of type 0x{data[2]:02x}; only unsigned bytes (0x08) can be images or labels."
        )
        raise TaskDataError(msg)
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", dimensions, offset=4))
    if len(data) - start != math.prod(shape):
        msg = (
            f"IDX file {path} is damaged: its header promises {math.prod(shape):,} bytes of values, "
            f"and {len(data) - start:,} follow. Fetch it again."
        )
        raise TaskDataError(msg)
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _find_pairs(folder: Path) -> dict[str, _Pair]:
    pairs: dict[str, _Pair] = {}
    # Reversed, so that a raw file takes the place of its gzipped twin.
    for path in sorted(folder.iterdir(), reverse=True):
        if match := _NAME.fullmatch(path.name):
            stem, name = match["stem"].lower(), match["split"].lower()
            split = DataSplit.TRAIN if name.startswith("train") else _SPLITS[name[0]]
            pair = pairs.get(stem, _Pair(split, None, None))
            images = match["part"].lower() == "images"
            pairs[stem] = pair._replace(images=path) if images else pair._replace(labels=path)
    return pairs


def _read_pair(stem: str, pair: _Pair, classes: list[str] | None) -> list[Sample]:
    if pair.images is None or pair.labels is None:
        missing, there = ("labels", pair.images) if pair.labels is None else ("images", pair.labels)
        msg = f"The IDX file with the {missing} that belong to {there} is missing."
        raise TaskDataError(msg)
    images, labels = read_idx(pair.images), read_idx(pair.labels)
    _check_pair(pair, images, labels)
    names = _label_names(pair.labels, labels, classes)
    width = len(str(len(names)))
    prefix = {"t10k": "test"}.get(stem, stem)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    return [
        Sample(f"{prefix}-{number:0{width}}", image, name, pair.split)
        for number, (image, name) in enumerate(zip(images, names, strict=True))
    ]


def _check_pair(pair: _Pair, images: Pixels, labels: Pixels) -> None:
    fault = None
    if images.ndim != 3 and not (images.ndim == 4 and images.shape[3] in (1, 3)):
        fault = f"{pair.images} has the shape {images.shape}; images have (number, height, width) or one more for RGB"
    elif labels.ndim != 1:
        fault = f"{pair.labels} has the shape {labels.shape}; labels have one number per image"
    elif len(images) != len(labels):
        counts = count_text(len(images), "image"), count_text(len(labels), "label")
        fault = f"{pair.images} holds {counts[0]}, and {pair.labels} {counts[1]}"
    if fault:
        msg = f"The IDX files do not fit: {fault}."
        raise TaskDataError(msg)


def _label_names(path: Path, labels: npt.NDArray[np.uint8], classes: list[str] | None) -> list[str]:
    if classes is None:
        return [str(label) for label in labels.tolist()]
    if unknown := sorted({label for label in labels.tolist() if label >= len(classes)}):
        msg = f"Labels in {path} are beyond the {len(classes)} classes known: {list_text(unknown)}."
        raise TaskDataError(msg)
    return [classes[label] for label in labels.tolist()]
