"""The mode `brightness`: how bright are the images of each class? One atomic step per class, then one per task."""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from omegaconf import DictConfig

from mml.core.data_loading.task_attributes import Modality, TaskType
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.utils import atomic_save, atomic_write
from mml.report.tables import Column, as_table, show
from mml_template.measuring import Brightness, contrast, draw_histograms, measure_images

logger = logging.getLogger(__name__)

MEASURE, COMPARE = "measure", "compare"
LIMITS = {"side": (8, 512), "bins": (2, 256)}


class BrightnessScheduler(AbstractBaseScheduler):
    """Measures the brightness of classes and compares them.

    Its return value is the contrast, the distance between the brightest and the darkest class from 0 to 1, as a mean
    over all tasks.
    """

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, available_subroutines=[MEASURE, COMPARE])
        self.outcome: dict[str, list[Brightness]] = {}

    def create_routine(self) -> None:
        """Plan one step per class, and one per task.

        Raises:
            MMLMisconfigurationException: no task, a task without classes, or a value out of its range.
        """
        self._check()
        for task in self.task_list:
            measured: list[int] = []
            if MEASURE in self.subroutines:
                classes = sorted(self.get_struct(task).idx_to_class)
                # Classes don't need one another, so they may be measured at the same time.
                measured = [self.add_step(self.measure, task, index, after=()) for index in classes]
            if COMPARE in self.subroutines:
                self.add_step(self.compare, task, after=measured)

    def measure(self, task: str, index: int) -> None:
        """Measure the training images of one class; keep the numbers and the mean image as files."""
        struct = self.get_struct(task)
        label, paths = struct.idx_to_class[index], images_of_class(struct, index)
        if not paths:
            logger.warning("Class %s of task %s has no training image, and is left out.", label, task)
            return
        with self.progress.task(f"measuring {label}", len(paths), unit="images") as bar:
            measured, image = measure_images(label, counted(paths, bar.advance), *self._options())
        numbers_path = self.fm.construct_saving_path(measured, "brightness", task, f"class_{index}.json")
        with atomic_write(numbers_path) as file:
            file.write(msgspec.json.encode(measured))
        image_path = self.fm.construct_saving_path(image, "mean_image", task, f"class_{index}.png")
        atomic_save(image_path, image.save)
        # Attached to the struct, they are found again by later steps, also when those run after a restart.
        struct.paths[f"brightness_{index}"] = numbers_path
        struct.paths[f"mean_image_{index}"] = image_path

    def compare(self, task: str) -> None:
        """Draw the histograms of all classes of a task into one chart."""
        measured = self.measured(task)
        if not measured:
            msg = f"Nothing of task '{task}' was measured: add measure to mode.subroutines."
            raise MMLMisconfigurationException(msg)
        chart = draw_histograms(measured)
        path = self.fm.construct_saving_path(chart, "brightness_chart", task)
        atomic_save(path, chart.save)
        self.get_struct(task).paths["brightness_chart"] = path

    def before_finishing_hook(self) -> None:
        """Sum up the whole run, from files: what was measured before an interruption counts like the rest."""
        self.outcome = {task: self.measured(task) for task in self.task_list}
        contrasts = [contrast(measured) for measured in self.outcome.values()]
        self.return_value = sum(contrasts) / len(contrasts)

    def report(self) -> None:
        """Print one line per class; the files may be gone by now, if they were to be cleaned up."""
        for task, measured in self.outcome.items():
            show(as_table(f"Brightness of {task}", COLUMNS, measured))
        show(f"Contrast, from 0 to 1: {self.return_value:.3f}")

    def measured(self, task: str) -> list[Brightness]:
        """Return what was measured of a task, by class index."""
        struct = self.get_struct(task)
        paths = [struct.paths.get(f"brightness_{index}") for index in sorted(struct.idx_to_class)]
        return [msgspec.json.decode(path.read_bytes(), type=Brightness) for path in paths if path is not None]

    def _options(self) -> tuple[int, int]:
        return self.cfg.mode.side, self.cfg.mode.bins

    def _check(self) -> None:
        if not self.task_list:
            msg = "Which task? Name one: mml brightness task=shapes (created by: mml create task=shapes)."
            raise MMLMisconfigurationException(msg)
        for key, (least, most) in LIMITS.items():
            value = self.cfg.mode[key]
            if not isinstance(value, int) or not least <= value <= most:
                msg = f"mode.{key}={value} can't be: it is a whole number from {least} to {most}."
                raise MMLMisconfigurationException(msg)
        for task in self.task_list:
            if (kind := self.get_struct(task).task_type) is not TaskType.CLASSIFICATION:
                msg = f"Task '{task}' is of type {kind}, and has no classes to compare. Name a task with classes."
                raise MMLMisconfigurationException(msg)


def images_of_class(struct: TaskStruct, index: int) -> list[Path]:
    """Return the training images of a class."""
    samples = struct.description.train_samples.values()
    return [struct.folder / str(sample[Modality.IMAGE]) for sample in samples if sample[Modality.CLASS] == index]


def counted(paths: Iterable[Path], advance: Callable[[], None]) -> Iterator[Path]:
    """Yield paths, and tell after each that it is dealt with."""
    for path in paths:
        yield path
        advance()


COLUMNS = [
    Column("class", lambda brightness: brightness.label, fold=True),
    Column("images", lambda brightness: str(brightness.images), number=True),
    Column("mean", lambda brightness: f"{brightness.mean:.3f}", number=True),
    Column("std", lambda brightness: f"{brightness.std:.3f}", number=True),
]
