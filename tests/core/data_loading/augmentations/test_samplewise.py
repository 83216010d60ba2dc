import random
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from mml.core.data_loading.augmentations.batchwise import Batch
from mml.core.data_loading.augmentations.samplewise import EachSample, RandomResizedCrop, seeded
from tests.core.data_loading.augmentations.test_batchwise import images, rng


def test_each_image_gets_a_chance_of_its_own() -> None:
    result = EachSample(v2.RandomRotation(90))(Batch(images(8)), rng()).images
    assert result.shape == (8, 3, 12, 16)
    assert len(np.unique(result, axis=0)) > 4


def test_equal_generators_give_equal_batches_whatever_was_drawn_before() -> None:
    transform = EachSample(v2.RandAugment())
    first = transform(Batch(images(8)), rng(3)).images
    torch.rand(5)
    np.testing.assert_array_equal(transform(Batch(images(8)), rng(3)).images, first)
    assert (transform(Batch(images(8)), rng(4)).images != first).any()


def test_masks_are_turned_with_their_images() -> None:
    batch = images(8)
    result = EachSample(v2.RandomAffine(0, translate=(0.5, 0.5)))(Batch(batch, batch[:, 2].astype(np.int64)), rng())
    assert result.masks is not None
    np.testing.assert_array_equal(result.images[:, 2], result.masks)
    assert (result.masks != batch[:, 2]).any()


def test_masks_keep_their_classes_when_colours_change() -> None:
    batch = images(4)
    result = EachSample(v2.ColorJitter(0.9))(Batch(batch, batch[:, 2].astype(np.int64)), rng())
    np.testing.assert_array_equal(result.masks, batch[:, 2])
    assert (result.images != batch).any()


def test_a_users_own_function_may_draw_from_any_generator() -> None:
    def noise(image: torch.Tensor) -> torch.Tensor:
        return image + random.randrange(9) + np.random.randint(9) + torch.randint(9, ()).to(torch.uint8)

    transform = EachSample(noise)
    first, same = (transform(Batch(images(8, channels=1)), rng(1)).images for _ in range(2))
    np.testing.assert_array_equal(first, same)


def test_a_transform_may_change_size_and_type() -> None:
    transform = v2.Compose([v2.Resize((6, 6)), v2.ToDtype(torch.float32, scale=True)])
    result = EachSample(transform)(Batch(images(2)), rng()).images
    assert (result.shape, result.dtype) == ((2, 3, 6, 6), np.float32)


def draws() -> tuple[Any, ...]:
    return torch.rand(()).item(), np.random.random(), random.random()


def test_seeding_ends_with_the_block() -> None:
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(5)
    expected = draws()
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(5)
    with pytest.raises(RuntimeError), seeded(1):
        inside = draws()
        raise RuntimeError
    assert draws() == expected != inside
    with seeded(1):
        assert draws() == inside


def test_random_parts_are_enlarged_to_the_size_of_the_image() -> None:
    result = RandomResizedCrop(scale=(0.2, 0.5))(Batch(images(100, height=24, width=32)), rng()).images
    assert result.shape == (100, 3, 24, 32)
    spread = result[:, 1].max(axis=(1, 2)).astype(int) - result[:, 1].min(axis=(1, 2))
    assert spread.max() < 31
    assert len(np.unique(result, axis=0)) > 90


def test_the_whole_image_is_a_part_too() -> None:
    transform = RandomResizedCrop(scale=(1.0, 1.0), ratio=(1.0, 1.0))
    np.testing.assert_array_equal(transform(Batch(images(2)), rng()).images, images(2))


def test_random_parts_are_cut_from_masks_at_the_same_place() -> None:
    batch = np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[None, None, :, None], 32, axis=3).repeat(20, axis=0)
    result = RandomResizedCrop()(Batch(batch, batch[:, 0].astype(np.int64)), rng())
    assert result.masks is not None
    assert set(np.unique(result.masks)) <= set(range(0, 240, 10))
    np.testing.assert_allclose(result.images[:, 0].astype(int), result.masks, atol=11)


def test_plain_tensors_reach_the_transform() -> None:
    seen: list[Any] = []

    def look(image: torch.Tensor) -> torch.Tensor:
        seen.append((type(image), image.dtype, tuple(image.shape)))
        return image

    EachSample(look)(Batch(images(1)), rng())
    assert seen == [(torch.Tensor, torch.uint8, (3, 12, 16))]
    assert not isinstance(images(1), tv_tensors.Image)
