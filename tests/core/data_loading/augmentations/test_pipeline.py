from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from torchvision.transforms import v2

from mml.core.data_loading.augmentations.batchwise import Batch, RandomCrop, RandomHorizontalFlip
from mml.core.data_loading.augmentations.pipeline import Pipeline, as_batch_transform, create_pipeline
from mml.core.data_loading.augmentations.samplewise import EachSample
from mml.core.scripts.exceptions import MMLMisconfigurationException
from tests.core.data_loading.augmentations.test_batchwise import images, rng
from tests.support.tasks import data_config

CROP = "mml.core.data_loading.augmentations.batchwise.RandomCrop"


def config(entries: Any) -> Any:
    return OmegaConf.create({"augmentations": {"train": entries}})


@pytest.mark.parametrize("option", ["default", "flip", "randaugment", "strong"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_shipped_option_changes_images_and_keeps_their_shape(option: str, channels: int) -> None:
    pipeline = create_pipeline(data_config(augmentations=option))
    assert pipeline is not None
    batch = images(16, channels, 28, 28)
    result = pipeline(Batch(batch.copy()), rng()).images
    assert (result.shape, result.dtype) == (batch.shape, np.uint8)
    assert (result != batch).any()


@pytest.mark.parametrize("cfg", [data_config(augmentations="none"), OmegaConf.create({}), config(None)])
def test_nothing_to_change_needs_no_pipeline(cfg: Any) -> None:
    assert create_pipeline(cfg) is None


def test_an_entry_that_is_null_is_left_out() -> None:
    cfg = data_config(augmentations="flip")
    cfg.augmentations.train.flip = None
    pipeline = create_pipeline(cfg)
    assert pipeline is not None
    assert [type(transform) for transform in pipeline.transforms] == [RandomCrop]


def test_changes_come_in_their_order() -> None:
    calls: list[str] = []

    def noted(name: str) -> Any:
        return lambda image: calls.append(name) or image

    Pipeline([noted("first"), noted("second")])(Batch(images(1)), rng())
    assert calls == ["first", "second"]


def test_arguments_reach_the_change() -> None:
    pipeline = create_pipeline(config({"mine": {"_target_": CROP, "padding": 3, "fill": "edge"}}))
    assert pipeline is not None
    (crop,) = pipeline.transforms
    assert isinstance(crop, RandomCrop)
    assert (crop.padding, crop.fill) == (3, "edge")


def test_torchvision_is_called_image_by_image_and_ours_are_not() -> None:
    ours = RandomHorizontalFlip()
    assert as_batch_transform(ours) is ours
    assert isinstance(as_batch_transform(v2.RandomGrayscale()), EachSample)


def test_a_pipeline_is_quick_if_all_of_it_is() -> None:
    assert Pipeline([RandomCrop(), RandomHorizontalFlip()]).quick
    assert not Pipeline([RandomCrop(), v2.RandomGrayscale()]).quick


@pytest.mark.parametrize(
    "entry",
    [
        {"_target_": "torchvision.transforms.v2.RandomRotatoin"},
        {"_target_": CROP, "paddding": 3},
        {"padding": 3},
        "RandomCrop",
    ],
)
def test_an_entry_that_can_not_be_made_is_named(entry: Any) -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"augmentations\.train\.mine.*_target_"):
        create_pipeline(config({"mine": entry}))
