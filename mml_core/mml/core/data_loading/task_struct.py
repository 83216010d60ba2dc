"""TaskStruct: what a scheduler knows of one task, and the change that a step makes to it."""

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mml.core.data_loading.task_attributes import Keyword, License, Modality, RGBInfo, Sizes, TaskType
from mml.core.data_loading.task_description import DESCRIPTION_FILE, TaskDescription, TaskHeader, load_description
from mml.core.scripts.exceptions import JournalError
from mml.core.scripts.model_storage import ModelStorage, record_builtins, record_from_builtins
from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.utils import TAG_SEP


class TaskStruct:
    """A task without its samples, plus the results that steps attached to it.

    Attributes:
        header: the description without the samples; its fields are attributes of the struct, too.
        folder: the task's folder; relative image paths of the description start there.
        paths: key -> file of an intermediate result.
        models: all models trained for this task, oldest first.
    """

    def __init__(self, header: TaskHeader, folder: Path) -> None:
        self.header = header
        self.folder = folder
        self.paths: dict[str, Path] = {}
        self.models: list[ModelStorage] = []

    def __repr__(self) -> str:
        return f"TaskStruct({self.name!r}, {self.task_type}, classes={self.num_classes}, models={len(self.models)})"

    @property
    def name(self) -> str:
        """Unique name of the task."""
        return self.header.name

    @property
    def task_type(self) -> TaskType:
        """What is to be learnt."""
        return self.header.task_type

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 where there are none, as in regression."""
        return len(self.header.idx_to_class)

    @property
    def idx_to_class(self) -> dict[int, str]:
        """Class index, as written in the samples -> class name."""
        return self.header.idx_to_class

    @property
    def class_occ(self) -> dict[str, int]:
        """Labelled samples per class name, train and test together."""
        return self.header.class_occ

    @property
    def num_samples(self) -> int:
        """Number of training samples, all folds together. Reads the whole description once."""
        return len(self.description.train_samples)

    @property
    def means(self) -> RGBInfo | None:
        """Per channel, over the training images, pixel values in [0, 1]."""
        return self.header.means

    @property
    def stds(self) -> RGBInfo | None:
        """Per channel, over all pixels of the training images, pixel values in [0, 1]."""
        return self.header.stds

    @property
    def sizes(self) -> Sizes | None:
        """Smallest and largest image, in pixels."""
        return self.header.sizes

    @property
    def modalities(self) -> dict[Modality, str]:
        """What every sample holds, and how it is stored."""
        return self.header.modalities

    @property
    def keywords(self) -> list[Keyword]:
        """What the images show."""
        return self.header.keywords

    @property
    def license(self) -> License:
        """The terms under which the images may be used."""
        return self.header.license

    @cached_property
    def description(self) -> TaskDescription:
        """The whole description with all samples, read on first use.

        Raises:
            TaskDescriptionError: the file is gone or damaged.
        """
        return load_description(self.folder / DESCRIPTION_FILE)


class StructState(NamedTuple):
    """What a step may change of a struct, in portable form, to compare by value."""

    paths: dict[str, str]
    models: list[Any]


class StructChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """The difference between two states of one struct, as the journal keeps it.

    Attributes:
        paths: key -> portable path, for what is new or other than before.
        removed: keys of paths that are gone.
        keep: how many of the first models are unchanged.
        models: the models after those.
    """

    paths: dict[str, str] = {}
    removed: list[str] = []
    keep: int = 0
    models: list[Any] = []


def state_of(struct: TaskStruct, roots: PathRoots) -> StructState:
    """Return a copy of what a step may change."""
    paths = {key: roots.to_text(Path(path)) for key, path in struct.paths.items()}
    return StructState(paths, [record_builtins(model, roots) for model in struct.models])


def difference(before: StructState, after: StructState) -> StructChange | None:
    """Return the change that makes `after` of `before`, or None when they are equal."""
    if before == after:
        return None
    keep = 0
    for old, new in zip(before.models, after.models, strict=False):
        if old != new:
            break
        keep += 1
    return StructChange(
        paths={key: path for key, path in after.paths.items() if before.paths.get(key) != path},
        removed=[key for key in before.paths if key not in after.paths],
        keep=keep,
        models=after.models[keep:],
    )


def apply_change(struct: TaskStruct, change: StructChange, roots: PathRoots) -> None:
    """Make a recorded change to a struct again.

    Raises:
        JournalError: the record is damaged.
    """
    try:
        paths = {key: roots.to_path(text) for key, text in change.paths.items()}
        models = [record_from_builtins(model, roots) for model in change.models]
    except ValueError as error:
        msg = f"The journal of the run is damaged in what it says of task '{struct.name}': {error}."
        raise JournalError(msg) from error
    for key in change.removed:
        struct.paths.pop(key, None)
    struct.paths.update(paths)
    struct.models[max(0, change.keep) :] = models


def undup_names(names: list[str]) -> list[str]:
    """Return the names of the original tasks behind a list of names with tags, each once, in order."""
    return list(dict.fromkeys(name.split(TAG_SEP)[0] for name in names))
