from typing import Any

import pytest

from mml.core.data_loading.description_checks import class_fault, colour_fault, files_fault, folds_fault, sizes_fault
from mml.core.data_loading.task_attributes import Modality, RGBInfo, Sizes

SAMPLES = dict.fromkeys("abcd")


@pytest.mark.parametrize("indices", [[], [0], [0, 1, 2], [2, 0, 1]])
def test_classes_from_0_without_gaps_are_fine(indices: list[int]) -> None:
    assert class_fault(dict.fromkeys(indices, "x")) is None


@pytest.mark.parametrize(("indices", "wrong"), [([1], 1), ([0, 2], 2), ([-1, 0], -1), ([0, 1, 10**9], 10**9)])
def test_other_class_indices_are_a_fault(indices: list[int], wrong: int) -> None:
    assert f"there can't be class {wrong} - at `$.idx_to_class`" in str(class_fault(dict.fromkeys(indices, "x")))


@pytest.mark.parametrize("sizes", [None, Sizes(1, 1, 1, 1), Sizes(28, 300, 5, 10_000)])
def test_sizes_of_images_are_fine(sizes: Sizes | None) -> None:
    assert sizes_fault(sizes) is None


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (Sizes(0, 5, 5, 5), "heights from 0 to 5"),
        (Sizes(5, 5, 9, 5), "widths from 9 to 5"),
        (Sizes(5, -5, 5, 5), "heights from 5 to -5"),
        (Sizes(5, 5, 5, 10**12), "widths from 5 to 1000000000000"),
    ],
)
def test_sizes_of_no_images_are_a_fault(sizes: Sizes, said: str) -> None:
    assert f"{said} pixels - at `$.sizes`" in str(sizes_fault(sizes))


@pytest.mark.parametrize("values", [None, RGBInfo(0, 0.5, 1)])
def test_colours_are_fine(values: RGBInfo | None) -> None:
    assert colour_fault("means", values) is None


@pytest.mark.parametrize("value", [-0.1, 1.1, 127.5, 1e300, float("nan"), float("inf")])
def test_other_numbers_are_no_colours(value: float) -> None:
    assert "at `$.stds`" in str(colour_fault("stds", RGBInfo(0.5, value, 0.5)))


@pytest.mark.parametrize("folds", [[], ["ab", "cd"], ["abcd", ""]])
def test_folds_that_are_all_samples_once_are_fine(folds: list[str]) -> None:
    assert folds_fault(folds, SAMPLES) is None


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        (["ab", "cdx"], "'x' is in a fold, but not among the training samples"),
        (["ab", "c"], "training sample 'd' is in no fold"),
        (["ab", "bcd"], "a sample is in two folds"),
        ([[]], "training sample 'a', 'b', 'c', ... is in no fold"),
    ],
)
def test_other_folds_are_a_fault(folds: Any, said: str) -> None:
    assert str(folds_fault(folds, SAMPLES)).startswith(said)


@pytest.mark.parametrize("name", ["images/a.png", "/elsewhere/a.png", "a..b.png", "..a/b", ""])
def test_files_are_fine(name: str) -> None:
    assert files_fault("train_samples", {"a": {Modality.IMAGE: name, Modality.CLASS: 1}, "b": {}}) is None


@pytest.mark.parametrize("key", [Modality.IMAGE, Modality.MASK])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../../secret.png", "leads out of the task's folder"),
        ("images/../../x", "leads out of the task's folder"),
        ("a\0b", "holds a zero byte"),
        (3, "has to be the path of a file"),
        ([1, 2], "has to be the path of a file"),
    ],
)
def test_files_elsewhere_and_no_files_are_a_fault(key: Modality, name: Any, said: str) -> None:
    fault = str(files_fault("test_samples", {"good": {key: "x.png"}, "bad": {key: name}}))
    assert said in fault
    assert "of sample 'bad'" in fault
    assert fault.endswith("at `$.test_samples`")
