from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mml.report.sample_grid import BACKGROUND, GAP, LABEL_LENGTH, SampleGrid, draw_grid, spread

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
SIDE = 16


def save(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (SIDE, SIDE)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def cell(grid: SampleGrid, row: int, place: int, columns: int, pixels: int = SIDE) -> np.ndarray:
    """Cut one image out of a grid; images stand flush right."""
    left = grid.image.width - (columns - place) * (pixels + GAP)
    top = GAP + row * (pixels + GAP)
    return np.asarray(grid.image.crop((left, top, left + pixels, top + pixels)))


def test_every_class_has_a_row_with_its_images(tmp_path: Path) -> None:
    red, green, blue = (save(tmp_path / f"{c}.png", c) for c in (RED, GREEN, BLUE))
    grid = draw_grid([("warm", [red, green]), ("cold", [blue])], columns=3, pixels=SIDE)
    assert (cell(grid, 0, 0, 3) == RED).all()
    assert (cell(grid, 0, 1, 3) == GREEN).all()
    assert (cell(grid, 1, 0, 3) == BLUE).all()
    assert (cell(grid, 1, 1, 3) == 255).all()
    assert grid.broken == []
    assert grid.image.height == GAP + 2 * (SIDE + GAP)


def test_the_label_of_a_row_stands_left_of_its_images(tmp_path: Path) -> None:
    grid = draw_grid([("", []), ("label", [])], columns=1, pixels=SIDE)
    inked = np.asarray(grid.image)[:, : grid.image.width - SIDE - GAP].min(axis=(1, 2)) < 128
    assert not inked[: GAP + SIDE].any()
    assert inked[GAP + SIDE :].any()


def test_a_long_label_is_cut(tmp_path: Path) -> None:
    long, longer = (draw_grid([("w" * n, [])], 1, SIDE) for n in (LABEL_LENGTH + 10, LABEL_LENGTH + 50))
    assert long.image.width == longer.image.width


def test_of_many_images_some_are_drawn(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{i}.png", colour) for i, colour in enumerate((RED, GREEN, BLUE, GREEN))]
    grid = draw_grid([("", paths)], 2, SIDE)
    assert grid.image.width == 2 * GAP + 2 * (SIDE + GAP)
    assert (cell(grid, 0, 0, 2) == RED).all()
    assert (cell(grid, 0, 1, 2) == BLUE).all()


@pytest.mark.parametrize("size", [(8, 4), (64, 32)])
def test_an_image_keeps_its_proportions(tmp_path: Path, size: tuple[int, int]) -> None:
    grid = draw_grid([("", [save(tmp_path / "wide.png", RED, size)])], 1, SIDE)
    pixels = cell(grid, 0, 0, 1)
    assert (pixels[4:12] == RED).all()
    assert (pixels[:4] == 255).all()
    assert (pixels[12:] == 255).all()


def test_sixteen_bits_are_stretched_to_eight(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.repeat(np.array([[0, 500, 1000, 2000]], dtype=np.uint16), 4, axis=0)).save(path)
    grid = draw_grid([("", [path])], 1, SIDE)
    assert cell(grid, 0, 0, 1)[0, ::4, 0].tolist() == [0, 63, 127, 255]


def test_a_uniform_image_of_sixteen_bits_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "flat.png"
    Image.fromarray(np.full((4, 4), 9000, dtype=np.uint16)).save(path)
    grid = draw_grid([("", [path])], 1, SIDE)
    assert grid.broken == []
    assert (cell(grid, 0, 0, 1) == 0).all()


def test_unreadable_images_are_named_and_crossed_out(tmp_path: Path) -> None:
    empty, missing, cut = tmp_path / "empty.png", tmp_path / "missing.png", tmp_path / "cut.png"
    empty.touch()
    whole = save(tmp_path / "whole.png", GREEN, (200, 200))
    cut.write_bytes(whole.read_bytes()[:60])
    grid = draw_grid([("x", [empty, missing, cut, whole])], 4, SIDE)
    assert grid.broken == [empty, missing, cut]
    assert (cell(grid, 0, 3, 4) == GREEN).all()
    assert (cell(grid, 0, 0, 4)[0, 0] == (0xC0, 0x30, 0x30)).all()


def test_a_grid_without_rows_is_an_empty_picture() -> None:
    grid = draw_grid([], 2, SIDE)
    assert grid.image.getcolors() == [(grid.image.width * GAP, (255, 255, 255))]
    assert BACKGROUND == "white"


@pytest.mark.parametrize(("count", "chosen"), [(1, [0]), (3, [0, 3, 6]), (5, [0, 2, 4, 6, 8]), (10, list(range(10)))])
def test_samples_are_taken_at_even_distances(count: int, chosen: list[int]) -> None:
    paths = [Path(str(i)) for i in range(10)]
    assert spread(paths, count) == [Path(str(i)) for i in chosen]


def test_a_small_class_is_taken_whole() -> None:
    assert spread([Path("a")], 8) == [Path("a")]
    assert spread([], 8) == []


def test_an_image_that_makes_its_decoder_raise_anything_is_a_broken_one(tmp_path: Path) -> None:
    data = bytearray(_png(tmp_path / "good.png").read_bytes())
    data[16:24] = (60_000).to_bytes(4) * 2  # width and height: far more than Pillow decodes
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(data)
    assert draw_grid([("a", [bomb])], 1, 8).broken == [bomb]


def _png(path: Path) -> Path:
    Image.new("RGB", (4, 4)).save(path)
    return path
