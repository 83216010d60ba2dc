"""What shape the images of tasks get: decided from the configuration and the task's header. Imports no torch.

A model is built for this shape before any image is read, so the decision has to be one function of both.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from omegaconf import DictConfig

from mml.core.data_loading.modality_loaders import INTERPOLATIONS, ColorMode, Preprocessing, image_paths, open_image
from mml.core.data_loading.task_attributes import RGBInfo
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.exceptions import MMLMisconfigurationException, TaskDataError, UnknownNameError
from mml.core.scripts.utils import as_list

DEFAULT_SIZE = (224, 224)
LARGEST_KEPT = 512  # pixels; larger images are resized unless the user says otherwise
LOOKED_AT = 20  # images whose headers tell the colours of a task without statistics
# Two channels of a grey set differ by rounding at most.
GREY_TOLERANCE = 1e-9

COLOR_MODES: dict[str, ColorMode] = {"rgb": "RGB", "grayscale": "L"}
FITS = ("stretch", "crop", "pad")


def image_shape(structs: TaskStruct | Sequence[TaskStruct], cfg: DictConfig) -> tuple[int, int, int]:
    """Return channels, height and width of the images that the data module will yield.

    Args:
        structs: one task, or all tasks that are loaded together.
        cfg: the configuration with the group `preprocessing`.

    Raises:
        MMLMisconfigurationException: a value of `preprocessing` that can't be used.
    """
    return resolve_preprocessing(structs, cfg).shape


def resolve_preprocessing(structs: TaskStruct | Sequence[TaskStruct], cfg: DictConfig | None = None) -> Preprocessing:
    """Decide what happens to the images of tasks that are loaded together, the same for all of them.

    Args:
        structs: one task, or all tasks that are loaded together.
        cfg: the configuration with the group `preprocessing`; missing keys have their defaults.

    Raises:
        MMLMisconfigurationException: a value of `preprocessing` that can't be used.
    """
    tasks = [structs] if isinstance(structs, TaskStruct) else list(structs)
    keys: dict[str, Any] = {"size": None, "fit": "stretch", "interpolation": "bilinear", "mode": "auto"}
    keys |= {} if cfg is None else dict(cfg.get("preprocessing") or {})
    height, width = _resolve_size(tasks, keys["size"])
    return Preprocessing(
        height,
        width,
        mode=_resolve_mode(tasks, keys["mode"]),
        fit=_known("preprocessing.fit", keys["fit"], FITS),
        interpolation=_known("preprocessing.interpolation", keys["interpolation"], INTERPOLATIONS),
        strict=keys["size"] == "keep",
    )


def _known(key: str, value: str, choices: Iterable[str]) -> str:
    if value not in choices:
        raise UnknownNameError(str(value), kind=f"value of {key}", known=choices)
    return value


def _resolve_size(tasks: list[TaskStruct], size: Any) -> tuple[int, int]:
    if size is None:
        return _kept_size(tasks) or DEFAULT_SIZE
    if size == "keep":
        return _only_size(tasks)
    numbers = as_list(size) * (2 if len(as_list(size)) == 1 else 1)
    if len(numbers) != 2 or not all(type(number) is int and number > 0 for number in numbers):
        msg = f"preprocessing.size={size} can't be used: give null, keep, a number of pixels, or [height, width]."
        raise MMLMisconfigurationException(msg)
    return numbers[0], numbers[1]


def _kept_size(tasks: list[TaskStruct]) -> tuple[int, int] | None:
    """Return the size of all images, if they share one that is small enough to work with."""
    found = {size for task in tasks for size in _sizes_of(task)}
    (size,) = found if len(found) == 1 else [None]
    return size if size is not None and max(size) <= LARGEST_KEPT else None


def _only_size(tasks: list[TaskStruct]) -> tuple[int, int]:
    found = sorted({size for task in tasks for size in _sizes_of(task)})
    if len(found) == 1:
        return found[0]
    sizes = " to ".join(f"{height} x {width}" for height, width in (found[0], found[-1]))
    names = ", ".join(task.name for task in tasks)
    msg = f"preprocessing.size=keep needs images of one size, but {names} has {sizes} pixels: use e.g. size=224."
    raise MMLMisconfigurationException(msg)


def _sizes_of(task: TaskStruct) -> list[tuple[int, int]]:
    """Return the smallest and the largest size of a task's images; the first image stands for all if nobody knows."""
    if task.sizes is None:
        if not image_paths(task):
            msg = (
                f"Task '{task.name}' has no samples. Create it again: mml create task={task.name} mode.overwrite=true."
            )
            raise TaskDataError(msg)
        with open_image(image_paths(task)[0], task.name) as image:
            return [(image.height, image.width)]
    low, high = task.sizes, task.sizes
    return [(low.min_height, low.min_width), (high.max_height, high.max_width)]


def _resolve_mode(tasks: list[TaskStruct], mode: str) -> ColorMode:
    if mode == "auto":
        return "L" if all(_is_grey(task) for task in tasks) else "RGB"
    return COLOR_MODES[_known("preprocessing.mode", mode, ("auto", *COLOR_MODES))]


def _is_grey(task: TaskStruct) -> bool:
    """Tell whether all images are grey: the statistics agree in all channels or, without any, the headers say so."""
    if task.means is not None and task.stds is not None:
        return _agree(task.means) and _agree(task.stds)
    paths = image_paths(task)
    step = max(1, len(paths) // LOOKED_AT)
    return all(_stored_grey(path, task.name) for path in paths[::step])


def _agree(info: RGBInfo) -> bool:
    values = info.get_rgb()
    return max(values) - min(values) <= GREY_TOLERANCE


def _stored_grey(path: str, task: str) -> bool:
    with open_image(path, task) as image:
        return image.mode in {"1", "L", "LA", "F"} or image.mode.startswith("I")
