"""Statistics of a task's images, from exact sums per image, so that neither order nor number of workers matters."""

import math
from collections.abc import Iterable

import msgspec
import numpy as np
from PIL import Image

from mml.core.data_loading.task_attributes import RGBInfo, Sizes

_VALUES = np.arange(256, dtype=np.int64)
_SQUARES = _VALUES**2

RGBSum = tuple[int, int, int]


class ImageStats(msgspec.Struct, frozen=True, array_like=True):
    """What one image adds to the statistics of its task.

    Attributes:
        height: in pixels.
        width: in pixels.
        sums: per channel, of the pixel values in [0, 255].
        squares: per channel, of the squared pixel values.
    """

    height: int
    width: int
    sums: RGBSum
    squares: RGBSum


class Summary(msgspec.Struct, frozen=True):
    """Statistics over images: means and standard deviations per channel of pixel values in [0, 1], and sizes."""

    means: RGBInfo
    stds: RGBInfo
    sizes: Sizes


def measure(image: Image.Image) -> ImageStats:
    """Return the statistics of an image of mode `"L"` (counted in all three channels) or `"RGB"`."""
    counts = np.asarray(image.histogram(), dtype=np.int64).reshape(-1, 256)
    sums, squares = (counts @ _VALUES).tolist(), (counts @ _SQUARES).tolist()
    return ImageStats(image.height, image.width, _three(sums), _three(squares))


def summarise(stats: Iterable[ImageStats]) -> Summary:
    """Return means and standard deviations over all pixels of the images, and the range of their sizes.

    Raises:
        ValueError: there is no image.
    """
    images = list(stats)
    pixels = sum(image.height * image.width for image in images)
    if not pixels:
        msg = "There are no pixels to summarise."
        raise ValueError(msg)
    means, stds = [], []
    for channel in range(3):
        mean = sum(image.sums[channel] for image in images) / pixels
        square = sum(image.squares[channel] for image in images) / pixels
        means.append(mean / 255)
        stds.append(math.sqrt(max(square - mean**2, 0.0)) / 255)
    heights, widths = [image.height for image in images], [image.width for image in images]
    sizes = Sizes(min_height=min(heights), max_height=max(heights), min_width=min(widths), max_width=max(widths))
    return Summary(RGBInfo(*means), RGBInfo(*stds), sizes)


def _three(values: list[int]) -> RGBSum:
    return (values[0], values[0], values[0]) if len(values) == 1 else (values[0], values[1], values[2])
