"""Random changes of whole batches at once, each image by its own chance: many times quicker than image by image.

All work on uint8 arrays in memory and draw from one generator, so that equal generators give equal batches.
"""

from abc import ABC, abstractmethod
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
Fill = Literal["constant", "edge", "reflect"]


class Batch(NamedTuple):
    """Images and, for segmentation, their masks.

    Attributes:
        images: images x channels x height x width.
        masks: images x height x width, or None.
    """

    images: UInt8Array
    masks: npt.NDArray[np.int64] | None = None


class BatchTransform(ABC):
    """A random change of whole batches.

    Attributes:
        quick: takes less time than a worker process would save.
    """

    quick = True

    @abstractmethod
    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the changed batch, of the same shape; the one given may be changed in place.

        Args:
            batch: images and masks.
            rng: the only source of randomness.
        """


class RandomCrop(BatchTransform):
    """Shifts each image by chance, as if it was padded and cropped again.

    Args:
        padding: farthest shift in each direction: a part of the image's side below 1, else pixels.
        fill: what comes in at the border: `"constant"` (black), `"edge"` (the last pixel) or `"reflect"`.
    """

    def __init__(self, padding: float = 0.125, fill: Fill = "constant") -> None:
        self.padding, self.fill = padding, fill

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Shift images, and masks with them."""
        count, _, *size = batch.images.shape
        shifts = [round(side * self.padding) if self.padding < 1 else int(self.padding) for side in size]
        corners = np.stack([rng.integers(0, 2 * shift + 1, count) for shift in shifts])
        images = self._moved(batch.images, shifts, corners)
        masks = None if batch.masks is None else self._moved(batch.masks[:, None], shifts, corners)[:, 0]
        return Batch(images, masks)

    def _moved(self, array: npt.NDArray[Any], shifts: list[int], corners: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        count, _, height, width = array.shape
        (vertical, horizontal), (tops, lefts) = shifts, corners
        padded = np.pad(array, ((0, 0), (0, 0), (vertical, vertical), (horizontal, horizontal)), mode=self.fill)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
        return windows[np.arange(count), :, tops, lefts]


class RandomHorizontalFlip(BatchTransform):
    """Mirrors left and right. Wrong for digits, letters, and whatever has sides.

    Args:
        p: probability, per image.
    """

    axis = -1

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Mirror the chosen images, and masks with them."""
        chosen = rng.random(len(batch.images)) < self.p
        for array in batch:
            if array is not None:
                array[chosen] = np.flip(array[chosen], self.axis)
        return batch


class RandomVerticalFlip(RandomHorizontalFlip):
    """Mirrors top and bottom. Right for what has no upright, as cells or views from above.

    Args:
        p: probability, per image.
    """

    axis = -2


class RandomErasing(BatchTransform):
    """Blackens a rectangle, so that no single part of an image decides (Zhong et al. 2017, arXiv:1708.04896).

    Args:
        p: probability, per image.
        scale: smallest and largest part of the image's area.
        ratio: smallest and largest height / width.
        value: grey level of the rectangle, 0 to 255.
    """

    def __init__(
        self,
        p: float = 0.25,
        scale: tuple[float, float] = (0.02, 0.2),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: int = 0,
    ) -> None:
        self.p, self.scale, self.ratio, self.value = p, scale, ratio, value

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Erase in the chosen images; masks stay."""
        count, _, height, width = batch.images.shape
        chosen = np.flatnonzero(rng.random(count) < self.p)
        area = rng.uniform(self.scale[0], self.scale[1], len(chosen)) * height * width
        ratio = log_uniform(rng, self.ratio, len(chosen))
        heights = np.sqrt(area * ratio).round().astype(np.int64).clip(1, height)
        widths = np.sqrt(area / ratio).round().astype(np.int64).clip(1, width)
        tops, lefts = rng.integers(0, height - heights + 1), rng.integers(0, width - widths + 1)
        for image, top, left, rows, columns in zip(chosen, tops, lefts, heights, widths, strict=True):
            batch.images[image, :, top : top + rows, left : left + columns] = self.value
        return batch


def log_uniform(rng: np.random.Generator, bounds: tuple[float, float], count: int) -> npt.NDArray[np.float64]:
    """Return numbers between bounds, such that twice as much and half as much are equally likely."""
    low, high = np.log(bounds[0]), np.log(bounds[1])
    numbers: npt.NDArray[np.float64] = np.exp(rng.uniform(low, high, count))
    return numbers
