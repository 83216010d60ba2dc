"""From the group `augmentations` of the configuration to one change of training batches."""

from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from mml.core.data_loading.augmentations.batchwise import Batch, BatchTransform
from mml.core.scripts.exceptions import MMLMisconfigurationException


class Pipeline(BatchTransform):
    """Several changes, one after another.

    Args:
        transforms: in the order of application; what is no `BatchTransform` is called image by image.
    """

    def __init__(self, transforms: list[Any]) -> None:
        self.transforms = [as_batch_transform(transform) for transform in transforms]
        self.quick = all(transform.quick for transform in self.transforms)

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Apply the changes in their order."""
        for transform in self.transforms:
            batch = transform(batch, rng)
        return batch


def create_pipeline(cfg: DictConfig) -> Pipeline | None:
    """Create the changes that `augmentations.train` names, or None if it names none.

    Args:
        cfg: the configuration; `augmentations.train` maps names of the user's choice to `_target_` and arguments.

    Raises:
        MMLMisconfigurationException: an entry that can't be made or called.
    """
    entries = OmegaConf.select(cfg, "augmentations.train") or {}
    transforms = [_create(name, entry) for name, entry in entries.items() if entry is not None]
    return Pipeline(transforms) if transforms else None


def _create(name: str, entry: Any) -> Any:
    from hydra.errors import HydraException
    from hydra.utils import instantiate

    try:
        transform = instantiate(entry, _convert_="all")
    except HydraException as error:
        reason = " ".join(str(error.__cause__ or error).split()).rstrip(".")
        msg = f"augmentations.train.{name} can't be created: {reason}. Check its _target_ and arguments: {entry}."
        raise MMLMisconfigurationException(msg) from error
    if not callable(transform):
        msg = (
            f"augmentations.train.{name} needs a _target_, e.g. torchvision.transforms.v2.RandomRotation, not {entry}."
        )
        raise MMLMisconfigurationException(msg)
    return transform


def as_batch_transform(transform: Any) -> BatchTransform:
    """Return a transform that takes batches: itself, or one that calls it image by image."""
    if isinstance(transform, BatchTransform):
        return transform
    from mml.core.data_loading.augmentations.samplewise import EachSample

    return EachSample(transform)
