from pathlib import Path

import pytest

from mml.core.data_loading.task_attributes import Modality, RGBInfo, Sizes, TaskType
from mml.core.data_loading.task_description import SampleDescription, TaskDescription
from mml.core.data_preparation.creation_report import class_rows, created_lines, show_created


def samples(prefix: str, classes: int, each: int) -> dict[str, SampleDescription]:
    return {
        f"{prefix}{number}": {Modality.IMAGE: "x.png", Modality.CLASS: number % classes}
        for number in range(each * classes)
    }


def task(classes: int = 3, unlabeled: int = 0) -> TaskDescription:
    train = samples("t", classes, 5)
    return TaskDescription(
        name="birds",
        task_type=TaskType.CLASSIFICATION,
        creation_protocol="Created from here.\n15 images.",
        means=RGBInfo(0.1, 0.2, 0.3),
        stds=RGBInfo(0.4, 0.5, 0.6),
        sizes=Sizes(min_height=8, max_height=8, min_width=10, max_width=1200),
        idx_to_class={number: f"class {number}" for number in range(classes)},
        train_folds=[list(train)[:8], list(train)[8:]],
        train_samples=train,
        test_samples=samples("e", classes, 1),
        unlabeled_samples={f"u{number}": {} for number in range(unlabeled)},
    )


def test_every_class_is_counted_per_split_and_summed_up() -> None:
    assert class_rows(task()) == [("class 0", 5, 1), ("class 1", 5, 1), ("class 2", 5, 1), ("all", 15, 3)]


def test_of_many_classes_the_last_are_one_row() -> None:
    rows = class_rows(task(classes=30))
    assert rows[18] == ("class 18", 5, 1)
    assert rows[19:] == [("... 11 more classes", 55, 11), ("all", 150, 30)]
    assert len(class_rows(task(classes=20))) == 21


def test_statistics_protocol_place_and_next_command_are_told() -> None:
    assert created_lines(task(), Path("/data/tasks/birds")) == [
        "3 classes, 2 folds of 7 to 8 samples",
        "images 8 pixels high and 10 to 1,200 wide, mean 0.100 0.200 0.300, std 0.400 0.500 0.600",
        "Created from here.",
        "15 images.",
        "It lies in /data/tasks/birds",
        "Next: mml train task=birds",
    ]


def test_samples_without_label_are_told() -> None:
    assert created_lines(task(unlabeled=2), Path("x"))[0].endswith("samples, 2 samples without label")


def test_statistics_that_are_missing_are_no_error() -> None:
    bare = task()
    bare.sizes = bare.means = bare.stds = None
    assert created_lines(bare, Path("x"))[1] == "images -, mean -, std -"


def test_all_of_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    show_created(task(), Path("/data/tasks/birds"))
    printed = capsys.readouterr().out
    assert "class 1" in printed
    assert printed.endswith("Next: mml train task=birds\n")
