"""The import paths that users and authors of plugins rely on."""

from importlib import import_module

import pytest

PUBLIC = [
    "mml.core.scripts.base_scheduler.AbstractBaseScheduler",
    "mml.core.scripts.create_scheduler.CreateScheduler",
    "mml.core.scripts.utils.Singleton",
    "mml.core.scripts.model_storage.ModelStorage",
    "mml.core.data_loading.file_manager.MMLFileManager",
    "mml.core.data_loading.task_struct.TaskStruct",
    "mml.testing.RunnerContract",
    "mml.testing.SchedulerContract",
]
BASE_SCHEDULER = [
    "add_step",
    "after_preparation_hook",
    "before_finishing_hook",
    "create_datamodule",
    "create_model",
    "create_routine",
    "create_trainer",
    "get_struct",
    "lightning_tune",
    "run",
]
FILE_MANAGER = ["add_assignment_path", "clear_instance", "construct_saving_path", "exists", "instance"]
STRUCT = ["name", "num_classes", "task_type"]


def load(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("path", PUBLIC)
def test_public_class_is_where_it_is_imported_from(path: str) -> None:
    kind = load(path)
    assert isinstance(kind, type)
    assert f"{kind.__module__}.{kind.__name__}" == path


@pytest.mark.parametrize(
    ("path", "names"),
    [(PUBLIC[0], BASE_SCHEDULER), (PUBLIC[4], FILE_MANAGER), (PUBLIC[5], STRUCT)],
    ids=["scheduler", "file manager", "struct"],
)
def test_public_class_has_the_names_of_the_reference(path: str, names: list[str]) -> None:
    assert [name for name in names if not hasattr(load(path), name)] == []
