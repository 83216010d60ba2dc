import numpy as np
import pytest
from PIL import Image

from mml.core.data_loading.task_attributes import Sizes
from mml.core.data_preparation.statistics import ImageStats, measure, summarise


def random_image(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_means_and_stds_are_those_of_all_pixels_together() -> None:
    images = [random_image(8, 6, seed=1), random_image(20, 10, seed=2), Image.new("RGB", (3, 3), (255, 0, 9))]
    pixels = np.concatenate([np.asarray(image).reshape(-1, 3) for image in images]) / 255
    summary = summarise(map(measure, images))
    assert summary.means.get_rgb() == pytest.approx(pixels.mean(axis=0))
    assert summary.stds.get_rgb() == pytest.approx(pixels.std(axis=0))


def test_the_order_of_images_does_not_matter_to_the_last_bit() -> None:
    stats = [measure(random_image(7, 5, seed)) for seed in range(20)]
    assert summarise(stats) == summarise(reversed(stats))


def test_a_grey_image_counts_in_all_three_channels() -> None:
    image = random_image(4, 4).convert("L")
    assert measure(image) == measure(image.convert("RGB"))


def test_sizes_are_the_smallest_and_largest_of_each_side() -> None:
    summary = summarise(map(measure, [random_image(10, 30), random_image(20, 5)]))
    assert summary.sizes == Sizes(min_height=10, max_height=20, min_width=5, max_width=30)


def test_one_value_has_no_deviation() -> None:
    assert summarise([measure(Image.new("RGB", (50, 50), (10, 200, 0)))]).stds.get_rgb() == (0, 0, 0)


def test_sums_of_many_large_images_do_not_overflow() -> None:
    white = measure(Image.new("L", (3000, 3000), 255))
    assert summarise([white] * 5000).means.get_rgb() == pytest.approx((1, 1, 1))


def test_no_image_has_no_statistics() -> None:
    with pytest.raises(ValueError, match="no pixels"):
        summarise([])


def test_stats_are_plain_numbers() -> None:
    stats = measure(random_image(2, 2))
    assert isinstance(stats, ImageStats)
    assert {type(value) for value in (*stats.sums, *stats.squares)} == {int}
