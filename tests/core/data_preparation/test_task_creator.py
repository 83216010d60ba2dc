from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mml.core.data_loading.task_attributes import DataSplit, Keyword, License, Modality, RGBInfo, TaskType
from mml.core.data_loading.task_description import DESCRIPTION_FILE, TaskDescription, load_description
from mml.core.data_preparation.options import CopyMode, CreateOptions
from mml.core.data_preparation.samples import Collection, Sample
from mml.core.data_preparation.sources.detect import read_source
from mml.core.data_preparation.task_creator import RawSample, TaskCreator
from mml.core.scripts.exceptions import MMLMisconfigurationException, TaskDataError, TaskNameError
from tests.core.data_preparation.make_sources import class_folders, write_image


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "source", {"cat": 10, "dog": 15})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "made").mkdir()
    return tmp_path / "made"


def creator_of(source: Path, **header: Any) -> TaskCreator:
    creator = TaskCreator(source, "pets", **header)
    creator.use_collection(read_source(source))
    return creator


def build(creator: TaskCreator, folder: Path, **options: Any) -> TaskDescription:
    return creator.build(folder, CreateOptions(**options), lambda _: None)


def raw(source: Path, name: str, label: int) -> RawSample:
    path = write_image(source / f"{name}.png")
    return {Modality.SAMPLE_ID: name, Modality.IMAGE: path, Modality.CLASS: label}


def test_a_task_is_described_whole(source: Path, folder: Path) -> None:
    task = build(creator_of(source), folder)
    assert load_description(folder / DESCRIPTION_FILE) == task
    assert (task.name, task.task_type) == ("pets", TaskType.CLASSIFICATION)
    assert task.idx_to_class == {0: "cat", 1: "dog"}
    assert task.class_occ == {"cat": 10, "dog": 15}
    assert task.modalities == {Modality.IMAGE: "png", Modality.CLASS: "int"}
    assert (len(task.train_samples), len(task.test_samples)) == (20, 5)
    assert sorted(sum(task.train_folds, [])) == sorted(task.train_samples)
    assert {path.name for path in folder.iterdir()} == {"images", "images.jsonl", "task.json"}


def test_every_sample_names_its_class_and_an_image_that_is_there(source: Path, folder: Path) -> None:
    task = build(creator_of(source), folder)
    for sample_id, sample in {**task.train_samples, **task.test_samples}.items():
        name = task.idx_to_class[int(str(sample[Modality.CLASS]))]
        original = source / name / f"{sample_id.removeprefix(name + '-')}.png"
        assert (folder / str(sample[Modality.IMAGE])).read_bytes() == original.read_bytes()


def test_statistics_are_those_of_the_training_images_alone(tmp_path: Path, folder: Path) -> None:
    for split, value in (("train", 51), ("test", 255)):
        for name in ("a", "b"):
            for number in range(5):
                write_image(tmp_path / "source" / split / name / f"{number}.png", value)
    task = build(creator_of(tmp_path / "source"), folder)
    assert task.means == RGBInfo(0.2, 0.2, 0.2)
    assert task.stds == RGBInfo(0, 0, 0)


def test_what_a_creator_and_the_user_know_gets_into_the_header_and_the_user_wins(source: Path, folder: Path) -> None:
    creator = creator_of(
        source, desc="d", ref="r", url="u", instr="i", lic=License.MIT, release="1", keywords=[Keyword.ANIMALS]
    )
    task = build(creator, folder, header={"description": "mine", "license": License.CUSTOM})
    assert (task.description, task.license) == ("mine", License.CUSTOM)
    assert (task.reference, task.url, task.download, task.release) == ("r", "u", "i", "1")
    assert task.keywords == [Keyword.ANIMALS]


def test_the_protocol_says_where_from_how_and_what_was_left_out(source: Path, folder: Path) -> None:
    (source / "cat" / "notes.txt").write_text("")
    (source / "dog" / "x.png").write_text("")
    creator = creator_of(source)
    creator.protocol("Checked by hand.")
    lines = build(creator, folder, skip_unreadable=True).creation_protocol.splitlines()
    assert lines == [
        f"Created from class folders of {source}.",
        "26 images, mode.copy=copy.",
        "1 unreadable image left out (mode.skip_unreadable=true).",
        "1 file left out that no image format has as suffix (.txt: 1).",
        "Checked by hand.",
        f"Left out as unreadable: {source / 'dog' / 'x.png'} (the file is empty).",
    ]


def test_unreadable_images_are_refused_by_name(source: Path, folder: Path) -> None:
    (source / "dog" / "x.png").write_text("no image")
    with pytest.raises(TaskDataError, match=r"1 image of 26 .*dog/x\.png \(no known image format\)"):
        build(creator_of(source), folder)
    assert not (folder / DESCRIPTION_FILE).exists()


def test_images_that_stay_where_they_are_are_described_by_absolute_paths(source: Path, folder: Path) -> None:
    task = build(creator_of(source), folder, copy=CopyMode.REFERENCE)
    paths = {str(sample[Modality.IMAGE]) for sample in task.train_samples.values()}
    assert all(Path(path).is_relative_to(source) for path in paths)
    assert not list(folder.rglob("*.png"))


def test_pixels_become_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    samples = [
        Sample(f"s{number}", rng.integers(0, 256, (4, 5), dtype=np.uint8), "ab"[number % 2]) for number in range(20)
    ]
    creator = TaskCreator(None, "noise")
    creator.use_collection(Collection(samples, "noise"))
    task = build(creator, folder)
    with Image.open(folder / "images" / "0" / "s0.png") as image:
        assert image.size == (5, 4)
    assert task.sizes is not None
    assert (task.sizes.max_height, task.sizes.max_width) == (4, 5)


def test_classes_given_keep_their_places_even_without_samples(source: Path, folder: Path) -> None:
    creator = creator_of(source)
    creator.collection.classes = ["fish", "dog", "cat"]
    task = build(creator, folder)
    assert task.idx_to_class == {0: "fish", 1: "dog", 2: "cat"}
    assert task.class_occ == {"fish": 0, "dog": 15, "cat": 10}


def test_unlabelled_samples_are_described_without_class(source: Path, folder: Path, tmp_path: Path) -> None:
    creator = creator_of(source)
    plain = Sample("plain", write_image(tmp_path / "plain.jpg"), "", DataSplit.UNLABELED)
    creator.collection.samples.append(plain)
    task = build(creator, folder)
    assert task.unlabeled_samples == {"plain": {Modality.IMAGE: "images/unlabeled/plain.jpg"}}
    assert sum(task.class_occ.values()) == 25
    assert task.modalities[Modality.IMAGE] == "jpg, png"


def test_ids_stay_while_file_names_become_safe(tmp_path: Path, folder: Path) -> None:
    ids = ["p/1", "p 1", "../x", "Ä", "o", "O"]
    samples = [Sample(name, write_image(tmp_path / f"{n}.p!g.png"), "ab"[n % 2]) for n, name in enumerate(ids)]
    odd = write_image(tmp_path / "x.png").rename(tmp_path / "x.p n")
    creator = TaskCreator(None, "odd")
    creator.use_collection(Collection([*samples, Sample("odd", odd, "a")], "odd"))
    task = build(creator, folder, test_fraction=0, folds=2)
    assert set(task.train_samples) == {*ids, "odd"}
    paths = [str(sample[Modality.IMAGE]) for sample in task.train_samples.values()]
    assert len({path.lower() for path in paths}) == 7
    assert all((folder / path).resolve().is_relative_to(folder / "images") for path in paths)
    assert task.train_samples["odd"][Modality.IMAGE] == "images/0/odd"


def test_a_creator_hands_over_iterators(tmp_path: Path, folder: Path) -> None:
    creator = TaskCreator(tmp_path, "pets")
    creator.find_data(
        train_iterator=[raw(tmp_path, f"t{number}", number % 2 + 1) for number in range(8)],
        test_iterator=iter([raw(tmp_path, "e0", 1)]),
        unlabeled_iterator=[{Modality.SAMPLE_ID: "u0", Modality.IMAGE: write_image(tmp_path / "u0.png")}],
        idx_to_class={1: "one", 2: "two"},
    )
    task = build(creator, folder, folds=2)
    assert task.idx_to_class == {0: "one", 1: "two"}
    assert [task.train_samples[name][Modality.CLASS] for name in ("t0", "t1")] == [0, 1]
    assert (list(task.test_samples), list(task.unlabeled_samples)) == (["e0"], ["u0"])


@pytest.mark.parametrize(
    "part",
    [{Modality.CLASS: 3}, {Modality.CLASS: "x"}, {Modality.SAMPLE_ID: None}, {Modality.IMAGE: None}],
    ids=["unknown class", "no number", "no id", "no image"],
)
def test_a_sample_that_lacks_a_part_is_refused_and_shown(tmp_path: Path, part: Mapping[Modality, Any]) -> None:
    merged = {**raw(tmp_path, "t0", 1), **part}
    broken = {key: value for key, value in merged.items() if value is not None}
    with pytest.raises(TaskDataError, match=r"A train sample of task 'pets' lacks"):
        TaskCreator(tmp_path, "pets").find_data(train_iterator=[broken], idx_to_class={1: "one", 2: "two"})


def test_a_creator_may_fix_the_number_of_folds(source: Path, folder: Path) -> None:
    creator = creator_of(source)
    creator.split_folds(n_folds=3)
    assert len(build(creator, folder, folds=5).train_folds) == 3


def test_a_creator_may_fix_the_folds(source: Path, folder: Path) -> None:
    creator = creator_of(source)
    ids = [sample.sample_id for sample in creator.collection.samples]
    creator.use_existing_folds([ids[:12], ids[12:]])
    assert build(creator, folder, test_fraction=0).train_folds == [ids[:12], ids[12:]]


def test_other_types_of_task_are_refused() -> None:
    with pytest.raises(MMLMisconfigurationException, match="type regression; only tasks of type classification"):
        TaskCreator(None, "pets", task_type=TaskType.REGRESSION)


def test_a_name_that_can_not_be_a_folder_is_refused() -> None:
    with pytest.raises(TaskNameError):
        TaskCreator(None, "../pets")


def test_an_interrupted_build_ends_as_one_that_was_not(source: Path, folder: Path, tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        creator_of(source).build(folder, CreateOptions(), stop)
    (tmp_path / "other").mkdir()
    again = build(creator_of(source), folder)
    assert again == build(creator_of(source), tmp_path / "other")


def test_links_that_had_to_be_copies_are_said(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    assert (
        "25 images copied, because a hard link"
        in build(creator_of(source), folder, copy=CopyMode.HARDLINK).creation_protocol
    )
