from pathlib import Path

import pytest

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_preparation.sources.detect import SourceFormat, check_exists, find_manifest, read_source
from mml.core.scripts.exceptions import MMLMisconfigurationException, TaskDataError
from tests.core.data_preparation.make_sources import class_folders, idx_folder, write_image


def with_manifest(root: Path, name: str = "labels.csv") -> Path:
    class_folders(root, {"a": 2, "b": 2})
    (root / name).write_text("image,label\na/000.png,one\nb/000.png,two\n")
    return root


def test_class_folders_are_understood(tmp_path: Path) -> None:
    assert len(read_source(class_folders(tmp_path, {"a": 2, "b": 3})).samples) == 5


def test_split_folders_are_understood(tmp_path: Path) -> None:
    for split in ("train", "test"):
        class_folders(tmp_path / split, {"a": 2, "b": 2})
    assert read_source(tmp_path).has_test


def test_idx_files_are_understood(tmp_path: Path) -> None:
    assert len(read_source(idx_folder(tmp_path, train=4, test=2)).samples) == 6


@pytest.mark.parametrize("name", ["manifest.csv", "labels.csv"])
def test_a_manifest_in_a_folder_goes_before_its_folders(tmp_path: Path, name: str) -> None:
    assert {sample.label for sample in read_source(with_manifest(tmp_path, name)).samples} == {"one", "two"}


@pytest.mark.parametrize("name", ["anything.csv", "anything.tsv", "list.txt"])
def test_a_manifest_may_be_the_source_itself(tmp_path: Path, name: str) -> None:
    assert len(read_source(with_manifest(tmp_path, name) / name).samples) == 2


def test_the_form_asked_for_is_taken_whatever_else_is_there(tmp_path: Path) -> None:
    with_manifest(tmp_path)
    assert {sample.label for sample in read_source(tmp_path, SourceFormat.FOLDERS).samples} == {"a", "b"}


def test_folders_called_train_and_test_can_be_classes_when_asked(tmp_path: Path) -> None:
    class_folders(tmp_path, {"train": 2, "test": 2})
    found = read_source(tmp_path, SourceFormat.FOLDERS)
    assert {sample.label for sample in found.samples} == {"train", "test"}
    assert {sample.split for sample in found.samples} == {DataSplit.TRAIN}


def test_folders_of_mml_itself_are_left_out(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 1, "b": 1, "data/tasks": 5})
    assert len(read_source(tmp_path, skip=[tmp_path / "data"]).samples) == 2


@pytest.mark.parametrize("form", [SourceFormat.SPLITS, SourceFormat.IDX])
def test_a_source_that_has_another_form_is_refused(tmp_path: Path, form: SourceFormat) -> None:
    with pytest.raises(TaskDataError):
        read_source(class_folders(tmp_path, {"a": 1}), form)


def test_a_folder_without_manifest_is_refused_when_one_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"mode\.format=csv.*none of manifest\.csv, labels\.csv"):
        read_source(class_folders(tmp_path, {"a": 1}), SourceFormat.CSV)


@pytest.mark.parametrize(("name", "hint"), [("a.zip", "Unpack an archive first"), ("a.png", "Give the folder")])
def test_a_file_that_is_no_manifest_is_refused_with_what_would_do(tmp_path: Path, name: str, hint: str) -> None:
    write_image(tmp_path / "a.png").rename(tmp_path / name)
    with pytest.raises(MMLMisconfigurationException, match=rf"is a file, and no manifest.*{hint}"):
        read_source(tmp_path / name)


def test_a_source_that_does_not_exist_is_refused_with_what_is_there(tmp_path: Path) -> None:
    class_folders(tmp_path, {"images": 1})
    with pytest.raises(MMLMisconfigurationException, match=r"mode\.source=.*/image does not exist; .* holds: images"):
        check_exists(tmp_path / "image")


def test_the_nearest_folder_that_exists_is_shown(tmp_path: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match=rf"does not exist; {tmp_path} holds: -"):
        read_source(tmp_path / "far" / "away")


def test_a_table_of_another_name_is_no_manifest_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("")
    assert find_manifest(tmp_path) is None
