import os
from pathlib import Path, PurePosixPath

import pytest

from mml.core.data_preparation.sources.listing import class_name, list_images, visible_folders
from mml.core.scripts.exceptions import TaskDataError
from tests.core.data_preparation.make_sources import class_folders, write_image


def test_images_at_any_depth_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b/2.png", "a/deep/er/1.jpg", "0.BMP"):
        write_image(tmp_path / name)
    assert list_images(tmp_path).images == [PurePosixPath(name) for name in ("0.BMP", "a/deep/er/1.jpg", "b/2.png")]


def test_hidden_and_system_entries_are_left_out_and_counted(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 1, "__MACOSX": 2, ".hidden": 1})
    for name in (".DS_Store", "a/._000.png", "a/Thumbs.db", "a/desktop.ini"):
        (tmp_path / name).write_text("x")
    listing = list_images(tmp_path)
    assert listing.images == [PurePosixPath("a/000.png")]
    assert listing.notes == ["6 hidden or system entries left out."]


def test_files_that_are_no_images_are_counted_by_suffix(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 1})
    for name in ("a/1.txt", "a/2.TXT", "readme"):
        (tmp_path / name).write_text("x")
    (note,) = list_images(tmp_path).notes
    assert note == "3 files left out that no image format has as suffix (.txt: 2, no suffix: 1)."


def test_folders_without_images_are_named(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 1, "empty": 0})
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "x.txt").write_text("x")
    assert list_images(tmp_path).empty_folders == ["empty", "text"]


def test_links_to_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    class_folders(tmp_path / "elsewhere", {"a": 2})
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "cats").symlink_to(tmp_path / "elsewhere" / "a")
    (tmp_path / "elsewhere" / "a" / "loop").symlink_to(tmp_path / "source")
    assert [str(image) for image in list_images(tmp_path / "source").images] == ["cats/000.png", "cats/001.png"]


def test_folders_to_skip_are_not_searched(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 1, "data": 3})
    listing = list_images(tmp_path, skip=[tmp_path / "data", tmp_path / "missing"])
    assert [image.parts[0] for image in listing.images] == ["a"]
    assert listing.empty_folders == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_can_not_be_read_is_an_error_with_its_name(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 1})
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(TaskDataError, match=r"/a can't be read: Permission denied"):
            list_images(tmp_path)
    finally:
        (tmp_path / "a").chmod(0o700)


def test_a_folder_that_is_gone_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match="gone can't be read"):
        list_images(tmp_path / "gone")


def test_visible_folders_are_sorted_and_no_files(tmp_path: Path) -> None:
    class_folders(tmp_path, {"b": 0, "a": 0, ".c": 0})
    (tmp_path / "file").write_text("")
    assert visible_folders(tmp_path) == ["a", "b"]


def test_a_class_is_called_the_same_however_its_accents_are_written() -> None:
    assert class_name("Caf\u0065\u0301") == class_name("Caf\u00e9") == "Café"


def test_a_folder_name_that_is_no_text_is_still_a_class() -> None:
    assert class_name("caf\udce9") == "caf\ufffd"
