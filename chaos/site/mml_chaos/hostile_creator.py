"""The task `hostile`: made of whatever archives lie among the downloads of its data set, as a plugin would do it."""

from pathlib import Path

from mml.core.data_preparation.data_archive import DataKind
from mml.core.data_preparation.registry import register_dsetcreator, register_taskcreator

NAME = "hostile"


@register_dsetcreator(dset_name=NAME)
def create_dset() -> Path:
    """Unpack all files that were put there."""
    from mml.core.data_preparation.dset_creator import DSetCreator

    dset = DSetCreator(NAME)
    for path in sorted(dset.download_path.iterdir()):
        dset.verify_pre_download(path.name, DataKind.MIXED, "Put it there.")
    return dset.unpack_and_store()


@register_taskcreator(task_name=NAME, dset_name=NAME)
def create_task(dset_path: Path) -> object:
    """Make a task of the class folders that were unpacked."""
    from mml.core.data_preparation.sources.detect import read_source
    from mml.core.data_preparation.task_creator import TaskCreator

    creator = TaskCreator(dset_path, NAME)
    creator.use_collection(read_source(dset_path / DataKind.MIXED))
    return creator
