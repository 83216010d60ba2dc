"""From uint8 pixels to the normalised floats that a network takes, once per batch, where the batch is."""

from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError

IMAGENET_MEANS, IMAGENET_STDS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CHOICES = ("task", "imagenet", "none")
# Rec. 601, by which Pillow turns colours into grey.
LUMA = (0.299, 0.587, 0.114)
LEAST_STD = 1 / 255  # of images that are all alike


class Normalizer:
    """Shifts and scales pixel values per channel.

    Args:
        means: per channel, of pixel values in [0, 1].
        stds: per channel.
    """

    def __init__(self, means: tuple[float, ...], stds: tuple[float, ...]) -> None:
        self._scale = 1 / torch.tensor(stds).clamp(min=LEAST_STD).reshape(-1, 1, 1)
        self._shift = -torch.tensor(means).reshape(-1, 1, 1) * self._scale
        self._byte_scale = self._scale / 255

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 images, (x - mean) / std.

        Args:
            images: images x channels x height x width, uint8 in [0, 255] or floating point in [0, 1].
        """
        if self._scale.device != images.device:
            self._scale, self._shift, self._byte_scale = (
                tensor.to(images.device) for tensor in (self._scale, self._shift, self._byte_scale)
            )
        scale = self._scale if images.is_floating_point() else self._byte_scale
        # In place, one after another: several times quicker on a CPU than one pass into new memory.
        return images.to(torch.float32, copy=True).mul_(scale).add_(self._shift)


def create_normalizer(cfg: DictConfig, struct: TaskStruct, channels: int) -> Normalizer:
    """Create the normaliser of a task as `augmentations.normalization` says.

    Raises:
        UnknownNameError: an unknown kind of normalisation.
        MMLMisconfigurationException: the task has no means and stds.
    """
    kind = OmegaConf.select(cfg, "augmentations.normalization", default="task")
    if kind not in CHOICES:
        raise UnknownNameError(str(kind), kind="value of augmentations.normalization", known=CHOICES)
    means, stds = _statistics(str(kind), struct)
    if channels == 1:
        means, stds = _grey(means), _grey(stds)
    return Normalizer(means, stds)


def _statistics(kind: str, struct: TaskStruct) -> tuple[Any, Any]:
    if kind == "none":
        return (0.0,) * 3, (1.0,) * 3
    if kind == "imagenet":
        return IMAGENET_MEANS, IMAGENET_STDS
    if struct.means is None or struct.stds is None:
        msg = f"Task '{struct.name}' has no means and stds: use augmentations.normalization=imagenet or none."
        raise MMLMisconfigurationException(msg)
    return struct.means.get_rgb(), struct.stds.get_rgb()


def _grey(values: tuple[float, ...]) -> tuple[float, ...]:
    return (sum(weight * value for weight, value in zip(LUMA, values, strict=True)),)
