"""MultiTaskDataModule: the batches of one or several tasks, for Lightning.

Images stay uint8 until the batch is on its device, where it becomes float32 and normalised at once.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import CombinedLoader
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import DataLoader

from mml.core.data_loading.augmentations.pipeline import create_pipeline
from mml.core.data_loading.image_cache import CachedImages, ImageSource, TaskImages, open_images
from mml.core.data_loading.modality_loaders import Preprocessing
from mml.core.data_loading.normalization import Normalizer, create_normalizer
from mml.core.data_loading.preprocessing import resolve_preprocessing
from mml.core.data_loading.samplers import (
    EpochBatchSampler,
    EpochSampler,
    PositionedLoader,
    class_weights,
    ignore_interrupts,
    task_seed,
)
from mml.core.data_loading.sampling import SamplingOptions, available_workers, read_sampling
from mml.core.data_loading.task_attributes import DataSplit, Modality, TaskType
from mml.core.data_loading.task_dataset import TaskDataset
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.utils import LearningPhase

# Which datasets a stage of Lightning needs.
PHASES: dict[str, tuple[LearningPhase, ...]] = {
    "fit": (LearningPhase.TRAIN, LearningPhase.VAL),
    "validate": (LearningPhase.VAL,),
    "test": (LearningPhase.TEST,),
    "predict": (LearningPhase.PREDICT,),
}


class Collate:
    """Passes on batches that the dataset has made, by task when asked.

    Args:
        task: name of the task to put the batch under, or None to hand out the batch as it is.
    """

    def __init__(self, task: str | None) -> None:
        self.task = task

    def __call__(self, batch: Any) -> dict[str, Any]:
        """Return a `SampleBatch` as a dict."""
        data: dict[str, Any] = batch.data
        return data if self.task is None else {self.task: data}


class MultiTaskDataModule(LightningDataModule):
    """The data of one or several tasks, with one fold held out for validation.

    A batch maps the name of a task to a dict with `image` (float32, samples x channels x height x width, normalised),
    the labels (`class`: int64; `classes`: float32, samples x classes; `value`: float32; `mask`: int64) and `sample_id`
    (list of str). Training batches hold all tasks, the shorter ones start over; other batches hold one task each, the
    tasks one after another.

    Args:
        cfg: the configuration; `sampling`, `augmentations`, `preprocessing` and `sys` are read.
        task_structs: the tasks.
        fold: the fold held out.
        seed: of the order of samples and of augmentations.
        progress: shows the decoding of images that are kept decoded.

    Attributes:
        task_datasets: task name -> phase -> dataset, after `setup`.
        predict_split: what `predict_dataloader` hands out.
        batch_size: samples per training batch; may be changed between trainings.
    """

    def __init__(
        self,
        cfg: DictConfig,
        task_structs: Sequence[TaskStruct],
        fold: int = 0,
        *,
        seed: int = 42,
        progress: RunProgress | None = None,
    ) -> None:
        super().__init__()
        self.cfg, self.task_structs, self.fold, self.seed = cfg, list(task_structs), fold, seed
        self.options: SamplingOptions = read_sampling(cfg)
        self.batch_size = self.options.batch_size
        self.predict_split = DataSplit.TEST
        self.task_datasets: dict[str, dict[LearningPhase, TaskDataset]] = {task.name: {} for task in task_structs}
        self._progress = progress or RunProgress(enabled=False)
        self._sources: dict[str, ImageSource] = {}

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """What happens to every image, the same for all tasks."""
        return resolve_preprocessing(self.task_structs, self.cfg)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images."""
        return self.preprocessing.shape

    @cached_property
    def _normalizers(self) -> dict[str, Normalizer]:
        channels = self.image_shape[0]
        return {task.name: create_normalizer(self.cfg, task, channels) for task in self.task_structs}

    def check(self) -> None:
        """Refuse settings of the data that would fail later; reads no images but the first ones.

        Raises:
            MMLMisconfigurationException: names the setting and what it may be.
        """
        _ = self._transform, self._normalizers

    def setup(self, stage: str | None = None) -> None:
        """Make the datasets of a stage: `fit`, `validate`, `test`, `predict`, or of all.

        Raises:
            MMLMisconfigurationException: a task has no such fold, or a setting can't be used.
            TaskDataError: an image or label is missing or damaged.
        """
        phases = PHASES[stage] if stage is not None else tuple(LearningPhase)
        for struct in self.task_structs:
            for phase in phases:
                self._add_dataset(struct, phase)

    def _add_dataset(self, struct: TaskStruct, phase: LearningPhase) -> None:
        split = self.predict_split if phase is LearningPhase.PREDICT else DataSplit(phase.value)
        datasets = self.task_datasets[struct.name]
        if phase in datasets and datasets[phase].split is split:
            return
        transform = self._transform if phase is LearningPhase.TRAIN else None
        images = self._source(struct)
        datasets[phase] = TaskDataset(
            struct, split, self.fold, transform, images=images, preprocessing=self.preprocessing
        )

    @cached_property
    def _transform(self) -> Any:
        return create_pipeline(self.cfg)

    def _source(self, struct: TaskStruct) -> ImageSource:
        if struct.name not in self._sources:
            self._sources[struct.name] = open_images(
                struct.folder.parents[1],
                TaskImages(struct, self.preprocessing),
                cache=self.options.cache,
                limit_gb=self.options.cache_limit,
                progress=self._progress,
                workers=available_workers(self.cfg),
            )
        return self._sources[struct.name]

    def train_dataloader(self) -> Any:
        """Return the loader of training batches."""
        loaders = {name: self._train_loader(name) for name in self.task_datasets}
        if len(loaders) == 1:
            return next(iter(loaders.values()))
        return CombinedLoader(loaders, "max_size_cycle")

    def val_dataloader(self) -> Any:
        """Return the loader, or one per task, of the fold held out."""
        return self._eval_loaders(LearningPhase.VAL)

    def test_dataloader(self) -> Any:
        """Return the loader, or one per task, of the test samples."""
        return self._eval_loaders(LearningPhase.TEST)

    def predict_dataloader(self) -> Any:
        """Return the loader, or one per task, of `predict_split`."""
        for struct in self.task_structs:
            self._add_dataset(struct, LearningPhase.PREDICT)
        return self._eval_loaders(LearningPhase.PREDICT)

    def _train_loader(self, name: str) -> DataLoader[Any]:
        dataset = self._dataset(name, LearningPhase.TRAIN)
        options, single = self.options, len(self.task_structs) == 1
        sampler = EpochSampler(
            len(dataset),
            seed=self.seed if single else task_seed(self.seed, name),
            weights=balancing_weights(dataset) if options.balanced else None,
            sample_num=options.sample_num,
        )
        batches = EpochBatchSampler(sampler, self.batch_size, options.drop_last)
        return PositionedLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=Collate(name if single else None),
            **self._loader_options(dataset),
        )

    def _eval_loaders(self, phase: LearningPhase) -> Any:
        loaders = [self._eval_loader(name, phase) for name in self.task_datasets]
        return loaders[0] if len(loaders) == 1 else loaders

    def _eval_loader(self, name: str, phase: LearningPhase) -> DataLoader[Any]:
        dataset = self._dataset(name, phase)
        size = self.options.eval_batch_size or self.batch_size
        return DataLoader(dataset, batch_size=size, collate_fn=Collate(name), **self._loader_options(dataset))

    def _dataset(self, name: str, phase: LearningPhase) -> TaskDataset:
        dataset = self.task_datasets[name][phase]
        if len(dataset) == 0:
            msg = f"Task '{name}' has no samples to {phase.value} with: its split {dataset.split.value} is empty."
            raise MMLMisconfigurationException(msg)
        return dataset

    def _loader_options(self, dataset: TaskDataset) -> dict[str, Any]:
        workers = self.options.num_workers
        if workers is None:
            workers = 0 if is_light(dataset) else available_workers(self.cfg)
        return {
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "worker_init_fn": ignore_interrupts,
            "pin_memory": uses_cuda(self.cfg),
            # Without a generator of its own a loader draws from the global one, and the training's numbers would shift.
            "generator": torch.Generator(),
        }

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move the tensors of a batch; knowing its form, without a look at every sample id."""
        del dataloader_idx
        return batch if device.type == "cpu" else _moved(batch, device)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Turn the images of a batch into normalised floats."""
        del dataloader_idx
        for name, part in batch.items():
            part[Modality.IMAGE.value] = self._normalizers[name](part[Modality.IMAGE.value])
        return batch


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    return {key: _moved(part, device) for key, part in value.items()} if isinstance(value, Mapping) else value


def uses_cuda(cfg: DictConfig) -> bool:
    """Tell whether batches go to a GPU by CUDA."""
    allowed = OmegaConf.select(cfg, "sys.allow_gpu", default=True)
    accelerator = OmegaConf.select(cfg, "trainer.accelerator", default="auto")
    return bool(allowed) and accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available()


def is_light(dataset: TaskDataset) -> bool:
    """Tell whether batches are made so quickly that worker processes would only cost."""
    quick = dataset.transform is None or dataset.transform.quick
    return quick and isinstance(dataset.images, CachedImages) and dataset.label_key is not Modality.MASK


def balancing_weights(dataset: TaskDataset) -> Any:
    """Return weights that draw all classes of a dataset equally often.

    Raises:
        MMLMisconfigurationException: the task has no single class per sample.
    """
    if dataset.struct.task_type is not TaskType.CLASSIFICATION or dataset.labels is None:
        kind = dataset.struct.task_type.value
        msg = f"sampling.balanced=true needs a classification task, but '{dataset.struct.name}' is one of {kind}."
        raise MMLMisconfigurationException(msg)
    return class_weights(dataset.labels)
