"""An attempt may write as long as its folder is there, and what it announced is known until it is removed."""

from pathlib import Path

import pytest

from mml.core.scripts.attempts import AttemptFolder, attempts_left, remove_if_empty
from mml.core.scripts.exceptions import AttemptRevokedError


@pytest.fixture
def folder(tmp_path: Path) -> AttemptFolder:
    made = AttemptFolder(tmp_path, "0003.1.2")
    made.create()
    return made


def test_name_tells_step_and_attempt(folder: AttemptFolder) -> None:
    assert (folder.step, folder.attempt) == (2, "1.2")
    assert AttemptFolder(folder.path, "12345.10.3").step == 12344


def test_files_are_announced_in_order(folder: AttemptFolder) -> None:
    folder.announce("p/a.txt", "toy")
    folder.announce("p/ü b\n.txt", "toy")
    assert AttemptFolder(folder.path.parents[1], folder.name).announced() == ["p/a.txt", "p/ü b\n.txt"]


def test_attempt_that_was_given_up_may_not_write_and_its_files_stay_known(folder: AttemptFolder) -> None:
    folder.announce("p/a.txt", "toy")
    folder.check()
    folder.revoke()
    assert not folder.valid
    for write in (folder.check, lambda: folder.announce("p/b.txt", "toy")):
        with pytest.raises(AttemptRevokedError, match=r"Attempt 0003\.1\.2 was given up"):
            write()
    assert folder.announced() == ["p/a.txt"]
    folder.revoke()
    assert folder.announced() == ["p/a.txt"]


def test_attempt_without_a_folder_may_not_announce(tmp_path: Path) -> None:
    with pytest.raises(AttemptRevokedError):
        AttemptFolder(tmp_path, "0001.1.1").announce("p/a.txt", "toy")


def test_file_that_another_attempt_got_is_not_its_own(folder: AttemptFolder) -> None:
    for path in ("p/a.txt", "p/b.txt", "p/c.txt"):
        folder.announce(path, "toy")
    folder.withdraw("p/a.txt")
    folder.revoke()
    folder.withdraw("p/c.txt")
    assert folder.announced() == ["p/b.txt"]
    folder.remove()
    folder.withdraw("p/b.txt")
    assert folder.announced() == []


def test_torn_last_line_was_never_acknowledged(folder: AttemptFolder) -> None:
    folder.announce("p/a.txt", "toy")
    with (folder.path / "announced.jsonl").open("ab") as file:
        file.write(b'["p/b.txt","to')
    assert folder.announced() == ["p/a.txt"]


def test_job_is_kept_also_for_an_attempt_that_was_given_up(folder: AttemptFolder) -> None:
    assert folder.job() is None
    folder.take_down({"runner": "slurm", "id": "17_3"})
    folder.revoke()
    assert folder.job() == {"runner": "slurm", "id": "17_3"}


def test_job_of_an_attempt_that_was_given_up_meanwhile_brings_no_folder_back(folder: AttemptFolder) -> None:
    folder.revoke()
    folder.take_down({"runner": "slurm"})
    assert not folder.valid
    assert folder.job() is None


def test_damaged_job_is_none(folder: AttemptFolder) -> None:
    (folder.path / "job.json").write_text("{")
    assert folder.job() is None


def test_attempts_that_are_left_are_found_given_up_or_not(tmp_path: Path) -> None:
    assert attempts_left(tmp_path) == []
    for name in ("0002.1.1", "0001.1.1", "0001.1.2"):
        AttemptFolder(tmp_path, name).create()
    AttemptFolder(tmp_path, "0001.1.1").revoke()
    (tmp_path / "attempts" / "no attempt").mkdir()
    assert [left.name for left in attempts_left(tmp_path)] == ["0001.1.1", "0001.1.2", "0002.1.1"]
    for left in attempts_left(tmp_path):
        left.remove()
    assert attempts_left(tmp_path) == []


def test_folder_of_all_attempts_goes_when_it_is_empty(tmp_path: Path) -> None:
    remove_if_empty(tmp_path)
    made = AttemptFolder(tmp_path, "0001.1.1")
    made.create_for_good()
    remove_if_empty(tmp_path)
    assert made.valid
    made.remove()
    remove_if_empty(tmp_path)
    assert not (tmp_path / "attempts").exists()
