import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from mml.core.data_loading.augmentations.batchwise import (
    Batch,
    BatchTransform,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    log_uniform,
)

ALL = [
    RandomCrop(0.25),
    RandomCrop(2, "edge"),
    RandomCrop(2, "reflect"),
    RandomHorizontalFlip(),
    RandomVerticalFlip(),
    RandomErasing(),
]


def images(count: int = 64, channels: int = 3, height: int = 12, width: int = 16) -> Any:
    """Images whose pixels all differ: the first channel tells the row, the second the column."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([y + 1, x + 1, y * width + x])[:channels].astype(np.uint8)
    return np.repeat(image[None], count, axis=0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("transform", ALL, ids=lambda transform: type(transform).__name__)
class TestEveryChange:
    def test_keeps_shape_and_type(self, transform: BatchTransform) -> None:
        result = transform(Batch(images(masks_free := 8)), rng())
        assert (result.images.shape, result.images.dtype, result.masks) == ((masks_free, 3, 12, 16), np.uint8, None)

    def test_follows_from_the_generator_alone(self, transform: BatchTransform) -> None:
        first, same, other = (transform(Batch(images()), rng(seed)).images for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, same)
        assert (first != other).any()

    def test_treats_each_image_by_its_own_chance(self, transform: BatchTransform) -> None:
        result = transform(Batch(images()), rng()).images
        assert len(np.unique(result, axis=0)) > 1

    def test_moves_masks_with_their_images(self, transform: BatchTransform) -> None:
        batch = images()
        result = transform(Batch(batch, batch[:, 2].astype(np.int64)), rng())
        assert result.masks is not None
        moved, kept = result.images[:, 2], result.masks
        if isinstance(transform, RandomErasing):
            np.testing.assert_array_equal(kept, images()[:, 2])
        else:
            np.testing.assert_array_equal(moved, kept)

    def test_takes_grey_images(self, transform: BatchTransform) -> None:
        assert transform(Batch(images(channels=1)), rng()).images.shape == (64, 1, 12, 16)


@pytest.mark.parametrize(("padding", "rows", "columns"), [(2, 2, 2), (0.25, 3, 4)])
def test_crops_shift_up_to_the_padding_in_pixels_or_parts(padding: float, rows: int, columns: int) -> None:
    result = RandomCrop(padding)(Batch(images(500)), rng()).images
    centre = result[:, :, 6, 8].astype(int) - [7, 9, 6 * 16 + 8]
    assert (centre[:, 0].min(), centre[:, 0].max()) == (-rows, rows)
    assert (centre[:, 1].min(), centre[:, 1].max()) == (-columns, columns)


@pytest.mark.parametrize(("fill", "lowest", "highest"), [("constant", 0, 16), ("edge", 1, 16), ("reflect", 1, 16)])
def test_crops_fill_the_border_as_asked(fill: Any, lowest: int, highest: int) -> None:
    result = RandomCrop(3, fill)(Batch(images(200)), rng()).images
    assert (result[:, 1].min(), result[:, 1].max()) == (lowest, highest)


def test_no_padding_changes_nothing() -> None:
    np.testing.assert_array_equal(RandomCrop(0)(Batch(images()), rng()).images, images())


@pytest.mark.parametrize(("transform", "axis"), [(RandomHorizontalFlip, -1), (RandomVerticalFlip, -2)])
def test_flips_mirror_the_chosen_images(transform: Any, axis: int) -> None:
    np.testing.assert_array_equal(transform(1.0)(Batch(images()), rng()).images, np.flip(images(), axis))
    np.testing.assert_array_equal(transform(0.0)(Batch(images()), rng()).images, images())
    half = transform(0.5)(Batch(images(1000)), rng()).images
    assert 400 < (half != images(1000)).any(axis=(1, 2, 3)).sum() < 600


def test_erasing_blackens_a_rectangle_of_the_area_asked_for() -> None:
    white = np.full((200, 3, 40, 50), 255, dtype=np.uint8)
    result = RandomErasing(p=1.0, scale=(0.1, 0.3), ratio=(0.5, 2.0))(Batch(white), rng()).images
    black = (result == 0).all(axis=1)
    areas = black.mean(axis=(1, 2))
    assert 0.08 < areas.min() < 0.15
    assert 0.25 < areas.max() < 0.32
    rows, columns = black.any(axis=2).sum(axis=1), black.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(rows * columns, black.sum(axis=(1, 2)))


def test_erasing_takes_a_grey_level_and_a_probability() -> None:
    white = np.full((1000, 1, 10, 10), 255, dtype=np.uint8)
    result = RandomErasing(p=0.3, value=7)(Batch(white), rng()).images
    assert set(np.unique(result)) == {7, 255}
    assert 230 < (result == 7).any(axis=(1, 2, 3)).sum() < 370


def test_erasing_fits_into_flat_images() -> None:
    flat = np.full((50, 1, 2, 60), 255, dtype=np.uint8)
    assert RandomErasing(p=1.0, scale=(0.9, 1.0), ratio=(3.0, 3.3))(Batch(flat), rng()).images.shape == flat.shape


def test_log_uniform_makes_half_and_twice_equally_likely() -> None:
    numbers = log_uniform(rng(), (0.5, 2.0), 10_000)
    assert 0.5 <= numbers.min() < numbers.max() <= 2.0
    assert (numbers < 1).mean() == pytest.approx(0.5, abs=0.02)


def test_importing_the_module_imports_no_torch() -> None:
    code = "import sys, mml.core.data_loading.augmentations.batchwise; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
