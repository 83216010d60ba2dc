from pathlib import Path

import pytest

from mml.core.data_preparation import registry
from mml.core.data_preparation.registry import (
    create_creator_func,
    create_dataset,
    register_dsetcreator,
    register_taskcreator,
)
from mml.core.data_preparation.task_creator import TaskCreator
from mml.core.scripts.exceptions import MMLMisconfigurationException, TaskNameError

REGISTRIES = ("_DATASET_CREATORS", "_TASKCREATORS", "_TASK_TO_DSET")


@pytest.fixture(autouse=True)
def own_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REGISTRIES:
        monkeypatch.setattr(registry, name, {})


def make_task(dset_path: Path) -> TaskCreator:
    return TaskCreator(dset_path, "shapes")


def make_dset() -> Path:
    return Path("/shapes")


def test_a_task_and_its_data_set_are_found_by_name() -> None:
    assert register_dsetcreator(dset_name="all_shapes")(make_dset) is make_dset
    assert register_taskcreator(task_name="shapes", dset_name="all_shapes")(make_task) is make_task
    assert registry._TASKCREATORS["shapes"] is make_task
    assert registry._TASK_TO_DSET == {"shapes": "all_shapes"}
    assert create_dataset("all_shapes") == Path("/shapes")


def test_a_task_may_need_no_data_set() -> None:
    register_taskcreator(task_name="shapes")(make_task)
    assert registry._TASK_TO_DSET == {"shapes": None}


def test_registering_the_same_function_again_is_harmless() -> None:
    for _ in range(2):
        register_dsetcreator("shapes")(make_dset)
        register_taskcreator("shapes", "shapes")(make_task)


def test_two_functions_of_one_name_are_refused_with_both_places() -> None:
    register_taskcreator("shapes", "shapes")(make_task)
    with pytest.raises(MMLMisconfigurationException, match=r"'shapes': .*make_task and .*other"):

        @register_taskcreator("shapes", "shapes")
        def other(dset_path: Path) -> TaskCreator:
            return make_task(dset_path)

    assert registry._TASKCREATORS["shapes"] is make_task


def test_a_name_that_can_not_be_a_task_is_refused() -> None:
    with pytest.raises(TaskNameError):
        register_taskcreator("../shapes")(make_task)


def test_a_data_set_that_nobody_creates_is_refused_with_the_way_out() -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"data set 'shapes'.*mode\.source="):
        create_dataset("shapes")


def test_one_function_can_create_a_family_of_tasks() -> None:
    def create(task: str, dset_path: Path, alias: str) -> TaskCreator:
        return TaskCreator(dset_path, f"{alias}_{task}")

    creators = [create_creator_func(create_func=create, task=task, alias="shapes") for task in ("round", "square")]
    assert [creator(Path("/x")).name for creator in creators] == ["shapes_round", "shapes_square"]
    assert creators[0](Path("/x")).dset_path == Path("/x")


def test_a_family_is_registered_one_by_one() -> None:
    def create(dset_path: Path, alias: str) -> TaskCreator:
        return TaskCreator(dset_path, alias)

    for alias in ("round", "square"):
        register_taskcreator(alias, "shapes")(create_creator_func(create, alias=alias))
    assert [registry._TASKCREATORS[name](Path("/x")).name for name in ("round", "square")] == ["round", "square"]
