"""A run goes in one instant for all who look; what a kill leaves is no run, and is done away with later."""

import os
import signal
from pathlib import Path

import pytest

from mml.core.scripts import run_removal
from mml.core.scripts.exceptions import MMLError, RunLockedError
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.run_removal import RUN_CONTENTS, finish_removal, going_folders, leftovers, remove_run
from mml.core.scripts.runs import list_runs
from tests.support.runs import NAME, make_run


def fill(folder: Path) -> None:
    """Put all that a run may have into its folder."""
    for name in ("temp/TRAINING/x", "tensorboard/y"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").touch()
    (folder / "errors").mkdir()
    for name in ("live.json", "exp.log", "run.lock", ".config.yaml.abcd1234.tmp", ".live.7.tmp.json"):
        (folder / name).touch()


def test_run_goes_with_all_that_it_has(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    fill(folder)
    remove_run(folder)
    assert list((tmp_path / "default" / "runs").iterdir()) == []


def test_running_run_stays_whole(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed")
    with RunLock(folder), pytest.raises(RunLockedError):
        remove_run(folder)
    assert (folder / "journal.jsonl").exists()


def test_run_with_a_file_of_somebody_else_stays_whole(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "notes.txt").touch()
    with pytest.raises(MMLError, match=r"not mml's are notes.txt"):
        remove_run(folder)
    assert (folder / "journal.jsonl").exists()


def test_link_goes_and_what_it_points_to_stays(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "elsewhere")
    link = tmp_path / "default" / "runs" / "linked"
    link.parent.mkdir(parents=True)
    link.symlink_to(folder)
    remove_run(link)
    assert not link.is_symlink()
    assert (folder / "journal.jsonl").exists()


def test_link_inside_goes_and_what_it_points_to_stays(tmp_path: Path) -> None:
    folder, outside = make_run(tmp_path), tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (folder / "temp").symlink_to(outside)
    remove_run(folder)
    assert (outside / "file").exists()


@pytest.mark.parametrize("survivors", range(len(RUN_CONTENTS) + 1))
def test_killed_in_the_midst_leaves_no_run_and_is_finished_later(tmp_path: Path, survivors: int) -> None:
    folder = make_run(tmp_path, state="crashed")
    fill(folder)
    if not (child := os.fork()):
        remove, left = run_removal.remove, [survivors]

        def remove_some(path: Path) -> None:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            remove(path)

        run_removal.remove = remove_some
        remove_run(folder)
        os._exit(0)
    os.waitpid(child, 0)
    assert list_runs(tmp_path) == []
    (going,) = going_folders(folder.parent)
    finish_removal(going)
    assert list(folder.parent.iterdir()) == []


def test_removal_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    going = tmp_path / "default" / "runs" / f".going.1.{NAME}"
    going.mkdir(parents=True)
    with RunLock(going), pytest.raises(RunLockedError):
        finish_removal(going)
    assert going_folders(tmp_path / "nowhere") == []


def test_unfinished_writes_are_told_from_files_of_others(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    fill(folder)
    (folder / ".swp").touch()
    assert [path.name for path in leftovers(folder)] == [".config.yaml.abcd1234.tmp", ".live.7.tmp.json"]
