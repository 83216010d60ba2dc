import os
from pathlib import Path
from typing import Any

import pytest
import torch

from mml.core.models.checkpoints import FILES, CheckpointFolder, DurableCheckpointIO, file_digest, loads_safely, moved
from mml.core.scripts.utils import WriteCheck


def numbers(folder: CheckpointFolder) -> list[int]:
    return [int(name[:6]) for name in folder.names()]


def content(folder: CheckpointFolder) -> Any:
    found = folder.newest()
    return found and found[1]["n"]


def filled(tmp_path: Path, count: int) -> CheckpointFolder:
    folder = CheckpointFolder(tmp_path / "training")
    for number in range(1, count + 1):
        folder.write({"n": number, "weights": torch.arange(number)})
    return folder


def test_a_folder_that_does_not_exist_has_no_checkpoint(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "none")
    assert (folder.names(), folder.newest()) == ([], None)
    assert not folder.path.exists()


def test_the_newest_is_read_and_one_before_it_kept(tmp_path: Path) -> None:
    folder = filled(tmp_path, 5)
    assert numbers(folder) == [4, 5]
    path, state = folder.newest() or (None, {})
    assert path == folder.path / folder.names()[-1]
    assert torch.equal(state["weights"], torch.arange(5))
    assert len(list(folder.path.iterdir())) == 2


def test_the_name_says_what_the_content_is(tmp_path: Path) -> None:
    (path, _) = filled(tmp_path, 1).newest() or (Path(), {})
    assert path.name == f"000001-{file_digest(path)}.ckpt"


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied", "replaced", "removed"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    folder = filled(tmp_path, 3)
    path = folder.path / folder.names()[-1]
    data = path.read_bytes()
    if damage == "removed":
        path.unlink()
        assert content(folder) == 2
        return
    harmed = {"flipped": data[:200] + bytes([data[200] ^ 1]) + data[201:], "cut": data[:-1], "emptied": b""}
    path.write_bytes(harmed.get(damage, (folder.path / folder.names()[0]).read_bytes()))
    assert content(folder) == 2
    assert f"{path} is damaged" in caplog.text
    assert numbers(folder) == [2]


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    folder = filled(tmp_path, 1)
    (name,) = folder.names()
    data = (folder.path / name).read_bytes()
    for position in range(0, len(data), 97):
        (folder.path / name).write_bytes(data[:position] + bytes([data[position] ^ 16]) + data[position + 1 :])
        assert folder.newest() is None
    (folder.path / name).write_bytes(data)
    assert content(folder) == 1


def test_without_a_whole_checkpoint_there_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = filled(tmp_path, 2)
    for name in folder.names():
        (folder.path / name).write_bytes(b"PK")
    assert folder.newest() is None
    assert "starts anew" in caplog.text


def test_foreign_files_are_no_checkpoints(tmp_path: Path) -> None:
    folder = filled(tmp_path, 1)
    for name in ("best_epoch=1.ckpt", "000009.ckpt", f"x{folder.names()[0]}", ".000002.tmp"):
        (folder.path / name).write_bytes(b"no")
    assert numbers(folder) == [1]


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("evil",)


def test_a_pickle_that_would_run_code_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = filled(tmp_path, 1)
    folder.write({"n": Evil()})
    assert content(folder) == 1
    assert "can't be read" in caplog.text or "is damaged" in caplog.text
    assert not Path("evil").exists()


def test_a_checkpoint_that_can_not_be_written_leaves_the_earlier_ones(tmp_path: Path) -> None:
    folder = filled(tmp_path, 2)
    (folder.path / ".000003.tmp").mkdir()
    with pytest.raises(OSError, match="directory"):
        folder.write({"n": 3})
    assert content(folder) == 2


def test_a_full_disk_is_an_os_error(tmp_path: Path) -> None:
    folder = filled(tmp_path, 1)
    (folder.path / ".000002.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        folder.write({"n": torch.zeros(100_000)})
    assert content(folder) == 1


def test_a_checkpoint_without_the_file_it_refers_to_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = CheckpointFolder(tmp_path)
    best = tmp_path / "best.ckpt"
    best.write_bytes(b"best")
    folder.write({"n": 1})
    folder.write({"n": 2, FILES: {"best.ckpt": file_digest(best)}})
    assert content(folder) == 2
    best.write_bytes(b"worse")
    assert content(folder) == 1
    assert "best.ckpt" in caplog.text


def test_a_missing_file_that_a_checkpoint_refers_to_counts_as_damage(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.write({"n": 1, FILES: {"best.ckpt": "0" * 32}})
    assert folder.newest() is None


def test_files_are_written_atomically_with_their_digest(tmp_path: Path) -> None:
    store = DurableCheckpointIO()
    path = tmp_path / "sub" / "best.ckpt"
    store.save_checkpoint({"weights": torch.ones(3)}, str(path))
    assert store.digests == {path: file_digest(path)}
    assert torch.equal(store.load_checkpoint(path)["weights"], torch.ones(3))
    assert [file.name for file in path.parent.iterdir()] == ["best.ckpt"]


def test_files_are_only_loaded_without_running_code(tmp_path: Path) -> None:
    torch.save({"n": Evil()}, tmp_path / "x.ckpt")
    with pytest.raises(Exception, match="[Ww]eights"):
        DurableCheckpointIO().load_checkpoint(tmp_path / "x.ckpt")


def test_what_was_checked_is_not_read_again(tmp_path: Path) -> None:
    store = DurableCheckpointIO()
    store.loaded = (tmp_path / "gone.ckpt", {"n": 1})
    assert store.load_checkpoint(str(tmp_path / "gone.ckpt")) == {"n": 1}
    with pytest.raises(FileNotFoundError):
        store.load_checkpoint(tmp_path / "gone.ckpt")


def test_a_file_stays_as_long_as_a_checkpoint_may_refer_to_it(tmp_path: Path) -> None:
    store, folder = DurableCheckpointIO(), CheckpointFolder(tmp_path)
    best = tmp_path / "best.ckpt"
    store.save_checkpoint({}, best)
    files = {"best.ckpt": store.digests[best]}
    for number in (1, 2):
        folder.write({"n": number, FILES: files})
        store.checkpoint_written()
    store.remove_checkpoint(best)
    assert not store.digests
    for number in (3, 4):
        assert best.exists()
        folder.write({"n": number})
        store.checkpoint_written()
    assert not best.exists()
    assert content(folder) == 4


def test_a_file_that_is_written_again_stays(tmp_path: Path) -> None:
    store = DurableCheckpointIO()
    for before in (0, 1):
        store.save_checkpoint({}, tmp_path / "best.ckpt")
        store.remove_checkpoint(tmp_path / "best.ckpt")
        for _ in range(before):
            store.checkpoint_written()
        store.save_checkpoint({}, tmp_path / "best.ckpt")
        store.checkpoint_written()
        store.checkpoint_written()
        assert (tmp_path / "best.ckpt").exists()


def test_paths_move_with_their_folder() -> None:
    value = {"/a/b": ["/a/b/c", "/a/bc", 3, None], "x": {"y": "/a/b"}}
    assert moved(value, "/a/b", "/new") == {"/new": ["/new/c", "/a/bc", 3, None], "x": {"y": "/new"}}


def test_what_can_not_be_loaded_safely_is_explained(tmp_path: Path) -> None:
    torch.save({"n": Evil()}, tmp_path / "x.ckpt")
    assert "unsupported GLOBAL posix.mkdir" in str(loads_safely(tmp_path / "x.ckpt"))
    torch.save({"n": 1}, tmp_path / "x.ckpt")
    assert loads_safely(tmp_path / "x.ckpt") is None


def test_checkpoint_of_an_attempt_that_was_given_up_takes_no_place_and_removes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = filled(tmp_path, 3)
    before = sorted(folder.path.iterdir())

    def refuse() -> None:
        raise PermissionError("given up")

    monkeypatch.setattr(WriteCheck, "check", staticmethod(refuse))
    with pytest.raises(PermissionError, match="given up"):
        folder.write({"n": 4})
    assert sorted(folder.path.iterdir()) == before
