"""Task structs: the header as attributes, and changes as values."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.core.data_loading.task_attributes import License, Modality, TaskType
from mml.core.data_loading.task_description import TaskHeader
from mml.core.data_loading.task_index import TaskIndex
from mml.core.data_loading.task_struct import (
    StructChange,
    StructState,
    TaskStruct,
    apply_change,
    difference,
    state_of,
    undup_names,
)
from mml.core.scripts.exceptions import JournalError, TaskDescriptionError
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.portable_paths import PathRoots
from tests.support.tasks import make_task

ROOTS = PathRoots(Path("/results"), Path("/data"))
CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def bare() -> TaskStruct:
    return TaskStruct(TaskHeader(name="a", task_type=TaskType.NO_TASK), Path("/data/tasks/a"))


def model(fold: int, **fields: Any) -> ModelStorage:
    return ModelStorage(task="a", fold=fold, parameters=Path(f"/results/{fold}"), created=CREATED, **fields)


def test_header_is_there_as_attributes(tmp_path: Path) -> None:
    folder = make_task(tmp_path, "pets", classes=3, per_class=2, size=(8, 6))
    header = TaskIndex(tmp_path).header("pets")
    struct = TaskStruct(header, folder)
    assert (struct.name, struct.task_type, struct.num_classes) == ("pets", TaskType.CLASSIFICATION, 3)
    assert struct.idx_to_class == {0: "class_0", 1: "class_1", 2: "class_2"}
    assert struct.class_occ == {f"class_{k}": 3 for k in range(3)}
    assert (struct.means, struct.stds, struct.sizes) == (header.means, header.stds, header.sizes)
    assert struct.modalities == {Modality.IMAGE: "png", Modality.CLASS: "int"}
    assert (struct.keywords, struct.license) == ([], License.UNKNOWN)
    assert struct.paths == {}
    assert struct.models == []


def test_samples_are_read_on_first_use_and_kept(tmp_path: Path) -> None:
    folder = make_task(tmp_path, "pets", per_class=2)
    struct = TaskStruct(TaskIndex(tmp_path).header("pets"), folder)
    assert struct.num_samples == 6
    (folder / "task.json").unlink()
    assert len(struct.description.test_samples) == 3


def test_description_that_is_gone_is_told(tmp_path: Path) -> None:
    struct = TaskStruct(TaskHeader(name="a", task_type=TaskType.NO_TASK), tmp_path / "a")
    with pytest.raises(TaskDescriptionError, match=r"a/task\.json can't be read: No such file"):
        struct.num_samples  # noqa: B018


def test_struct_shows_what_it_is() -> None:
    struct = bare()
    struct.models.append(model(0))
    assert repr(struct) == "TaskStruct('a', no_task, classes=0, models=1)"


def test_regression_has_no_classes() -> None:
    assert TaskStruct(TaskHeader(name="a", task_type=TaskType.REGRESSION), Path("/x")).num_classes == 0


# --- changes


def test_state_is_a_copy_in_portable_form() -> None:
    struct = bare()
    struct.paths["x"] = Path("/results/p/x")
    struct.models.append(model(0, metrics=[{"a": [1]}]))
    state = state_of(struct, ROOTS)
    assert state.paths == {"x": "p/x"}
    struct.models[0].metrics[0]["a"].append(2)
    struct.paths.clear()
    assert state.models[0]["metrics"] == [{"a": [1]}]
    assert state.paths == {"x": "p/x"}


def test_equal_states_have_no_difference() -> None:
    assert difference(StructState({"a": "1", "b": "2"}, [1]), StructState({"b": "2", "a": "1"}, [1])) is None


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (({}, []), ({"a": "1"}, []), StructChange(paths={"a": "1"})),
        (({"a": "1"}, []), ({"a": "2"}, []), StructChange(paths={"a": "2"})),
        (({"a": "1"}, []), ({}, []), StructChange(removed=["a"])),
        (({}, [1, 2]), ({}, [1, 2, 3]), StructChange(keep=2, models=[3])),
        (({}, [1, 2]), ({}, [1]), StructChange(keep=1)),
        (({}, [1, 2]), ({}, [0, 2]), StructChange(models=[0, 2])),
        (({"a": "1"}, [1]), ({"a": "1", "b": "2"}, [1]), StructChange(paths={"b": "2"}, keep=1)),
    ],
)
def test_difference_holds_what_is_new(before: Any, after: Any, change: StructChange) -> None:
    assert difference(StructState(*before), StructState(*after)) == change


PATHS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["p/1", "data:2", "/3"]))
FOLDS = st.lists(st.integers(0, 2), max_size=4)


@given(PATHS, FOLDS, PATHS, FOLDS)
def test_difference_makes_the_one_state_of_the_other(
    paths: dict[str, str], folds: list[int], later_paths: dict[str, str], later_folds: list[int]
) -> None:
    struct, later = bare(), bare()
    for target, given_paths, given_folds in ((struct, paths, folds), (later, later_paths, later_folds)):
        target.paths = {key: ROOTS.to_path(text) for key, text in given_paths.items()}
        target.models = [model(fold) for fold in given_folds]
    change = difference(state_of(struct, ROOTS), state_of(later, ROOTS))
    if change is not None:
        recorded = msgspec.convert(msgspec.json.decode(msgspec.json.encode(change)), StructChange)
        apply_change(struct, recorded, ROOTS)
    assert (struct.paths, struct.models) == (later.paths, later.models)


def test_removing_what_is_gone_already_is_harmless() -> None:
    struct = bare()
    apply_change(struct, StructChange(removed=["x"]), ROOTS)
    assert struct.paths == {}


def test_change_takes_no_more_room_than_it_needs() -> None:
    assert msgspec.json.encode(StructChange(paths={"a": "1"})) == b'{"paths":{"a":"1"}}'


@pytest.mark.parametrize(
    ("names", "originals"),
    [
        ([], []),
        (["a", "b"], ["a", "b"]),
        (["b+x", "a", "b+y?1", "a"], ["b", "a"]),
        (["a+t+s"], ["a"]),
    ],
)
def test_originals_behind_names_with_tags(names: list[str], originals: list[str]) -> None:
    assert undup_names(names) == originals


@pytest.mark.parametrize(
    "change",
    [
        StructChange(paths={"fim": "../../etc/passwd"}),
        StructChange(models=[{"task": "a"}]),
        StructChange(models=[{"task": "a", "fold": 0, "parameters": "../x", "created": "2026-01-01T00:00:00Z"}]),
        StructChange(models=["no model"]),
    ],
)
def test_a_damaged_change_is_an_error_and_changes_nothing(change: StructChange) -> None:
    struct = bare()
    struct.paths["kept"] = Path("/results/kept")
    with pytest.raises(JournalError, match="what it says of task 'a'"):
        apply_change(struct, change, ROOTS)
    assert (struct.paths, struct.models) == ({"kept": Path("/results/kept")}, [])


def test_no_model_is_kept_twice_however_many_a_change_says() -> None:
    struct = bare()
    struct.models = [model(0), model(1)]
    apply_change(struct, StructChange(keep=-1), ROOTS)
    assert struct.models == []
