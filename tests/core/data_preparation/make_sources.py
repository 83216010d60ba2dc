"""Small sources of images in all the forms that people have them in."""

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.uint8]


def write_image(path: Path, value: int = 100, size: tuple[int, int] = (6, 4), mode: str = "RGB") -> Path:
    """Write an image of one value; `size` is width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value,) * 3 if mode == "RGB" else value).save(path)
    return path


def class_folders(root: Path, counts: Mapping[str, int], suffix: str = "png") -> Path:
    """Write as many images per class as asked for, each image of another value."""
    value = 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            value = (value + 7) % 256
            write_image(root / name / f"{number:03}.{suffix}", value)
    return root


def write_idx(path: Path, values: npt.NDArray[Any], kind: int = 8) -> Path:
    """Write an array as IDX file, gzipped when the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, kind, values.ndim]) + np.array(values.shape, dtype=">u4").tobytes()
    data = header + values.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def idx_folder(root: Path, train: int = 20, test: int = 10, classes: int = 2, end: str = "") -> Path:
    """Write the four IDX files of a small data set with images of 4 x 3 pixels."""
    rng = np.random.default_rng(0)
    for name, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, 4, 3), dtype=np.uint8)
        write_idx(root / f"{name}-images-idx3-ubyte{end}", images)
        write_idx(root / f"{name}-labels-idx1-ubyte{end}", (np.arange(count) % classes).astype(np.uint8))
    return root
