"""Workers of an earlier process of a run are waited for as long as they may die."""

import threading
from pathlib import Path

import pytest
from filelock import FileLock

from mml.core.scripts.exceptions import RunLockedError
from mml.runners.local_earlier import await_earlier


def lock_of(folder: Path, name: str) -> FileLock:
    worker = folder / "workers" / name
    worker.mkdir(parents=True)
    return FileLock(worker / "run.lock", thread_local=False)


def test_run_without_workers_is_not_waited_for(tmp_path: Path) -> None:
    await_earlier(tmp_path, 0)
    with lock_of(tmp_path, "gpu07-41"):
        pass
    await_earlier(tmp_path, 0)


def test_worker_that_dies_is_waited_for(tmp_path: Path) -> None:
    lock = lock_of(tmp_path, "gpu07-41")
    lock.acquire()
    timer = threading.Timer(0.1, lock.release)
    timer.start()
    await_earlier(tmp_path, 30)
    assert not lock.is_locked
    timer.join()


def test_worker_that_lives_on_is_named(tmp_path: Path) -> None:
    with lock_of(tmp_path, "gpu07-41"), pytest.raises(RunLockedError, match=r"gpu07-41 .* \(process 41 on gpu07\)"):
        await_earlier(tmp_path, 0)
