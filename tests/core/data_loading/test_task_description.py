"""Task descriptions: read and written without loss, and refused by file and field."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.core.data_loading.task_attributes import Keyword, License, Modality, RGBInfo, Sizes, TaskType
from mml.core.data_loading.task_description import (
    TaskDescription,
    TaskHeader,
    decode_description,
    load_description,
    store_description,
    validate_task_name,
)
from mml.core.scripts.exceptions import TaskDescriptionError, TaskNameError


def full() -> TaskDescription:
    return TaskDescription(
        name="pets",
        task_type=TaskType.CLASSIFICATION,
        description="Cats & dogs, é",
        creation_protocol="photographed",
        reference="@pets",
        url="https://example.org",
        download="https://example.org/pets.zip",
        license=License.CC_BY_4_0,
        release="1.0",
        keywords=[Keyword.ANIMALS, Keyword.NATURAL_OBJECTS],
        means=RGBInfo(0.1, 0.2, 0.3),
        stds=RGBInfo(0.4, 0.5, 0.6),
        sizes=Sizes(8, 9, 10, 11),
        modalities={Modality.IMAGE: "png", Modality.CLASS: "int"},
        idx_to_class={0: "cat", 1: "dog"},
        class_occ={"cat": 2, "dog": 1},
        train_folds=[["a"], ["b"]],
        train_samples={
            "a": {Modality.IMAGE: "images/a.png", Modality.CLASS: 0},
            "b": {Modality.IMAGE: "/abs/b.png", Modality.VALUE: 0.5},
        },
        test_samples={"c": {Modality.IMAGE: "images/c.png", Modality.CLASSES: [0, 1]}},
        unlabeled_samples={"d": {Modality.IMAGE: "images/d.png", Modality.SOFT_CLASSES: [0.25, 0.75]}},
    )


def test_stored_description_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "pets" / "task.json"
    store_description(full(), path)
    assert load_description(path) == full()


def test_stored_description_has_the_names_and_words_of_the_published_format(tmp_path: Path) -> None:
    store_description(full(), tmp_path / "task.json")
    data = json.loads((tmp_path / "task.json").read_text(encoding="utf-8"))
    assert set(data) == set(
        [
            "name",
            "description",
            "creation_protocol",
            "reference",
            "url",
            "download",
            "license",
            "release",
            "task_type",
            "keywords",
            "means",
            "stds",
            "sizes",
            "modalities",
            "idx_to_class",
            "class_occ",
            "train_folds",
            "train_samples",
            "test_samples",
            "unlabeled_samples",
        ]
    )
    assert data["task_type"] == "classification"
    assert data["means"] == [0.1, 0.2, 0.3]
    assert data["idx_to_class"] == {"0": "cat", "1": "dog"}
    assert data["train_samples"]["a"] == {"image": "images/a.png", "class": 0}


def test_minimal_description_has_defaults() -> None:
    description = decode_description(b'{"name": "a", "task_type": "no_task"}', Path("x"))
    assert description == TaskDescription(name="a", task_type=TaskType.NO_TASK)
    assert (description.license, description.means, description.train_folds) == (License.UNKNOWN, None, [])


def test_header_is_the_description_without_samples(tmp_path: Path) -> None:
    store_description(full(), tmp_path / "task.json")
    header = decode_description((tmp_path / "task.json").read_bytes(), tmp_path, TaskHeader)
    assert header == full().header()
    assert type(header) is TaskHeader
    assert not hasattr(header, "train_samples")


def test_fields_of_a_later_version_are_ignored() -> None:
    assert decode_description(b'{"name": "a", "task_type": "no_task", "more": 1}', Path("x")).name == "a"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"task_type": "no_task"}', "missing required field `name`"),
        (b'{"name": "a"}', "missing required field `task_type`"),
        (b'{"name": "a", "task_type": "guessing"}', r"Invalid enum value 'guessing' - at `\$.task_type`"),
        (b'{"name": 3, "task_type": "no_task"}', r"Expected `str`, got `int` - at `\$.name`"),
        (b'{"name": "a", "task_type": "no_task", "keywords": ["cats"]}', r"'cats' - at `\$.keywords\[0\]`"),
        (b'{"name": "a", "task_type": "no_task", "idx_to_class": {"x": "a"}}', "idx_to_class"),
        (
            b'{"name": "a", "task_type": "no_task", "train_samples": {"s": {"image": null}}}',
            r"train_samples\[...\]\[...\]",
        ),
        (b'{"name": "a", "task_type": "no_task", "means": [1, 2]}', r"`\$.means`"),
        (b'{"more": ' + b"[" * 100_000, "recursion"),
        (b'{"name": "a", "task_type": "no_task", "description": "\xff"}', "utf-8"),
    ],
)
def test_bad_file_is_refused_by_path_and_field(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "task.json"
    path.write_bytes(content)
    with pytest.raises(
        TaskDescriptionError, match=rf"Task description .*task\.json can't be read: .*{fault}.*Mend the"
    ):
        load_description(path)


@given(st.binary(max_size=300) | st.text().map(str.encode) | st.from_regex(r'\{"name": ?.{0,80}\}').map(str.encode))
def test_any_bytes_are_a_description_or_a_clear_error(content: bytes) -> None:
    try:
        assert isinstance(decode_description(content, Path("task.json")), TaskDescription)
    except TaskDescriptionError as error:
        assert "task.json" in str(error)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskDescriptionError, match=r"task\.json can't be read: No such file or directory"):
        load_description(tmp_path / "task.json")


# --- names


@pytest.mark.parametrize(
    "name",
    [
        "digits",
        "a",
        "0",
        "fashion_mnist",
        "My-Task.v2",
        "a" * 100,
        "a+tag",
        "a+subset?0.5?x+other",
        "a+nested?b.c",
        "A_B",
    ],
)
def test_name_of_a_folder_is_fine(name: str) -> None:
    assert validate_task_name(name) == name


@pytest.mark.parametrize(
    ("name", "reason", "better"),
    [
        ("", "it is empty", "my_task"),
        ("a/b", "a character", "a_b"),
        ("a\\b", "a character", "a_b"),
        ("/a", "a character", "a"),
        ("..", r"holds '\.\.'", "my_task"),
        ("../a", r"holds '\.\.'", "a"),
        ("a..b", r"holds '\.\.'", "a_b"),
        ("my task", "a character", "my_task"),
        (".hidden", "starts with one", "hidden"),
        ("-a", "starts with one", "a"),
        ("_a", "starts with one", "a"),
        ("a,b", "a character", "a_b"),
        ("a=b", "a character", "a_b"),
        ("[a]", "a character", "a"),
        ("a\nb", "a character", "a_b"),
        ("a\0b", "a character", "a_b"),
        ("été", "a character", "t"),
        ("🐈", "a character", "my_task"),
        ("TASK_NAME", "'TASK_NAME' is a token", "task_name"),
        ("x_FILE_NAME_y", "'FILE_NAME' is a token", "x_file_name_y"),
        ("a+PROJ_PATH", "'PROJ_PATH' is a token", "a_proj_path"),
        ("TEMP_PATH", "'TEMP_PATH' is a token", "temp_path"),
        ("a" * 101, "longer than 100 bytes", "a" * 100),
        ("a+", "a character", "a"),
        ("+a", "it is empty", "a"),
        ("a+b/c", "a character", "a_b_c"),
        ("a?b", "a character", "a_b"),
        ("\udce9", "a character", "my_task"),
    ],
)
def test_other_name_is_refused_with_the_reason_and_a_better_one(name: str, reason: str, better: str) -> None:
    with pytest.raises(TaskNameError, match=f"can't be the name of a task: .*{reason}.* e.g. '{better}'"):
        validate_task_name(name)
    assert validate_task_name(better) == better


@given(st.text(max_size=120))
def test_any_text_is_a_name_or_has_a_better_one(name: str) -> None:
    try:
        validate_task_name(name)
    except TaskNameError as error:
        better = str(error).rsplit("e.g. '", 1)[1].removesuffix("'.")
        assert validate_task_name(better) == better
    else:
        assert Path(name).name == name


def test_description_says_what_it_holds_in_plain_values() -> None:
    samples: dict[str, Any] = json.loads(json.dumps(full().train_samples))
    assert samples["b"] == {"image": "/abs/b.png", "value": 0.5}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"idx_to_class": {"0": "cat", "5": "dog"}}, "there can't be class 5 - at `$.idx_to_class`"),
        ({"sizes": {"min_height": 0, "max_height": 1, "min_width": 1, "max_width": 1}}, "heights from 0 to 1"),
        ({"means": [0, 0, 255]}, "at `$.means`"),
        ({"stds": [0, 0, -1]}, "at `$.stds`"),
        ({"train_folds": [["nobody"]]}, "'nobody' is in a fold"),
        ({"unlabeled_samples": {"u": {"image": "../../x.png"}}}, "leads out of the task's folder"),
    ],
)
def test_what_no_task_can_be_is_refused_by_field(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "task.json"
    store_description(full(), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(TaskDescriptionError) as caught:
        load_description(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"Task description {path} can't be read: ")
    assert str(caught.value).endswith("Mend the file, or create the task again.")


def test_classes_come_by_index_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    names = {str(index): f"class {index}" for index in range(12)}
    data = json.dumps({"name": "a", "task_type": "no_task", "idx_to_class": dict(sorted(names.items()))})
    assert list(decode_description(data.encode(), "x", TaskHeader).idx_to_class) == list(range(12))
