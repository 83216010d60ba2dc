"""Whoever looks at a lock sees its owner, and never another who looks."""

import errno
import fcntl
from pathlib import Path

import pytest
from filelock import FileLock

from mml.core.scripts import runs
from mml.core.scripts.lock_probe import probe
from mml.core.scripts.run_lock import RunLock, is_held


def test_a_lock_is_held_as_long_as_it_is(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        assert probe(tmp_path / "run.lock") is True
        assert is_held(tmp_path)
    assert probe(tmp_path / "run.lock") is False
    assert not is_held(tmp_path)


def test_without_a_file_nobody_holds_it_and_none_is_made(tmp_path: Path) -> None:
    assert probe(tmp_path / "run.lock") is False
    assert list(tmp_path.iterdir()) == []


def test_another_who_looks_is_not_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.touch()
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert probe(path) is False
        assert not is_held(tmp_path)


def test_who_wants_the_lock_outlasts_a_look(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.touch()
    probe(path)
    with FileLock(path, blocking=False):
        assert probe(path) is True


@pytest.mark.parametrize(("code", "answer"), [(errno.ENOSYS, None), (errno.EACCES, True), (errno.EAGAIN, True)])
def test_a_file_system_without_locks_is_told_from_a_lock_that_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, answer: bool | None
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, "refused")

    (tmp_path / "run.lock").touch()
    with monkeypatch.context() as patch:
        patch.setattr("mml.core.scripts.lock_probe.fcntl.flock", refuse)
        assert probe(tmp_path / "run.lock") is answer


def test_where_it_can_not_be_asked_the_lock_itself_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (runs, "mml.core.scripts.run_lock"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.probe", lambda _: None)
    assert not runs.is_running(tmp_path)
    with RunLock(tmp_path):
        assert runs.is_running(tmp_path)
    assert not runs.is_running(tmp_path)
