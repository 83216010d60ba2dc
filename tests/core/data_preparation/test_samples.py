from pathlib import Path

import pytest

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_preparation.samples import Collection, Sample, class_order, safe_name, safe_names


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["dog", "cat", "dog"], ["cat", "dog"]),
        (["10", "9", "1"], ["1", "9", "10"]),
        (["-1", "+2", "0"], ["-1", "0", "+2"]),
        (["10", "9", "a"], ["10", "9", "a"]),
        (["01", "1"], ["01", "1"]),
        (["2_0", "3"], ["2_0", "3"]),
    ],
)
def test_classes_are_sorted_by_value_when_all_are_whole_numbers(labels: list[str], expected: list[str]) -> None:
    assert class_order(labels) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cats/001", "cats-001"),
        ("Äpfel & Birnen/Bild 1", "Apfel_Birnen-Bild_1"),
        ("../../etc/passwd", "etc-passwd"),
        ("猫", "image"),
        ("", "image"),
        ("a\\b", "a-b"),
        ("x" * 100, "x" * 100),
        ("keeps_.-these", "keeps_.-these"),
    ],
)
def test_a_name_is_made_safe_and_stays_readable(text: str, expected: str) -> None:
    assert safe_name(text) == expected


def test_a_long_name_is_cut_and_stays_unique() -> None:
    one, two = safe_name("x" * 300 + "1"), safe_name("x" * 300 + "2")
    assert one != two
    assert len(one) == len(two) == 120


def test_a_safe_name_stays_as_it_is() -> None:
    names = [safe_name(text) for text in ("a b", "é/è", "x" * 300)]
    assert [safe_name(name) for name in names] == names


@pytest.mark.parametrize("texts", [["a b", "a_b", "a/b"], ["Cat", "cat", "CAT"], ["猫", "狗"]])
def test_names_that_would_be_one_are_told_apart(texts: list[str]) -> None:
    names = safe_names(texts)
    assert len({name.lower() for name in names}) == len(texts)
    assert names == [safe_names(texts[::-1])[len(texts) - 1 - place] for place in range(len(texts))]


def test_equal_texts_are_told_apart_by_their_keys() -> None:
    names = safe_names(["a", "a", "b"], ["a.png", "a.jpg", "b.png"])
    assert len(set(names)) == 3
    assert names[2] == "b"


def test_a_name_that_is_no_text_becomes_safe() -> None:
    assert safe_name("caf\udce9").isascii()
    assert len(set(safe_names(["caf\udce9", "caf\udcea"]))) == 2


@pytest.mark.parametrize(("split", "expected"), [(DataSplit.TEST, True), (DataSplit.VAL, False)])
def test_a_collection_knows_whether_it_keeps_a_test_split(split: DataSplit, expected: bool) -> None:
    collection = Collection([Sample("1", Path("1.png"), "a"), Sample("2", Path("2.png"), "a", split)], "test")
    assert collection.has_test is expected
