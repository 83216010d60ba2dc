from pathlib import Path

import numpy as np
import pytest
from mml_template.measuring import (
    BAR_WIDTH,
    CHART_GAP,
    CHART_HEIGHT,
    Brightness,
    contrast,
    draw_histograms,
    measure_images,
)
from PIL import Image


def save(path: Path, grey: int, size: tuple[int, int] = (10, 10), mode: str = "L") -> Path:
    Image.new("L", size, grey).convert(mode).save(path)
    return path


def test_mean_and_spread_count_every_pixel_alike(tmp_path: Path) -> None:
    black, white = save(tmp_path / "black.png", 0), save(tmp_path / "white.png", 255, (10, 30))
    measured, _ = measure_images("all", [black, white], side=8, bins=4)
    assert measured.images == 2
    assert measured.mean == pytest.approx(0.75)
    assert measured.std == pytest.approx((0.75 * 0.25) ** 0.5)


def test_the_histogram_holds_shares_that_sum_to_one(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{grey}.png", grey, mode="RGB") for grey in (0, 60, 130, 255)]
    measured, _ = measure_images("all", paths, side=8, bins=4)
    assert measured.histogram == pytest.approx([0.5, 0, 0.25, 0.25])


def test_the_mean_image_counts_every_image_alike(tmp_path: Path) -> None:
    paths = [save(tmp_path / "a.png", 100, (4, 4)), save(tmp_path / "b.png", 200, (50, 40))]
    _, image = measure_images("all", paths, side=16, bins=4)
    assert image.size == (16, 16)
    assert (np.asarray(image) == 150).all()


@pytest.mark.parametrize(("means", "expected"), [([], 0.0), ([0.4], 0.0), ([0.2, 0.9, 0.5], 0.7)])
def test_contrast_lies_between_the_brightest_and_the_darkest_class(means: list[float], expected: float) -> None:
    assert contrast(Brightness("x", 1, mean, 0.0, [1.0]) for mean in means) == pytest.approx(expected)


def test_the_highest_bin_of_all_fills_its_chart() -> None:
    chart = draw_histograms([Brightness("", 1, 0.1, 0.0, [1.0, 0.0]), Brightness("", 1, 0.5, 0.0, [0.5, 0.5])])
    blue = np.asarray(chart)[..., 0] < 128
    pitch = CHART_HEIGHT + CHART_GAP
    assert chart.size == (2 * BAR_WIDTH, 2 * pitch)
    assert blue[:pitch, 0].sum() == CHART_HEIGHT + 1
    assert blue[pitch:, 0].sum() == CHART_HEIGHT // 2 + 1
    assert blue[pitch:, BAR_WIDTH].sum() == CHART_HEIGHT // 2 + 1
