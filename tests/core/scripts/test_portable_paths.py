"""Paths in records hold when results or data are moved."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.core.scripts.portable_paths import PathRoots

ROOTS = PathRoots(Path("/home/me/results"), Path("/home/me/data"))
MOVED = PathRoots(Path("/mnt/results"), Path("/srv/data"))


@pytest.mark.parametrize(
    ("path", "text", "moved"),
    [
        ("/home/me/results/p/x.npy", "p/x.npy", "/mnt/results/p/x.npy"),
        ("/home/me/results", ".", "/mnt/results"),
        ("/home/me/data/tasks/a/1.png", "data:tasks/a/1.png", "/srv/data/tasks/a/1.png"),
        ("/home/me/data", "data:.", "/srv/data"),
        ("/etc/x", "/etc/x", "/etc/x"),
        ("/home/me/results2/x", "/home/me/results2/x", "/home/me/results2/x"),
        ("/home/me/results/data:x/y", "./data:x/y", "/mnt/results/data:x/y"),
        ("/home/me/data/data:x", "data:data:x", "/srv/data/data:x"),
    ],
)
def test_text_of_a_path_means_the_same_place_below_moved_roots(path: str, text: str, moved: str) -> None:
    assert ROOTS.to_text(Path(path)) == text
    assert ROOTS.to_path(text) == Path(path)
    assert MOVED.to_path(text) == Path(moved)


def test_relative_path_counts_from_the_current_folder(tmp_path: Path) -> None:
    roots = PathRoots(tmp_path, tmp_path / "data")
    assert roots.to_text(Path("p/x")) == "p/x"


def test_data_below_the_results_is_recorded_as_results() -> None:
    roots = PathRoots(Path("/r"), Path("/r/data"))
    assert roots.to_path(roots.to_text(Path("/r/data/x"))) == Path("/r/data/x")


def test_results_below_the_data_are_recorded_as_results() -> None:
    roots = PathRoots(Path("/d/results"), Path("/d"))
    assert [roots.to_text(Path(path)) for path in ("/d/results/x", "/d/x")] == ["x", "data:x"]


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8)


@given(st.sampled_from([ROOTS.results, ROOTS.data, Path("/etc")]), st.lists(NAMES, max_size=3))
def test_every_path_comes_back(root: Path, names: list[str]) -> None:
    path = root.joinpath(*names)
    assert ROOTS.to_path(ROOTS.to_text(path)) == path


@pytest.mark.parametrize("text", ["../up", "default/../../up", "data:../up", "a\0b", 3, None])
def test_a_text_that_no_path_has_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="can't be a path"):
        ROOTS.to_path(text)


def test_a_path_with_detours_is_written_down_without_them() -> None:
    assert ROOTS.to_text(Path("/home/me/results/p/../q/x")) == "q/x"
    assert ROOTS.to_text(Path("/home/me/results/../x")) == "/home/me/x"
