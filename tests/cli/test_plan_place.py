"""Where the files of a plan would be is looked at before anything is written."""

import os
from pathlib import Path

import pytest

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.plan_place import free_space, refuse_unwritable


def test_the_disk_of_a_folder_that_is_not_there_is_that_of_the_next_one_above(tmp_path: Path) -> None:
    free = free_space(tmp_path / "a" / "b")
    assert free is not None
    assert free > 0
    (tmp_path / "file").touch()
    assert free_space(tmp_path / "file" / "below") is None


def test_a_folder_that_can_be_made_is_fine(tmp_path: Path) -> None:
    refuse_unwritable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MMLMisconfigurationException, match="Not a directory"):
        refuse_unwritable(tmp_path / "file" / "runs")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(MMLMisconfigurationException, match=r"Permission denied\. Choose another folder with out_dir="):
        refuse_unwritable(tmp_path / "runs")
