from pathlib import Path

import pytest

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_preparation.samples import Collection
from mml.core.data_preparation.sources.folders import holds_splits, read_class_folders, read_split_folders
from mml.core.data_preparation.sources.listing import list_images
from mml.core.scripts.exceptions import TaskDataError
from tests.core.data_preparation.make_sources import class_folders, write_image


def classes_of(root: Path) -> Collection:
    return read_class_folders(list_images(root))


def splits_of(root: Path) -> Collection:
    return read_split_folders(list_images(root))


def labels(collection: Collection, split: DataSplit) -> list[str]:
    return [sample.label for sample in collection.samples if sample.split is split]


def test_the_first_folder_is_the_class_whatever_lies_below(tmp_path: Path) -> None:
    write_image(tmp_path / "cat" / "2020" / "a.png")
    write_image(tmp_path / "cat" / "b.png")
    write_image(tmp_path / "dog" / "x" / "y" / "c.png")
    found = classes_of(tmp_path)
    assert [(sample.sample_id, sample.label) for sample in found.samples] == [
        ("cat-2020-a", "cat"),
        ("cat-b", "cat"),
        ("dog-x-y-c", "dog"),
    ]
    assert found.samples[0].image == tmp_path / "cat" / "2020" / "a.png"


def test_odd_class_names_stay_and_ids_become_safe(tmp_path: Path) -> None:
    class_folders(tmp_path, {"T-shirt & Täsch (1)": 1, "猫": 1})
    found = classes_of(tmp_path)
    assert {sample.label for sample in found.samples} == {"T-shirt & Täsch (1)", "猫"}
    assert [sample.sample_id for sample in found.samples] == ["T-shirt_Tasch_1_-000", "000"]


def test_images_that_differ_by_suffix_only_get_ids_of_their_own(tmp_path: Path) -> None:
    write_image(tmp_path / "a" / "1.png")
    write_image(tmp_path / "a" / "1.jpg")
    ids = [sample.sample_id for sample in classes_of(tmp_path).samples]
    assert len(set(ids)) == 2
    assert all(sample_id.startswith("a-1-") for sample_id in ids)


def test_images_beside_class_folders_and_empty_folders_are_left_out_and_said(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 1, "b": 1, "c": 0})
    write_image(tmp_path / "preview.png")
    found = classes_of(tmp_path)
    assert len(found.samples) == 2
    assert found.notes == ["1 image left out that lie beside the class folders.", "Folders without images left out: c."]


def test_images_without_any_class_folder_are_refused_with_the_form_wanted(tmp_path: Path) -> None:
    write_image(tmp_path / "1.png")
    with pytest.raises(
        TaskDataError, match=r"its 1 image lie elsewhere\. Wanted: a folder per class, e\.g\. cats/1\.png"
    ):
        classes_of(tmp_path)


def test_a_table_that_may_be_the_manifest_is_pointed_at(tmp_path: Path) -> None:
    write_image(tmp_path / "1.png")
    (tmp_path / "annotations.csv").write_text("image,label\n")
    with pytest.raises(
        TaskDataError, match=r"If annotations\.csv lists the images, use mode\.source=.*annotations\.csv"
    ):
        classes_of(tmp_path)


def test_a_folder_without_images_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("")
    with pytest.raises(TaskDataError, match=r"it holds no image.*1 file left out.*\.md: 1"):
        classes_of(tmp_path)


def test_a_wrapping_folder_is_seen_and_named(tmp_path: Path) -> None:
    class_folders(tmp_path / "dataset", {"a": 1, "b": 1})
    assert classes_of(tmp_path).hint == (
        f"If the classes are the 2 folders in {tmp_path / 'dataset'}, use mode.source={tmp_path / 'dataset'}."
    )


@pytest.mark.parametrize("folders", [["a/x", "b/y"], ["a/x"], ["a", "b"]])
def test_other_nested_folders_are_no_wrapping(tmp_path: Path, folders: list[str]) -> None:
    class_folders(tmp_path, dict.fromkeys(folders, 1))
    assert classes_of(tmp_path).hint == ""


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train", "val", "test"), (2, 2, 2)),
        (("training", "validation", "testing"), (2, 2, 2)),
        (("Train", "valid", "TEST"), (2, 2, 2)),
        (("train", "dev", "other"), (2, 2, 0)),
    ],
)
def test_splits_go_by_many_names(tmp_path: Path, names: tuple[str, ...], expected: tuple[int, ...]) -> None:
    for name in names:
        class_folders(tmp_path / name, {"a": 1, "b": 1})
    found = splits_of(tmp_path)
    splits = (DataSplit.TRAIN, DataSplit.VAL, DataSplit.TEST)
    assert tuple(len(labels(found, split)) for split in splits) == expected
    assert labels(found, DataSplit.TRAIN) == ["a", "b"]


def test_images_of_one_name_in_two_splits_get_ids_of_their_own(tmp_path: Path) -> None:
    for name in ("train", "test"):
        class_folders(tmp_path / name, {"a": 1})
    assert [sample.sample_id for sample in splits_of(tmp_path).samples] == ["test-a-000", "train-a-000"]


def test_unlabelled_images_need_no_class_folder(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", {"a": 1, "b": 1})
    write_image(tmp_path / "unlabeled" / "1.png")
    write_image(tmp_path / "unlabeled" / "x" / "2.png")
    assert labels(splits_of(tmp_path), DataSplit.UNLABELED) == ["", ""]


def test_what_belongs_to_no_split_or_class_is_left_out_and_said(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", {"a": 1, "b": 1})
    class_folders(tmp_path / "other", {"a": 3})
    write_image(tmp_path / "test" / "1.png")
    write_image(tmp_path / "2.png")
    found = splits_of(tmp_path)
    assert len(found.samples) == 2
    assert sorted(found.notes) == [
        "1 image left out that lie in test, but in no class folder.",
        "4 images left out that lie outside the split folders.",
    ]


def test_a_source_without_training_images_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path / "test", {"a": 1, "b": 1})
    with pytest.raises(TaskDataError, match=r"no images for a task.*train/cats/1\.png"):
        splits_of(tmp_path)


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["train/a", "train/b", "test/a"], True),
        (["train/a", "val/a", "extra/a"], True),
        (["train/a", "train/b"], True),
        (["train", "test"], True),
        (["train"], False),
        (["train", "bus", "car"], False),
        (["train/old", "bus/new"], False),
        (["test/a", "val/a"], False),
        (["a", "b"], False),
    ],
)
def test_splits_are_told_from_classes_of_the_same_name(tmp_path: Path, folders: list[str], expected: bool) -> None:
    class_folders(tmp_path, dict.fromkeys(folders, 1))
    assert holds_splits(list_images(tmp_path)) is expected
