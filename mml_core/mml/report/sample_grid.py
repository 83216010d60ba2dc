"""A picture of a task: some images of every class, one labelled row per class."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from PIL import Image, ImageDraw, ImageFont, ImageOps

GAP = 4  # pixels around every image
LABEL_LENGTH = 32  # characters
BACKGROUND, INK, BROKEN = "white", "black", "#c03030"

# A label, which stands left of the row, and image files to choose from.
GridRow = tuple[str, Sequence[Path]]
_Box = tuple[int, int, int, int]


class SampleGrid(NamedTuple):
    """A drawn grid.

    Attributes:
        image: the picture, RGB.
        broken: files that could not be read; a red cross stands in their place.
    """

    image: Image.Image
    broken: list[Path]


def spread(items: Sequence[Path], count: int) -> list[Path]:
    """Return `count` items (or all, if there are fewer) at even distances, in their order."""
    if len(items) <= count:
        return list(items)
    return [items[number * len(items) // count] for number in range(count)]


def draw_grid(rows: Sequence[GridRow], columns: int, pixels: int) -> SampleGrid:
    """Draw rows of images.

    Args:
        rows: what to draw, from top to bottom.
        columns: images per row; of a row that has more, images at even distances are drawn.
        pixels: side of the square that every image is fitted into, keeping its proportions.
    """
    font = ImageFont.load_default(max(10, pixels // 4))
    labels = [_shorten(label) for label, _ in rows]
    left = GAP + max((round(font.getlength(label)) for label in labels), default=0) + GAP
    pitch = pixels + GAP
    canvas = Image.new("RGB", (left + columns * pitch, GAP + len(rows) * pitch), BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    broken = []
    for number, (label, (_, images)) in enumerate(zip(labels, rows, strict=True)):
        top = GAP + number * pitch
        pen.text((GAP, top + pixels // 2), label, fill=INK, font=font, anchor="lm")
        for place, path in enumerate(spread(images, columns)):
            corner = (left + place * pitch, top)
            if not _paste(canvas, path, corner, pixels):
                broken.append(path)
                _cross(pen, (*corner, corner[0] + pixels - 1, top + pixels - 1))
    return SampleGrid(canvas, broken)


def _shorten(label: str) -> str:
    return label if len(label) <= LABEL_LENGTH else label[: LABEL_LENGTH - 3] + "..."


def _paste(canvas: Image.Image, path: Path, corner: tuple[int, int], pixels: int) -> bool:
    """Fit an image into the square at `corner`; tell whether it could be read."""
    try:
        with Image.open(path) as opened:
            image = _as_rgb(opened)
    except Exception:  # noqa: BLE001 # damaged bytes make decoders raise nearly anything
        return False
    # Enlarging shows small images as the pixels they are; only shrinking needs a filter.
    enlarge = max(image.size) < pixels
    image = ImageOps.contain(image, (pixels, pixels), Image.Resampling.NEAREST if enlarge else Image.Resampling.LANCZOS)
    canvas.paste(image, (corner[0] + (pixels - image.width) // 2, corner[1] + (pixels - image.height) // 2))
    return True


def _as_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB; pixels of more than 8 bits are stretched from their darkest to their brightest value."""
    if image.mode.startswith("I") or image.mode == "F":
        image = image.convert("F")
        low, high = cast(tuple[float, float], image.getextrema())
        scale = 255 / (high - low) if high > low else 0.0
        return image.point(lambda value: value * scale + -low * scale).convert("RGB")
    return image.convert("RGB")


def _cross(pen: ImageDraw.ImageDraw, box: _Box) -> None:
    left, top, right, bottom = box
    pen.rectangle(box, outline=BROKEN)
    pen.line((left, top, right, bottom), fill=BROKEN)
    pen.line((left, bottom, right, top), fill=BROKEN)
