import errno
import os
from pathlib import Path

import pytest

from mml.core.data_preparation.disk import blocks, check_space, disk_errors
from mml.core.scripts.exceptions import TaskDataError


@pytest.mark.parametrize(("size", "expected"), [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)])
def test_files_take_whole_blocks(size: int, expected: int) -> None:
    assert blocks(size) == expected


def test_work_that_fits_is_let_through(tmp_path: Path) -> None:
    check_space(tmp_path, 1)


def test_work_that_can_not_fit_is_refused_with_what_is_needed_and_free(tmp_path: Path) -> None:
    with pytest.raises(
        TaskDataError, match=r"too full: about 1000\.0 PB are needed and .*B are free.*mode\.copy=reference"
    ):
        check_space(tmp_path, 10**18)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_explained_with_the_numbers(tmp_path: Path, number: int) -> None:
    with pytest.raises(TaskDataError, match=r"too full: about 5\.0 kB are needed"), disk_errors(tmp_path / "new", 5000):
        raise OSError(number, os.strerror(number))


def test_a_disk_that_is_full_of_files_is_told_from_one_that_is_full_of_bytes(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match=r"number of files, is what is used up"), disk_errors(tmp_path, 1):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_folder_that_can_not_be_written_is_explained_with_its_name_and_the_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TaskDataError, match=r"Not a directory.*file/folder.*data_dir="), disk_errors(tmp_path):
        (tmp_path / "file" / "folder").mkdir()


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(KeyError), disk_errors(tmp_path):
        raise KeyError
