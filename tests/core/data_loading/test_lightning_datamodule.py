import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from omegaconf import DictConfig, OmegaConf

from mml.core.data_loading.image_cache import CachedImages, TaskImages
from mml.core.data_loading.lightning_datamodule import MultiTaskDataModule, uses_cuda
from mml.core.data_loading.task_attributes import DataSplit, TaskType
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.exceptions import MMLMisconfigurationException, TaskDataError
from mml.core.scripts.utils import LearningPhase
from tests.support.tasks import data_config, make_struct

pytestmark = [
    # Of a machine with fewer cores than workers are asked for here.
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
]


def config(augmentations: str = "default", **sampling: Any) -> DictConfig:
    cfg = data_config(augmentations=augmentations)
    cfg.sampling.update({"num_workers": 0, **sampling})
    return cfg


@pytest.fixture
def struct(tmp_path: Path) -> TaskStruct:
    return make_struct(tmp_path, "shapes", per_class=10, unlabeled=4)


@pytest.fixture
def pair(tmp_path: Path, struct: TaskStruct) -> list[TaskStruct]:
    return [struct, make_struct(tmp_path, "more", classes=2, per_class=30, seed=1)]


def ready(cfg: DictConfig, *structs: TaskStruct, stage: str | None = "fit", **options: Any) -> MultiTaskDataModule:
    datamodule = MultiTaskDataModule(cfg, list(structs), **options)
    datamodule.setup(stage)
    return datamodule


def normalised(datamodule: MultiTaskDataModule, loader: Any) -> Iterator[Any]:
    for batch in loader:
        moved = datamodule.transfer_batch_to_device(batch, torch.device("cpu"), 0)
        yield datamodule.on_after_batch_transfer(moved, 0)


def epochs(cfg: DictConfig, struct: TaskStruct, count: int = 2, seed: int = 1) -> list[Any]:
    """Return ids and images of all batches of some epochs."""
    loader = ready(cfg, struct, seed=seed).train_dataloader()
    found = []
    for epoch in range(count):
        loader.batch_sampler.sampler.set_epoch(epoch)
        found += [(batch["shapes"]["sample_id"], batch["shapes"]["image"].clone()) for batch in loader]
    return found


def equal(first: list[Any], second: list[Any]) -> bool:
    return all(
        ids == other_ids and torch.equal(images, other_images)
        for (ids, images), (other_ids, other_images) in zip(first, second, strict=True)
    )


def test_batches_map_a_task_to_normalised_images_labels_and_ids(struct: TaskStruct) -> None:
    datamodule = ready(config(augmentations="none", batch_size=64), struct)
    (batch,) = normalised(datamodule, datamodule.train_dataloader())
    assert set(batch) == {"shapes"}
    part = batch["shapes"]
    assert (part["image"].shape, part["image"].dtype) == ((24, 3, 16, 16), torch.float32)
    assert (part["class"].shape, part["class"].dtype) == ((24,), torch.int64)
    assert sorted(part["sample_id"]) == sorted(datamodule.task_datasets["shapes"][LearningPhase.TRAIN].ids)
    assert part["image"].mean().abs() < 0.1
    assert (part["image"].std() - 1).abs() < 0.1


def test_labels_stay_with_their_images_through_shuffling(struct: TaskStruct) -> None:
    for batch in ready(config(batch_size=5), struct).train_dataloader():
        labels = [int(sample_id[-4:]) % 3 for sample_id in batch["shapes"]["sample_id"]]
        assert batch["shapes"]["class"].tolist() == labels


def test_training_validation_and_test_share_no_sample(struct: TaskStruct) -> None:
    datasets = ready(config(), struct, stage=None, fold=2).task_datasets["shapes"]
    train, val, test = (set(datasets[phase].ids) for phase in list(LearningPhase)[:3])
    assert (len(train), len(val), len(test)) == (24, 6, 15)
    assert not train & val
    assert not (train | val) & test


@pytest.mark.parametrize(
    ("stage", "phases"),
    [
        ("fit", [LearningPhase.TRAIN, LearningPhase.VAL]),
        ("validate", [LearningPhase.VAL]),
        ("test", [LearningPhase.TEST]),
        ("predict", [LearningPhase.PREDICT]),
        (None, list(LearningPhase)),
    ],
)
def test_a_stage_makes_the_datasets_it_needs(
    struct: TaskStruct, stage: str | None, phases: list[LearningPhase]
) -> None:
    assert list(ready(config(), struct, stage=stage).task_datasets["shapes"]) == phases


def test_what_is_set_up_already_is_kept(struct: TaskStruct) -> None:
    datamodule = ready(config(), struct)
    dataset = datamodule.task_datasets["shapes"][LearningPhase.VAL]
    datamodule.setup("validate")
    assert datamodule.task_datasets["shapes"][LearningPhase.VAL] is dataset


def test_validation_comes_in_order_and_unchanged(struct: TaskStruct) -> None:
    datamodule = ready(config(augmentations="strong", eval_batch_size=4), struct)
    dataset = datamodule.task_datasets["shapes"][LearningPhase.VAL]
    batches = list(datamodule.val_dataloader())
    assert [len(batch["shapes"]["sample_id"]) for batch in batches] == [4, 2]
    assert [name for batch in batches for name in batch["shapes"]["sample_id"]] == dataset.ids
    assert torch.equal(batches[1]["shapes"]["image"][1], dataset[5]["image"])


def test_predictions_are_made_of_the_split_asked_for(struct: TaskStruct) -> None:
    datamodule = ready(config(), struct, stage="predict", fold=1)
    found = {}
    for split in (DataSplit.TEST, DataSplit.VAL, DataSplit.UNLABELED):
        datamodule.predict_split = split
        (batch,) = datamodule.predict_dataloader()
        found[split] = batch["shapes"]
    assert {split: len(part["sample_id"]) for split, part in found.items()} == {
        DataSplit.TEST: 15,
        DataSplit.VAL: 6,
        DataSplit.UNLABELED: 4,
    }
    assert "class" not in found[DataSplit.UNLABELED]


@pytest.mark.parametrize("augmentations", ["default", "strong"])
def test_any_number_of_workers_gives_the_same_batches(struct: TaskStruct, augmentations: str) -> None:
    found = [
        epochs(config(augmentations, batch_size=7, num_workers=workers, cache=cache), struct)
        for workers, cache in [(0, "always"), (2, "always"), (1, "never")]
    ]
    assert equal(found[0], found[1])
    assert equal(found[0], found[2])


@pytest.mark.parametrize("augmentations", ["default", "strong"])
def test_batches_do_not_depend_on_the_randomness_around_nor_change_it(struct: TaskStruct, augmentations: str) -> None:
    torch.manual_seed(1)
    first = epochs(config(augmentations, batch_size=7), struct)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    assert equal(first, epochs(config(augmentations, batch_size=7), struct))


def test_another_seed_and_another_epoch_give_other_batches(struct: TaskStruct) -> None:
    first = epochs(config(batch_size=64), struct, seed=1)
    assert not equal(first, epochs(config(batch_size=64), struct, seed=2))
    assert not equal(first[:1], first[1:])


def test_the_last_batch_can_be_left_out(struct: TaskStruct) -> None:
    assert len(ready(config(batch_size=7), struct).train_dataloader()) == 4
    assert len(ready(config(batch_size=7, drop_last=True), struct).train_dataloader()) == 3


def test_the_samples_per_epoch_can_be_limited(struct: TaskStruct) -> None:
    (batch,) = ready(config(sample_num=10), struct).train_dataloader()
    assert len(set(batch["shapes"]["sample_id"])) == 10


def test_a_changed_batch_size_holds_for_the_next_loader(struct: TaskStruct) -> None:
    datamodule = ready(config(batch_size=4), struct)
    datamodule.batch_size = 12
    assert len(datamodule.train_dataloader()) == 2
    assert len(next(iter(datamodule.val_dataloader()))["shapes"]["sample_id"]) == 6


def test_rare_classes_come_as_often_as_others_when_balanced(struct: TaskStruct) -> None:
    description = struct.description
    description.train_folds[1:] = [
        [name for name in fold if int(name[-4:]) % 3 == 0] for fold in description.train_folds[1:]
    ]
    description.train_folds[1].append("train_0001")
    (batch,) = ready(config(balanced=True, sample_num=500, batch_size=500), struct).train_dataloader()
    assert batch["shapes"]["class"].bincount().tolist() == pytest.approx([250, 250], abs=40)


def test_balancing_without_classes_is_refused(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "x", per_class=5, task_type=TaskType.REGRESSION)
    with pytest.raises(MMLMisconfigurationException, match="'x' is one of regression"):
        ready(config(balanced=True), struct).train_dataloader()


def test_several_tasks_train_side_by_side_and_the_shorter_starts_over(pair: list[TaskStruct]) -> None:
    datamodule = ready(config(batch_size=12), *pair)
    batches = [batch for batch, *_ in normalised_pairs(datamodule)]
    assert len(batches) == 4
    assert all(set(batch) == {"shapes", "more"} for batch in batches)
    ids = [name for batch in batches for name in batch["shapes"]["sample_id"]]
    assert len(ids) == 48
    assert len(set(ids)) == 24
    assert batches[0]["more"]["image"].dtype is torch.float32


def normalised_pairs(datamodule: MultiTaskDataModule) -> Iterator[Any]:
    for batch, *rest in iter(datamodule.train_dataloader()):
        yield datamodule.on_after_batch_transfer(batch, 0), *rest


def test_several_tasks_are_validated_one_after_another(pair: list[TaskStruct]) -> None:
    loaders = ready(config(), *pair).val_dataloader()
    assert [list(batch) for loader in loaders for batch in loader] == [["shapes"], ["more"]]


def test_tasks_of_equal_length_are_shuffled_each_in_its_own_way(tmp_path: Path) -> None:
    twins = [make_struct(tmp_path, name, per_class=20) for name in ("a", "b")]
    (batch,) = [batch for batch, *_ in normalised_pairs(ready(config(), *twins))]
    assert batch["a"]["sample_id"] != batch["b"]["sample_id"]


def test_tasks_share_a_shape(pair: list[TaskStruct], tmp_path: Path) -> None:
    other = make_struct(tmp_path, "other", size=(8, 8), mode="L")
    assert MultiTaskDataModule(config(), pair).image_shape == (3, 16, 16)
    assert MultiTaskDataModule(config(), [*pair, other]).image_shape == (3, 224, 224)


def test_a_fold_out_of_range_is_refused_with_the_range(struct: TaskStruct) -> None:
    with pytest.raises(MMLMisconfigurationException, match="no fold 5. Its folds: 0 to 4"):
        ready(config(), struct, fold=5)


def test_a_split_without_samples_is_named(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "x", per_class=5, test_per_class=0)
    with pytest.raises(MMLMisconfigurationException, match="'x' has no samples to test with: its split test is empty"):
        ready(config(), struct, stage="test").test_dataloader()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_is_damaged_later_is_named_through_the_worker(struct: TaskStruct, workers: int) -> None:
    datamodule = ready(config(cache="never", num_workers=workers), struct, stage="test")
    (struct.folder / "images" / "test_0003.png").unlink()
    with pytest.raises(TaskDataError, match="sample 'test_0003' in task 'shapes'"):
        list(datamodule.test_dataloader())


def test_the_cache_is_built_once_for_all_folds(struct: TaskStruct) -> None:
    first, second = (ready(config(), struct, fold=fold) for fold in (0, 1))
    sources = [module.task_datasets["shapes"][LearningPhase.TRAIN].images for module in (first, second)]
    assert all(isinstance(source, CachedImages) for source in sources)
    assert len({source.path for source in sources if isinstance(source, CachedImages)}) == 1


@pytest.mark.parametrize(
    ("augmentations", "cache", "workers"),
    [("default", "auto", 0), ("strong", "auto", 3), ("default", "never", 3), ("none", "always", 0)],
)
def test_workers_are_used_where_there_is_work_for_them(
    struct: TaskStruct, augmentations: str, cache: str, workers: int
) -> None:
    cfg = config(augmentations, cache=cache, num_workers=None)
    cfg.sys = {"num_workers": 3}
    datamodule = ready(cfg, struct)
    assert datamodule.train_dataloader().num_workers == workers
    assert isinstance(datamodule.task_datasets["shapes"][LearningPhase.TRAIN].images, TaskImages) == (cache == "never")


@pytest.mark.parametrize(
    "settings", [{"sys": {"allow_gpu": False}}, {"trainer": {"accelerator": "cpu"}}], ids=["no gpu", "cpu"]
)
def test_memory_is_not_pinned_without_a_gpu(settings: dict[str, Any]) -> None:
    assert not uses_cuda(OmegaConf.create(settings))


def test_all_tensors_of_a_batch_are_moved(struct: TaskStruct) -> None:
    datamodule = ready(config(), struct)
    batch = next(iter(datamodule.train_dataloader()))
    moved = datamodule.transfer_batch_to_device(batch, torch.device("meta"), 0)["shapes"]
    assert moved["image"].device.type == moved["class"].device.type == "meta"
    assert moved["sample_id"] == batch["shapes"]["sample_id"]


class Recorder(LightningModule):
    """A model that notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[str, int, list[str]]] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self._note("train", batch)
        return sum(part["image"].mean() for part in batch.values()) * self.weight.sum()

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._note("val", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def _note(self, phase: str, batch: Any) -> None:
        for part in batch.values():
            assert part["image"].dtype is torch.float32
            self.seen.append((phase, self.current_epoch, part["sample_id"]))


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_lightning_trains_on_it_and_every_epoch_has_its_own_order(struct: TaskStruct, tmp_path: Path) -> None:
    model = Recorder()
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    datamodule = MultiTaskDataModule(config(batch_size=24), [struct], seed=3)
    trainer.fit(model, datamodule=datamodule)
    first, second = ([ids for phase, epoch, ids in model.seen if (phase, epoch) == ("train", n)] for n in range(2))
    assert len(first) == len(second) == 1
    assert sorted(first[0]) == sorted(second[0])
    assert first != second
    expected = epochs(config(batch_size=24), struct, seed=3)
    assert [first[0], second[0]] == [ids for ids, _ in expected]


TERMINATED = """
import os, signal, sys
from pathlib import Path
from mml.core.data_loading.lightning_datamodule import MultiTaskDataModule
from mml.core.data_loading.task_description import load_description
from mml.core.data_loading.task_struct import TaskStruct
from tests.support.tasks import data_config

class Stopped(BaseException):
    pass

def stop(*_):
    raise Stopped

folder = Path(sys.argv[1])
cfg = data_config()
cfg.sampling.update({"num_workers": 2, "batch_size": 2})
datamodule = MultiTaskDataModule(cfg, [TaskStruct(load_description(folder / "task.json").header(), folder)])
datamodule.setup("fit")
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop)
os.setpgrp()
try:
    for number, batch in enumerate(datamodule.train_dataloader()):
        if number == 1:
            os.killpg(0, getattr(signal, sys.argv[2]))
except Stopped:
    print("stopped")
"""


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_to_all_processes_is_handled_by_the_parent_alone(
    struct: TaskStruct, checkout: Path, name: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TERMINATED, str(struct.folder), name],
        capture_output=True,
        text=True,
        cwd=checkout,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("stopped\n", "", 0)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
