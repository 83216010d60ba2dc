from pathlib import Path

import numpy as np
import pytest

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_preparation.checks import check_readable, check_samples, path_text
from mml.core.data_preparation.image_store import ImageRecord
from mml.core.data_preparation.samples import Collection, Sample
from mml.core.data_preparation.statistics import ImageStats
from mml.core.scripts.exceptions import TaskDataError

STATS = ImageStats(1, 1, (0, 0, 0), (0, 0, 0))


def sample(name: str, label: str, split: DataSplit = DataSplit.TRAIN) -> Sample:
    return Sample(name, Path(f"{name}.png"), label, split)


def collection(*samples: Sample, hint: str = "") -> Collection:
    return Collection(list(samples), "a test", hint=hint)


def records(found: Collection, *faulty: str) -> list[ImageRecord]:
    return [
        ImageRecord(s.sample_id, "", "", 0, None, "broken")
        if s.sample_id in faulty
        else ImageRecord(s.sample_id, "x", "", 1, STATS)
        for s in found.samples
    ]


def test_two_classes_are_a_task() -> None:
    check_samples(collection(sample("1", "a"), sample("2", "b", DataSplit.VAL), sample("3", "a", DataSplit.TEST)), "t")


def test_nothing_is_refused_with_where_it_was_looked_for() -> None:
    with pytest.raises(TaskDataError, match="no images for task 't' in a test"):
        check_samples(collection(), "t")


def test_one_class_is_refused_with_its_name_number_and_the_hint() -> None:
    found = collection(sample("1", "a"), sample("2", "a"), hint="Look below.")
    with pytest.raises(TaskDataError, match=r"fewer than two classes \('a': 2 training images\)\. Look below\."):
        check_samples(found, "t")


def test_a_class_that_is_only_tested_is_refused_with_its_name() -> None:
    found = collection(sample("1", "cat"), sample("2", "dog"), sample("3", "Cat", DataSplit.TEST))
    with pytest.raises(TaskDataError, match=r"'Cat': 1 to test.*'cat', 'dog'.*spelt"):
        check_samples(found, "t")


def test_unlabelled_samples_are_no_class() -> None:
    found = collection(sample("1", "a"), sample("2", "", DataSplit.UNLABELED))
    with pytest.raises(TaskDataError, match="fewer than two classes"):
        check_samples(found, "t")


def test_an_id_that_comes_up_twice_is_refused() -> None:
    with pytest.raises(TaskDataError, match="share ids.*: 1"):
        check_samples(collection(sample("1", "a"), sample("1", "b")), "t")


def test_readable_images_stay() -> None:
    found = collection(sample("1", "a"), sample("2", "b"))
    check_readable(found, records(found), skip=False, task="t")
    assert len(found.samples) == 2
    assert not found.notes


def test_unreadable_images_are_refused_with_number_reason_and_the_first_ten() -> None:
    found = collection(*(sample(f"{number:02}", "ab"[number % 2]) for number in range(30)))
    faulty = records(found, *(f"{number:02}" for number in range(12)))
    with pytest.raises(
        TaskDataError, match=r"12 images of 30 .*00\.png \(broken\).*09\.png.*2 more.*skip_unreadable"
    ) as raised:
        check_readable(found, faulty, skip=False, task="t")
    assert "10.png" not in str(raised.value)


def test_unreadable_images_are_left_out_when_told_and_it_is_said() -> None:
    found = collection(sample("1", "a"), sample("2", "b"), sample("3", "a"))
    check_readable(found, records(found, "3"), skip=True, task="t")
    assert [s.sample_id for s in found.samples] == ["1", "2"]
    assert found.notes == ["Left out as unreadable: 3.png (broken)."]


def test_a_class_of_which_nothing_can_be_read_is_refused_even_then() -> None:
    found = collection(sample("1", "a"), sample("2", "b"), sample("3", "c"))
    with pytest.raises(TaskDataError, match="No training image of these classes.* c"):
        check_readable(found, records(found, "3"), skip=True, task="t")


def test_a_name_that_is_no_text_can_be_shown() -> None:
    assert path_text(Path("caf\udce9.png")) == "caf\\xe9.png"
    assert path_text(np.zeros(3)) == "pixels"
