"""A real cache of decoded images, as a training builds it."""

from pathlib import Path

from mml.core.data_loading.image_cache import ImageCache, TaskImages
from mml.core.data_loading.modality_loaders import Preprocessing
from mml.core.data_loading.task_index import TaskIndex
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.progress import RunProgress
from tests.support.tasks import make_task


def make_cache(data_dir: Path, name: str) -> Path:
    """Make a task and decode its images; return the folder of the cache."""
    folder = make_task(data_dir, name, per_class=2)
    struct = TaskStruct(TaskIndex(data_dir).header(name), folder)
    cache = ImageCache(data_dir, TaskImages(struct, Preprocessing(8, 8)))
    cache.open(RunProgress(enabled=False))
    return cache.folder
