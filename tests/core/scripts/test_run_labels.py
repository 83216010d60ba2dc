"""Labels are kept whoever writes at the same time, and damage is told, not overwritten."""

import json
from pathlib import Path

import pytest

from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.run_labels import forget_labels, read_labels, set_label
from mml.core.scripts.runs import run_folders
from tests.support.runs import NAME, make_run
from tests.support.toy_scheduler import crowd


@pytest.fixture
def proj(tmp_path: Path) -> Path:
    make_run(tmp_path)
    return tmp_path / "default"


def test_label_is_kept_replaced_and_taken_away(proj: Path) -> None:
    assert read_labels(proj) == {}
    set_label(proj, NAME, "best")
    set_label(proj, "other", "öde\n")
    assert read_labels(proj) == {NAME: "best", "other": "öde\n"}
    set_label(proj, NAME, "better")
    assert read_labels(proj)[NAME] == "better"
    set_label(proj, NAME, None)
    set_label(proj, "never had one", None)
    assert read_labels(proj) == {"other": "öde\n"}


def test_file_is_json_for_people_and_no_run(proj: Path) -> None:
    set_label(proj, NAME, "best")
    assert json.loads((proj / "runs" / "labels.json").read_text()) == {NAME: "best"}
    assert [folder.name for folder in run_folders(proj)] == [NAME]


def test_many_at_once_lose_no_label(proj: Path) -> None:
    crowd(lambda number: set_label(proj, f"run_{number}", str(number)), 12)
    assert read_labels(proj) == {f"run_{number}": str(number) for number in range(12)}


def test_labels_of_runs_that_are_gone_are_forgotten(proj: Path) -> None:
    set_label(proj, "a", "x")
    set_label(proj, "b", "y")
    forget_labels(proj, {"a", "nope"})
    assert read_labels(proj) == {"b": "y"}


def test_nothing_is_written_where_there_is_nothing_to_forget(proj: Path) -> None:
    forget_labels(proj, {"a"})
    assert not (proj / "runs" / "labels.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', "\0"])
def test_damaged_file_is_no_label_and_is_not_overwritten(proj: Path, text: str) -> None:
    file = proj / "runs" / "labels.json"
    file.write_text(text)
    assert read_labels(proj) == {}
    with pytest.raises(MMLError, match=r"labels.json can't be understood"):
        set_label(proj, NAME, "best")
    assert file.read_text() == text


def test_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "p").touch()
    assert read_labels(tmp_path / "p") == {}
    with pytest.raises(MMLError, match=r"labels.json can't be changed"):
        set_label(tmp_path / "p", NAME, "best")
