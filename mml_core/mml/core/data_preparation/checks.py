"""What samples have to be like to become a task, checked before and after their images were read."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_preparation.image_store import ImageRecord
from mml.core.data_preparation.samples import Collection, Sample
from mml.core.scripts.exceptions import TaskDataError
from mml.report.tables import count_text, list_text

_MOST_NAMED = 10


def check_samples(collection: Collection, task: str) -> None:
    """Make sure that samples can become a classification task.

    Raises:
        TaskDataError: there are none, ids come up twice, there is one class only, or a class can't be learnt; with
            numbers.
    """
    samples = collection.samples
    if not samples:
        msg = f"There are no images for task '{task}' in {collection.origin}."
        raise TaskDataError(msg)
    _refuse_repeated_ids(samples, task)
    trained = Counter(sample.label for sample in samples if sample.split in (DataSplit.TRAIN, DataSplit.VAL))
    if len(trained) < 2:
        found = list_text(f"'{name}': {count_text(number, 'training image')}" for name, number in trained.items())
        msg = f"Task '{task}' would have fewer than two classes ({found}). {collection.hint}".rstrip()
        raise TaskDataError(msg)
    _refuse_untrained_classes(samples, trained, task)


def check_readable(collection: Collection, records: Sequence[ImageRecord], skip: bool, task: str) -> None:
    """Leave samples out of a collection whose image can't be read, when that is allowed.

    Args:
        collection: loses the samples.
        records: one per sample, in the same order.
        skip: whether unreadable images may be left out.
        task: name of the task.

    Raises:
        TaskDataError: it is not allowed, or what is left can't become a task; names the images.
    """
    faults = [
        f"{path_text(sample.image)} ({record.fault})"
        for sample, record in zip(collection.samples, records, strict=True)
        if record.fault
    ]
    if not faults:
        return
    shown = list_text(faults, _MOST_NAMED)
    if not skip:
        msg = (
            f"{count_text(len(faults), 'image')} of {len(records)} for task '{task}' can't be read: {shown}. Mend or "
            "remove them, or leave them out with mode.skip_unreadable=true."
        )
        raise TaskDataError(msg)
    before = _trained_labels(collection)
    collection.samples = [
        sample for sample, record in zip(collection.samples, records, strict=True) if not record.fault
    ]
    if lost := sorted(before - _trained_labels(collection)):
        msg = f"No training image of these classes of task '{task}' can be read: {list_text(lost, _MOST_NAMED)}."
        raise TaskDataError(msg)
    collection.notes.append(f"Left out as unreadable: {shown}.")
    check_samples(collection, task)


def path_text(image: object) -> str:
    """Return what to call an image in a message; a name that is no UTF-8 is shown in part."""
    return os.fsencode(str(image)).decode("utf-8", "backslashreplace") if isinstance(image, Path) else "pixels"


def _trained_labels(collection: Collection) -> set[str]:
    return {sample.label for sample in collection.samples if sample.split in (DataSplit.TRAIN, DataSplit.VAL)}


def _refuse_repeated_ids(samples: Sequence[Sample], task: str) -> None:
    counts = Counter(sample.sample_id for sample in samples)
    if repeated := [name for name, number in counts.items() if number > 1]:
        msg = f"Samples of task '{task}' share ids, which have to be unique: {list_text(repeated, _MOST_NAMED)}."
        raise TaskDataError(msg)


def _refuse_untrained_classes(samples: Sequence[Sample], trained: Mapping[str, int], task: str) -> None:
    tested = Counter(sample.label for sample in samples if sample.split is DataSplit.TEST)
    if unknown := sorted(tested.keys() - trained.keys()):
        shown = list_text((f"'{name}': {tested[name]} to test" for name in unknown), _MOST_NAMED)
        msg = (
            f"Classes of task '{task}' have test images, but none to train with ({shown}). Classes to train: "
            f"{list_text((repr(name) for name in sorted(trained)), _MOST_NAMED)}. Are they spelt the same?"
        )
        raise TaskDataError(msg)
