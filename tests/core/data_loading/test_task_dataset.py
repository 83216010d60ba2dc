import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from mml.core.data_loading.augmentations.batchwise import RandomCrop
from mml.core.data_loading.image_cache import ImageCache, TaskImages
from mml.core.data_loading.modality_loaders import Preprocessing
from mml.core.data_loading.samplers import BatchIndex
from mml.core.data_loading.task_attributes import DataSplit, TaskType
from mml.core.data_loading.task_dataset import SampleBatch, TaskDataset, TupelizedTaskDataset, split_ids
from mml.core.data_loading.task_description import TaskDescription
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.exceptions import MMLMisconfigurationException, TaskDataError
from mml.core.scripts.progress import RunProgress
from tests.support.tasks import make_struct

FOLDS = [["a", "b"], ["c"], ["d", "e"]]


def description(folds: list[list[str]] = FOLDS) -> TaskDescription:
    return TaskDescription(
        name="t",
        task_type=TaskType.CLASSIFICATION,
        train_folds=folds,
        train_samples={name: {} for fold in folds for name in fold},
        test_samples={"y": {}},
        unlabeled_samples={"z": {}},
    )


@pytest.fixture
def struct(tmp_path: Path) -> TaskStruct:
    return make_struct(tmp_path, "shapes", per_class=5, unlabeled=3)


@pytest.mark.parametrize(
    ("split", "fold", "ids"),
    [
        (DataSplit.TRAIN, 1, "abde"),
        (DataSplit.VAL, 1, "c"),
        (DataSplit.TRAIN, 0, "cde"),
        (DataSplit.VAL, 2, "de"),
        (DataSplit.FULL_TRAIN, 0, "abcde"),
        (DataSplit.FULL_TRAIN, 99, "abcde"),
        (DataSplit.TEST, 99, "y"),
        (DataSplit.UNLABELED, 99, "z"),
    ],
)
def test_a_fold_is_for_validation_and_the_others_for_training(split: DataSplit, fold: int, ids: str) -> None:
    assert split_ids(description(), split, fold) == list(ids)


@pytest.mark.parametrize("fold", [-1, 3])
@pytest.mark.parametrize("split", [DataSplit.TRAIN, DataSplit.VAL])
def test_a_fold_out_of_range_is_refused_with_the_range(split: DataSplit, fold: int) -> None:
    with pytest.raises(MMLMisconfigurationException, match=f"Task 't' has no fold {fold}. Its folds: 0 to 2"):
        split_ids(description(), split, fold)


def test_a_task_without_folds_is_refused() -> None:
    with pytest.raises(MMLMisconfigurationException, match="can't be trained on"):
        split_ids(description([]), DataSplit.TRAIN)


@pytest.mark.parametrize("split", list(DataSplit))
def test_samples_are_those_of_their_files(struct: TaskStruct, split: DataSplit) -> None:
    dataset = TaskDataset(struct, split, fold=1)
    assert len(dataset) == len(split_ids(struct.description, split, 1))
    for sample in (dataset[0], dataset[len(dataset) - 1]):
        with Image.open(struct.folder / "images" / f"{sample['sample_id']}.png") as image:
            np.testing.assert_array_equal(sample["image"], np.asarray(image).transpose(2, 0, 1))
        if split is not DataSplit.UNLABELED:
            assert sample["class"] == int(sample["sample_id"][-4:]) % 3


def test_a_batch_holds_all_samples_in_the_order_asked_for(struct: TaskStruct) -> None:
    dataset = TaskDataset(struct, DataSplit.TRAIN)
    batch = dataset.__getitems__([4, 0, 4])
    assert isinstance(batch, SampleBatch)
    assert (batch.data["image"].shape, batch.data["image"].dtype) == ((3, 3, 16, 16), torch.uint8)
    assert (batch.data["class"].shape, batch.data["class"].dtype) == ((3,), torch.int64)
    assert batch.data["sample_id"] == [dataset.ids[4], dataset.ids[0], dataset.ids[4]]


def test_a_batch_reads_as_the_list_of_its_samples(struct: TaskStruct) -> None:
    dataset = TaskDataset(struct, DataSplit.TRAIN)
    batch = dataset.__getitems__([3, 1])
    assert [sample["sample_id"] for sample in batch] == [dataset.ids[3], dataset.ids[1]]
    assert [sample["sample_id"] for sample in batch[1:]] == [dataset.ids[1]]
    assert torch.equal(batch[1]["image"], dataset[1]["image"])


def test_torchs_own_loader_can_load_it(struct: TaskStruct) -> None:
    batches = list(DataLoader(TaskDataset(struct, DataSplit.TEST), batch_size=4))
    assert [len(batch["sample_id"]) for batch in batches] == [4, 2]
    assert batches[0]["image"].shape == (4, 3, 16, 16)


def test_tuples_are_image_and_label(struct: TaskStruct) -> None:
    dataset = TupelizedTaskDataset(struct, DataSplit.TEST)
    image, label = dataset[4]
    assert (image.shape, int(label)) == ((3, 16, 16), 1)
    images, labels = next(iter(DataLoader(dataset, batch_size=6)))
    assert (images.shape, labels.tolist()) == ((6, 3, 16, 16), [0, 1, 2, 0, 1, 2])


def test_tuples_of_unlabeled_samples_have_no_label(struct: TaskStruct) -> None:
    assert TupelizedTaskDataset(struct, DataSplit.UNLABELED)[0][1] is None


def test_unlabeled_samples_have_no_label_key(struct: TaskStruct) -> None:
    assert set(TaskDataset(struct, DataSplit.UNLABELED)[0]) == {"image", "sample_id"}


@pytest.mark.parametrize(
    ("task_type", "key", "shape", "dtype"),
    [
        (TaskType.MULTILABEL_CLASSIFICATION, "classes", (2, 3), torch.float32),
        (TaskType.REGRESSION, "value", (2,), torch.float32),
        (TaskType.SEMANTIC_SEGMENTATION, "mask", (2, 16, 16), torch.int64),
    ],
)
def test_labels_have_the_form_of_their_task(
    tmp_path: Path, task_type: TaskType, key: str, shape: tuple[int, ...], dtype: Any
) -> None:
    dataset = TaskDataset(make_struct(tmp_path, "x", per_class=5, task_type=task_type), DataSplit.TRAIN)
    data = dataset.__getitems__([0, 1]).data  # type: ignore[attr-defined]
    assert (data[key].shape, data[key].dtype) == (shape, dtype)


def test_a_missing_mask_is_named(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "x", per_class=5, task_type=TaskType.SEMANTIC_SEGMENTATION)
    dataset = TaskDataset(struct, DataSplit.TEST)
    (struct.folder / "images" / "test_0000_mask.png").unlink()
    with pytest.raises(TaskDataError, match="test_0000_mask.png of sample 'test_0000'"):
        dataset[0]


def test_a_damaged_image_is_named(struct: TaskStruct) -> None:
    dataset = TaskDataset(struct, DataSplit.TEST)
    (struct.folder / "images" / "test_0002.png").write_bytes(b"")
    with pytest.raises(TaskDataError, match="sample 'test_0002' in task 'shapes'"):
        dataset.__getitems__([0, 1, 2])


def test_cached_and_decoded_samples_are_equal(struct: TaskStruct, tmp_path: Path) -> None:
    preprocessing = Preprocessing(16, 16)
    cached = ImageCache(tmp_path, TaskImages(struct, preprocessing)).open(RunProgress(enabled=False))
    for split in DataSplit:
        decoded = TaskDataset(struct, split, 1, preprocessing=preprocessing)
        from_cache = TaskDataset(struct, split, 1, images=cached, preprocessing=preprocessing)
        for index in range(len(decoded)):
            assert torch.equal(decoded[index]["image"], from_cache[index]["image"])


def test_the_transform_follows_from_the_key_of_the_batch(struct: TaskStruct) -> None:
    dataset = TaskDataset(struct, DataSplit.TRAIN, transform=RandomCrop(4))
    first, same, other = (
        dataset.__getitems__(BatchIndex([0, 1], key)).data["image"]  # type: ignore[attr-defined]
        for key in [(1, 0, 0), (1, 0, 0), (1, 0, 1)]
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_transform_of_torchvision_works_as_it_is(struct: TaskStruct) -> None:
    dataset = TaskDataset(
        struct, DataSplit.TRAIN, transform=v2.Compose([v2.Resize(8), v2.ToDtype(torch.float32, True)])
    )
    assert (dataset[0]["image"].shape, dataset[0]["image"].dtype) == ((3, 8, 8), torch.float32)


def test_a_dataset_can_be_sent_to_another_process(struct: TaskStruct) -> None:
    dataset = TaskDataset(struct, DataSplit.TRAIN, transform=RandomCrop(4))
    copy = pickle.loads(pickle.dumps(dataset))
    key = BatchIndex([2], (0, 0, 0))
    assert torch.equal(copy.__getitems__(key)[0]["image"], dataset.__getitems__(key)[0]["image"])
