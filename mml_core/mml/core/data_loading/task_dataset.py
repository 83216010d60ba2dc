"""TaskDataset: the samples of one split of a task as a torch dataset that hands out whole batches."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from mml.core.data_loading.augmentations.batchwise import Batch
from mml.core.data_loading.augmentations.pipeline import as_batch_transform
from mml.core.data_loading.image_cache import ImageSource, TaskImages
from mml.core.data_loading.modality_loaders import (
    LABELS,
    UNREADABLE,
    Preprocessing,
    UnreadableFileError,
    encode_labels,
    file_of,
    file_path,
    load_mask,
    sample_tables,
)
from mml.core.data_loading.preprocessing import resolve_preprocessing
from mml.core.data_loading.samplers import batch_rng
from mml.core.data_loading.task_attributes import DataSplit, Modality, TaskType
from mml.core.data_loading.task_description import TaskDescription
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.exceptions import MMLMisconfigurationException

Sample = dict[str, Any]


def split_ids(description: TaskDescription, split: DataSplit, fold: int = 0) -> list[str]:
    """Return the sample ids of a split: fold `fold` is for validation, the other folds for training.

    Raises:
        MMLMisconfigurationException: the task has no such fold.
    """
    if split is DataSplit.TEST:
        return list(description.test_samples)
    if split is DataSplit.UNLABELED:
        return list(description.unlabeled_samples)
    folds = description.train_folds
    if split is not DataSplit.FULL_TRAIN and not 0 <= fold < len(folds):
        there = f"0 to {len(folds) - 1}" if folds else "none, so it can't be trained on"
        msg = f"Task '{description.name}' has no fold {fold}. Its folds: {there}."
        raise MMLMisconfigurationException(msg)
    if split is DataSplit.VAL:
        return list(folds[fold])
    left_out = fold if split is DataSplit.TRAIN else None
    return [sample_id for number, ids in enumerate(folds) if number != left_out for sample_id in ids]


class SampleBatch(Sequence[Sample]):
    """A batch that is complete already, and still reads as the list of its samples.

    Attributes:
        data: name of a modality -> the values of all samples.
    """

    def __init__(self, data: Sample) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data[Modality.SAMPLE_ID])

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> "SampleBatch": ...

    def __getitem__(self, index: int | slice) -> "Sample | SampleBatch":
        values = {key: value[index] for key, value in self.data.items()}
        return SampleBatch(values) if isinstance(index, slice) else values


class TaskDataset(Dataset[Sample]):
    """The samples of one split of a task.

    A sample is a dict with `image` (uint8 tensor, channels x height x width, unless the transform makes another),
    `sample_id`, and by the task's type `class` (int64), `classes` (float32, one per class), `value` (float32) or `mask`
    (int64, height x width). `dataset[i]` is one sample; a data loader gets whole batches through `__getitems__`.

    Args:
        struct: the task.
        split: which samples.
        fold: the fold that is left out of `TRAIN` and is all of `VAL`.
        transform: a `BatchTransform`, or anything that takes an image tensor and returns one.
        images: where decoded images come from; by default they are decoded on demand.
        preprocessing: what happens to images; ignored with `images`, by default decided from the task.

    Raises:
        MMLMisconfigurationException: the task has no such fold.
        TaskDataError: a label is missing or is no class.
    """

    def __init__(
        self,
        struct: TaskStruct,
        split: DataSplit,
        fold: int = 0,
        transform: Any = None,
        *,
        images: ImageSource | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        self.struct, self.split, self.fold = struct, split, fold
        self.transform = None if transform is None else as_batch_transform(transform)
        self.ids = split_ids(struct.description, split, fold)
        self.preprocessing = preprocessing or resolve_preprocessing(struct)
        self.images = images or TaskImages(struct, self.preprocessing)
        train, test, unlabeled = sample_tables(struct.description)
        table = {DataSplit.TEST: test, DataSplit.UNLABELED: unlabeled}.get(split, train)
        first = {DataSplit.TEST: len(train), DataSplit.UNLABELED: len(train) + len(test)}.get(split, 0)
        rows = {sample_id: row for row, sample_id in enumerate(table, start=first)}
        self._rows: npt.NDArray[np.int64] = np.array([rows[sample_id] for sample_id in self.ids], dtype=np.int64)
        samples = [] if split is DataSplit.UNLABELED else [table[sample_id] for sample_id in self.ids]
        self.label_key = LABELS.get(struct.task_type) if samples else None
        self.labels = encode_labels(samples, struct)
        self._masks = self._mask_files(samples)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """Return a whole batch.

        Args:
            indices: positions in the split; a `BatchIndex` makes the randomness of the transform reproducible.

        Raises:
            UnreadableFileError: a file is missing or damaged.
        """
        positions = np.asarray(indices, dtype=np.int64)
        batch = Batch(self.images.gather(self._rows[positions]), self._load_masks(indices))
        if self.transform is not None:
            batch = self.transform(batch, batch_rng(indices))
        data: Sample = {Modality.IMAGE.value: torch.from_numpy(batch.images)}
        if self.label_key is not None:
            labels = batch.masks if self.labels is None else self.labels[positions]
            data[self.label_key.value] = torch.from_numpy(labels)
        data[Modality.SAMPLE_ID.value] = [self.ids[index] for index in indices]
        return SampleBatch(data)

    def _mask_files(self, samples: list[Any]) -> list[str]:
        if self.struct.task_type is not TaskType.SEMANTIC_SEGMENTATION:
            return []
        return [file_path(self.struct.folder, file_of(sample, Modality.MASK, self.struct.name)) for sample in samples]

    def _load_masks(self, indices: Sequence[int]) -> npt.NDArray[np.int64] | None:
        return np.stack([self._load_mask(index) for index in indices]) if self._masks else None

    def _load_mask(self, index: int) -> npt.NDArray[np.int64]:
        path = self._masks[index]
        try:
            return load_mask(path, self.preprocessing)
        except UNREADABLE as error:
            raise UnreadableFileError.of(path, self.struct.name, error, self.ids[index]) from error


class TupelizedTaskDataset(TaskDataset):
    """The same samples as tuples (image, label), as most code outside mml expects them. See `TaskDataset`."""

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """Return a list of tuples (image, label); the label is None in an unlabeled split."""
        samples = super().__getitems__(indices)
        key = self.label_key
        return [(sample[Modality.IMAGE], None if key is None else sample[key]) for sample in samples]
