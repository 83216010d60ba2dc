"""The measuring itself: images in, numbers and pictures out. It knows nothing of schedules and is tested alone."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image, ImageDraw

BAR_WIDTH, CHART_HEIGHT, CHART_GAP = 8, 60, 12  # pixels


class Brightness(msgspec.Struct, frozen=True):
    """How bright the images of one class are.

    Attributes:
        label: name of the class.
        images: how many were measured.
        mean: over all pixels, from 0 (black) to 1 (white).
        std: over all pixels.
        histogram: share of the pixels in each of the bins, which have equal widths from 0 to 1.
    """

    label: str
    images: int
    mean: float
    std: float
    histogram: list[float]


def measure_images(label: str, paths: Iterable[Path], side: int, bins: int) -> tuple[Brightness, Image.Image]:
    """Measure the images of one class.

    Args:
        label: name of the class.
        paths: image files, at least one.
        side: side of the square that images are fitted to for the mean image, in pixels.
        bins: of the histogram.

    Returns:
        The numbers, and the mean image: grey, `side` x `side` pixels.
    """
    images = 0
    total = np.zeros((side, side))
    counts = np.zeros(256, dtype=np.int64)
    for path in paths:
        with Image.open(path) as opened:
            grey = opened.convert("L")
        images += 1
        counts += np.bincount(np.asarray(grey).ravel(), minlength=256)
        total += np.asarray(grey.resize((side, side), Image.Resampling.BOX), dtype=np.float64)
    values = np.arange(256) / 255
    mean = float((counts * values).sum() / counts.sum())
    variance = float((counts * (values - mean) ** 2).sum() / counts.sum())
    shares, _ = np.histogram(values, bins=bins, range=(0, 1), weights=counts / counts.sum())
    mean_image = Image.fromarray((total / images).round().astype(np.uint8))
    return Brightness(label, images, mean, variance**0.5, [float(share) for share in shares]), mean_image


def contrast(measured: Iterable[Brightness]) -> float:
    """Return the difference between the brightest and the darkest class, 0 to 1; 0 without classes."""
    means = [brightness.mean for brightness in measured]
    return max(means, default=0.0) - min(means, default=0.0)


def draw_histograms(measured: list[Brightness]) -> Image.Image:
    """Draw one histogram per class, one below the other; the highest bin of all fills its chart."""
    bins = len(measured[0].histogram)
    pitch = CHART_HEIGHT + CHART_GAP
    canvas = Image.new("RGB", (bins * BAR_WIDTH, len(measured) * pitch), "white")
    pen = ImageDraw.Draw(canvas)
    highest = max(max(brightness.histogram) for brightness in measured)
    for number, brightness in enumerate(measured):
        floor = (number + 1) * pitch - 1
        pen.text((0, number * pitch), brightness.label, fill="black")
        for place, share in enumerate(brightness.histogram):
            bar = round(CHART_HEIGHT * share / highest)
            pen.rectangle((place * BAR_WIDTH, floor - bar, (place + 1) * BAR_WIDTH - 2, floor), fill="steelblue")
    return canvas
