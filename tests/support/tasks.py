"""Small real tasks for tests: a folder with `task.json` and images that a tiny model can tell apart."""

from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from PIL import Image

import mml_configs
from mml.core.data_loading.task_attributes import Modality, RGBInfo, Sizes, TaskType
from mml.core.data_loading.task_description import (
    DESCRIPTION_FILE,
    SampleDescription,
    TaskDescription,
    load_description,
    store_description,
)
from mml.core.data_loading.task_struct import TaskStruct

FOLDS = 5


def make_task(
    data_dir: Path,
    name: str,
    classes: int = 3,
    per_class: int = 10,
    size: tuple[int, int] = (16, 16),
    seed: int = 0,
    *,
    test_per_class: int | None = None,
    unlabeled: int = 0,
    mode: str = "RGB",
    suffix: str = "png",
    task_type: TaskType = TaskType.CLASSIFICATION,
) -> Path:
    """Write `<data_dir>/tasks/<name>` and return this folder.

    Args:
        data_dir: the data root, created when missing.
        name: of the task.
        classes: number of classes; also the number of outputs of a multilabel task.
        per_class: training samples per class, spread over five stratified folds.
        size: height and width of every image, in pixels.
        seed: of the noise in the images.
        test_per_class: test samples per class, half of `per_class` (at least one) by default.
        unlabeled: number of samples without a label.
        mode: Pillow mode of the images, `"RGB"` or `"L"`.
        suffix: file format, `"png"` or `"jpg"`.
        task_type: what the labels are: a class, a list of classes, a value or a mask file.
    """
    folder = data_dir / "tasks" / name
    (folder / "images").mkdir(parents=True)
    writer = _Writer(folder, classes, size, np.random.default_rng(seed), mode, suffix, task_type)
    held_out = max(1, per_class // 2) if test_per_class is None else test_per_class
    train = writer.labelled("train", per_class)
    means, stds = writer.statistics()
    test = writer.labelled("test", held_out)
    plain = {f"unlabeled_{i:04}": {Modality.IMAGE: writer.image(f"unlabeled_{i:04}", i)} for i in range(unlabeled)}
    description = TaskDescription(
        name=name,
        task_type=task_type,
        description="Stripes whose direction and hue stand for the class.",
        means=means,
        stds=stds,
        sizes=Sizes(min_height=size[0], max_height=size[0], min_width=size[1], max_width=size[1]),
        modalities={Modality.IMAGE: suffix, writer.label_key: writer.label_form},
        idx_to_class={k: f"class_{k}" for k in range(classes)},
        class_occ={f"class_{k}": per_class + held_out for k in range(classes)},
        train_folds=_folds(list(train), classes),
        train_samples=train,
        test_samples=test,
        unlabeled_samples=plain,
    )
    store_description(description, folder / DESCRIPTION_FILE)
    return folder


def _folds(ids: list[str], classes: int) -> list[list[str]]:
    """Deal the ids, which go round the classes, to the folds so that each fold has each class equally often."""
    folds: list[list[str]] = [[] for _ in range(FOLDS)]
    for position, sample_id in enumerate(ids):
        folds[position // classes % FOLDS].append(sample_id)
    return folds


class _Writer:
    """Draws and stores images, and keeps the sums that the statistics need."""

    label_keys = {
        TaskType.CLASSIFICATION: (Modality.CLASS, "int"),
        TaskType.MULTILABEL_CLASSIFICATION: (Modality.CLASSES, "list"),
        TaskType.REGRESSION: (Modality.VALUE, "float"),
        TaskType.SEMANTIC_SEGMENTATION: (Modality.MASK, "png"),
    }

    def __init__(self, folder: Path, classes: int, size: tuple[int, int], *rest: Any) -> None:
        self.folder, self.classes, self.size = folder, classes, size
        self.rng, self.mode, self.suffix, self.task_type = rest
        self.label_key, self.label_form = self.label_keys[self.task_type]
        self.pixels: list[np.ndarray[Any, Any]] = []

    def labelled(self, prefix: str, per_class: int) -> dict[str, SampleDescription]:
        samples: dict[str, SampleDescription] = {}
        for number in range(per_class * self.classes):
            sample_id, label = f"{prefix}_{number:04}", number % self.classes
            samples[sample_id] = {
                Modality.IMAGE: self.image(sample_id, label),
                self.label_key: self.label(sample_id, label),
            }
        return samples

    def image(self, sample_id: str, label: int) -> str:
        height, width = self.size
        angle = np.pi * (label % self.classes) / self.classes
        y, x = np.mgrid[0:height, 0:width] / max(height, width)
        wave = 0.5 + 0.4 * np.sin(2 * np.pi * 3 * (x * np.cos(angle) + y * np.sin(angle)))
        hue = 0.6 + 0.4 * np.cos(angle + np.arange(3) * 2 * np.pi / 3)
        values = wave[..., None] * hue + self.rng.normal(0, 0.05, (height, width, 3))
        array = (values.clip(0, 1) * 255).round().astype(np.uint8)
        image = Image.fromarray(array).convert(self.mode)
        self.pixels.append(np.asarray(image, dtype=np.float64).reshape(height * width, -1) / 255)
        relative = f"images/{sample_id}.{self.suffix}"
        image.save(self.folder / relative)
        return relative

    def label(self, sample_id: str, label: int) -> str | int | float | list[int | float]:
        if self.task_type is TaskType.MULTILABEL_CLASSIFICATION:
            return sorted({label, 0})
        if self.task_type is TaskType.REGRESSION:
            return label / self.classes
        if self.task_type is TaskType.SEMANTIC_SEGMENTATION:
            relative = f"images/{sample_id}_mask.png"
            mask = np.full(self.size, label, dtype=np.uint8)
            mask[: self.size[0] // 2] = 0
            Image.fromarray(mask).save(self.folder / relative)
            return relative
        return label

    def statistics(self) -> tuple[RGBInfo, RGBInfo]:
        """Return means and stds per channel over all pixels drawn so far; a grey image counts in all three."""
        pixels = np.concatenate(self.pixels)
        means, stds = pixels.mean(axis=0), pixels.std(axis=0)
        return RGBInfo(*_three(means)), RGBInfo(*_three(stds))


def _three(values: np.ndarray[Any, Any]) -> list[float]:
    return [float(values[channel % len(values)]) for channel in range(3)]


def make_struct(data_dir: Path, name: str, **options: Any) -> TaskStruct:
    """Write a task as `make_task` does, and return its struct."""
    folder = make_task(data_dir, name, **options)
    return TaskStruct(load_description(folder / DESCRIPTION_FILE).header(), folder)


def data_config(**options: str) -> DictConfig:
    """Return the groups `sampling`, `augmentations` and `preprocessing` as shipped.

    Args:
        options: group -> option, `default` where none is given.
    """
    groups = ("sampling", "augmentations", "preprocessing")
    return OmegaConf.create({group: _option(group, options.get(group, "default")) for group in groups})


def _option(group: str, option: str) -> DictConfig:
    node = OmegaConf.load(Path(mml_configs.__path__[0]) / group / f"{option}.yaml")
    assert isinstance(node, DictConfig)
    bases = [_option(group, base) for base in node.pop("defaults", []) if base != "_self_"]
    merged = OmegaConf.merge(*bases, node)
    assert isinstance(merged, DictConfig)
    return merged
