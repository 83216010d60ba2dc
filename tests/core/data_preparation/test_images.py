import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mml.core.data_preparation.images import UnreadableImageError, decode_image, encode_png, image_suffixes
from tests.core.data_preparation.make_sources import write_image


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm"])
def test_usual_formats_are_images(suffix: str) -> None:
    assert suffix in image_suffixes()


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".pdf", ".mpg", ".h5", ".eps", ""])
def test_what_pillow_does_not_decode_is_no_image(suffix: str) -> None:
    assert suffix not in image_suffixes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_an_image_of_any_kind_becomes_rgb(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (5, 3)).save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    image = decode_image(buffer.getvalue())
    assert (image.mode, image.size) == ("RGB", (5, 3))


def test_16_bit_are_scaled_rather_than_cut_off() -> None:
    image = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    assert np.asarray(decode_image(png(image)))[0, :, 0].tolist() == [0, 128, 255]


def test_only_the_first_frame_of_an_animation_counts() -> None:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(buffer.getvalue()).getpixel((0, 0)) == (254, 0, 0) or (255, 0, 0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>not found</html>", "no known image format"),
        (png(Image.effect_noise((64, 64), 50))[:-600], "OSError"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "no known image format|Error"),
    ],
    ids=["empty", "html", "cut short", "no content"],
)
def test_a_damaged_file_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImageError, match=reason):
        decode_image(data)


def test_a_jpeg_cut_short_is_found_though_its_header_is_whole(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.jpg", size=(200, 200))
    with pytest.raises(UnreadableImageError, match="truncated"):
        decode_image(path.read_bytes()[:-100])


def test_an_image_of_absurd_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UnreadableImageError, match="DecompressionBomb"):
        decode_image(png(Image.new("L", (10, 10))))


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3)])
def test_pixels_survive_as_png(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    stored = np.asarray(Image.open(io.BytesIO(encode_png(pixels))))
    assert np.array_equal(stored, pixels)
