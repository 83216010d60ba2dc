"""Any transform of torchvision v2, or of a user's own, applied image by image with reproducible chance."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from mml.core.data_loading.augmentations.batchwise import Batch, BatchTransform, log_uniform

Transform = Callable[..., Any]


class EachSample(BatchTransform):
    """Calls a transform for every image of a batch, for those of torchvision draw once per call.

    Args:
        transform: takes a uint8 tensor, channels x height x width (and a `tv_tensors.Mask`, where there are masks), and
            returns the same kinds, with one shape for all images of a batch.
    """

    quick = False

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Call the transform for each image, and its mask with it."""
        with seeded(int(rng.integers(2**31))):
            if batch.masks is None:
                return Batch(np.stack([self._image(image) for image in batch.images]))
            pairs = [self._pair(image, mask) for image, mask in zip(batch.images, batch.masks, strict=True)]
        return Batch(np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs]))

    def _image(self, image: Any) -> Any:
        return self.transform(torch.from_numpy(image)).numpy()

    def _pair(self, image: Any, mask: Any) -> tuple[Any, Any]:
        changed, moved = self.transform(tv_tensors.Image(torch.from_numpy(image)), tv_tensors.Mask(mask))
        return changed.numpy(), moved.numpy()


class RandomResizedCrop(BatchTransform):
    """Cuts a random part and resizes it to the size of the image (Szegedy et al. 2014, arXiv:1409.4842).

    Args:
        scale: smallest and largest part of the image's area.
        ratio: smallest and largest width / height of the part, of a square image.
    """

    quick = False

    def __init__(self, scale: tuple[float, float] = (0.35, 1.0), ratio: tuple[float, float] = (0.75, 4 / 3)) -> None:
        self.scale, self.ratio = scale, ratio

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Cut and resize each image, and its mask with it."""
        count, _, height, width = batch.images.shape
        side = np.sqrt(rng.uniform(self.scale[0], self.scale[1], count))
        ratio = np.sqrt(log_uniform(rng, self.ratio, count))
        heights = (height * side / ratio).round().astype(np.int64).clip(1, height)
        widths = (width * side * ratio).round().astype(np.int64).clip(1, width)
        tops, lefts = rng.integers(0, height - heights + 1), rng.integers(0, width - widths + 1)
        boxes = np.stack([tops, lefts, heights, widths], axis=1).tolist()
        images = [_cut(image, box, [height, width]) for image, box in zip(batch.images, boxes, strict=True)]
        if batch.masks is None:
            return Batch(np.stack(images))
        nearest = functional.InterpolationMode.NEAREST
        masks = [
            _cut(mask[None], box, [height, width], nearest)[0] for mask, box in zip(batch.masks, boxes, strict=True)
        ]
        return Batch(np.stack(images), np.stack(masks))


def _cut(array: Any, box: list[int], size: list[int], method: Any = functional.InterpolationMode.BILINEAR) -> Any:
    return functional.resized_crop(torch.from_numpy(array), *box, size=size, interpolation=method).numpy()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators of torch (CPU), NumPy and Python inside the block, and restore them after it."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
