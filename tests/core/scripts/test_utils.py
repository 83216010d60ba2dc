"""The helpers that every layer uses."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.utils import (
    LearningPhase,
    Singleton,
    WriteCheck,
    as_list,
    atomic_save,
    atomic_write,
    did_you_mean,
    fsync_folder,
    fsync_tree,
    make_folder,
    unfinished_writes,
)


class Only(metaclass=Singleton):
    def __init__(self, value: int = 0) -> None:
        if value < 0:
            raise ValueError("negative")
        self.value = value


class Another(metaclass=Singleton):
    pass


@pytest.fixture(autouse=True)
def no_instance() -> Iterator[None]:
    yield
    Only.clear_instance()
    Another.clear_instance()


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_singleton_gives_its_one_instance() -> None:
    made = Only(3)
    assert Only.instance() is made
    assert Only.instance().value == 3


def test_singleton_that_exists_is_not_made_again() -> None:
    Only(3)
    with pytest.raises(RuntimeError, match=r"Only exists already: use Only\.instance\(\)"):
        Only(4)
    assert Only.instance().value == 3


def test_singleton_that_does_not_exist_has_no_instance() -> None:
    assert not Only.exists()
    with pytest.raises(RuntimeError, match="No Only was created yet"):
        Only.instance()


def test_singleton_can_be_forgotten() -> None:
    first = Only(1)
    Only.clear_instance()
    Only.clear_instance()
    assert not Only.exists()
    assert Only(2) is not first


def test_singletons_of_two_classes_are_apart() -> None:
    Only(1)
    assert not Another.exists()
    Another()
    Only.clear_instance()
    assert Another.exists()


def test_singleton_that_failed_to_be_made_does_not_exist() -> None:
    with pytest.raises(ValueError, match="negative"):
        Only(-1)
    assert not Only.exists()


def test_subclass_of_a_singleton_has_an_instance_of_its_own() -> None:
    class Special(Only):
        pass

    Special(1)
    assert not Only.exists()
    Special.clear_instance()


def test_singleton_may_have_abstract_methods() -> None:
    assert isinstance(Only, Singleton)
    assert hasattr(Only, "register")


def test_phases_are_their_words() -> None:
    assert [str(phase) for phase in LearningPhase] == ["train", "val", "test", "predict"]


@pytest.mark.parametrize(
    ("name", "known", "answer"),
    [
        ("trian", ["train", "info"], "Did you mean 'train'?"),
        ("val", ["val_l", "vals", "train"], "Did you mean 'vals' or 'val_l'?"),
        ("q", ["b", "a"], "Known: a, b."),
        ("q", [], "There is none yet."),
        ("q", (f"n{i:02}" for i in range(14)), f"Known: {', '.join(f'n{i:02}' for i in range(12))}, ... (2 more)."),
    ],
)
def test_near_names_are_offered_and_far_ones_listed(name: str, known: Any, answer: str) -> None:
    assert did_you_mean(name, known) == answer


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ("ab", ["ab"]),
        (b"ab", [b"ab"]),
        (3, [3]),
        (False, [False]),
        ([1, 2], [1, 2]),
        ((1,), [1]),
        ({"a": 1}, ["a"]),
        (range(2), [0, 1]),
    ],
)
def test_anything_becomes_a_list(value: Any, expected: list[Any]) -> None:
    assert as_list(value) == expected


@pytest.mark.parametrize(("mode", "content"), [("wb", b"caf\xc3\xa9"), ("w", "café")])
def test_file_is_written_whole_and_its_folder_made(tmp_path: Path, mode: str, content: Any) -> None:
    path = tmp_path / "a" / "b" / "x.txt"
    with atomic_write(path, mode) as file:
        file.write(content)
        assert not path.exists()
    assert path.read_bytes() == "café".encode()
    assert names(path.parent) == ["x.txt"]


def test_text_can_have_another_encoding(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "x", "w", encoding="latin-1") as file:
        file.write("é")
    assert (tmp_path / "x").read_bytes() == b"\xe9"


def test_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(ValueError, match="stop"), atomic_write(path, "w") as file:
        file.write("new")
        raise ValueError("stop")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_folder_in_the_way_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError), atomic_write(tmp_path / "x") as file:
        file.write(b"new")
    assert names(tmp_path) == ["x"]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with path.open() as reader:
        with atomic_write(path, "w") as file:
            file.write("new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_written_file_has_the_mode_of_any_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "x") as file:
            file.write(b"")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "😀" * 63, ".hidden", "a.tar.gz"])
def test_any_name_that_a_file_can_have_can_be_written(tmp_path: Path, name: str) -> None:
    with atomic_write(tmp_path / name) as file:
        file.write(b"1")
    atomic_save(tmp_path / name, lambda beside: beside.write_bytes(b"2") and None)
    assert (tmp_path / name).read_bytes() == b"2"
    assert names(tmp_path) == [name]


def test_library_writes_beside_the_target_with_its_suffix(tmp_path: Path) -> None:
    asked: list[Path] = []

    def write(beside: Path) -> None:
        asked.append(beside)
        beside.write_text("whole")

    path = tmp_path / "new" / "model.safetensors"
    atomic_save(path, write)
    assert path.read_text() == "whole"
    assert asked[0].parent == path.parent
    assert asked[0].suffix == ".safetensors"
    assert names(path.parent) == ["model.safetensors"]


def test_library_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")

    def write(beside: Path) -> None:
        beside.write_text("ha")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        atomic_save(path, write)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x"]


KILLED = """
import os, sys
from pathlib import Path
from mml.core.scripts.utils import atomic_save, atomic_write
path = Path(sys.argv[1])
def die(beside):
    beside.write_text("ha")
    os.kill(os.getpid(), 9)
if sys.argv[2] == "save":
    atomic_save(path, die)
with atomic_write(path, "w") as file:
    file.write("half")
    file.flush()
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("how", ["write", "save"])
def test_what_a_killed_write_leaves_is_found_and_nothing_else(tmp_path: Path, how: str) -> None:
    path = tmp_path / "model_0001.json"
    for name in (".model_0002.json.abcdefgh.tmp", ".model_0001.json.tmp", "model_0001.json.abcdefgh.tmp", "other"):
        (tmp_path / name).write_text("foreign")
    path.write_text("old")
    before = set(tmp_path.iterdir())
    subprocess.run([sys.executable, "-c", KILLED, path, how], check=False)
    left = set(tmp_path.iterdir()) - before
    assert len(left) == 1
    assert set(unfinished_writes(path)) == left
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["missing/x", "file/x"])
def test_nothing_is_left_where_there_is_no_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    assert unfinished_writes(tmp_path / name) == []


def test_folder_can_be_made_durable_and_a_missing_one_not(tmp_path: Path) -> None:
    fsync_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        fsync_folder(tmp_path / "missing")


def test_every_folder_that_is_made_has_a_durable_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())) or fsync(handle)
    )
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    assert synced == [str(tmp_path), str(tmp_path / "a")]


def test_all_in_a_folder_and_its_name_become_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_text("1")
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink()))
    fsync_tree(tmp_path / "a")
    assert set(synced) == {tmp_path, tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "x"}


def test_folder_is_made_where_names_may_be_added_but_not_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o300)
    try:
        make_folder(tmp_path / "a")
    finally:
        tmp_path.chmod(0o700)
    assert (tmp_path / "a").is_dir()


def test_file_in_the_way_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(OSError, match="a"):
            make_folder(path)


@pytest.mark.parametrize("how", ["write", "save"])
def test_bytes_are_durable_before_the_file_has_its_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: order.append("fsync") or fsync(handle))
    monkeypatch.setattr(os, "replace", lambda *paths: order.append("replace") or replace(*paths))
    if how == "save":
        atomic_save(tmp_path / "x", lambda beside: beside.touch())
    else:
        with atomic_write(tmp_path / "x") as file:
            file.write(b"1")
    assert order == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("write", ["atomic_write", "atomic_save"])
def test_nothing_takes_its_place_when_this_process_may_not_write_any_more(
    write: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise PermissionError("given up")

    path = tmp_path / "file.txt"
    path.write_text("before")
    monkeypatch.setattr(WriteCheck, "check", staticmethod(refuse))
    with pytest.raises(PermissionError, match="given up"):
        if write == "atomic_save":
            atomic_save(path, lambda beside: beside.write_text("after") and None)
        else:
            with atomic_write(path, "w") as file:
                file.write("after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
