"""Decoding and encoding images: the one place that knows what Pillow can read and what a damaged file does to it."""

import io
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from mml.core.data_loading.modality_loaders import to_mode

Pixels = npt.NDArray[np.uint8]

# Formats that Pillow lists, but only identifies, or needs other programs for.
_NO_IMAGES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})


class UnreadableImageError(Exception):
    """Bytes that can't be decoded as an image; the text is the reason, in a few words."""


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes, lower case with dot, of all formats that Pillow decodes on this machine."""
    Image.init()
    return frozenset(
        suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN.keys() - _NO_IMAGES
    )


def decode_image(data: bytes) -> Image.Image:
    """Decode the bytes of an image file fully.

    Returns:
        The image as trainings see it: red, green and blue, of 8 bit each.

    Raises:
        UnreadableImageError: the file is empty, cut short, damaged, of an unknown format or of an absurd size.
    """
    if not data:
        msg = "the file is empty"
        raise UnreadableImageError(msg)
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return to_mode(image, "RGB")
    except Exception as error:  # noqa: BLE001 # damaged bytes make decoders raise nearly anything
        raise UnreadableImageError(_reason(error)) from error


def encode_png(pixels: Pixels) -> bytes:
    """Return the PNG of an array of shape (height, width) or (height, width, 3), with the fastest compression."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _reason(error: Exception) -> str:
    name = type(error).__name__
    if name == "UnidentifiedImageError":
        return "no known image format"
    text = " ".join(str(error).split())[:120]
    return f"{name}: {text}" if text else name
