"""TrainMode: the keys of `mode=train`, checked when the plan is made, before anything heavy is imported."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from omegaconf import DictConfig

from mml.core.data_loading.task_attributes import DataSplit, TaskType
from mml.core.data_loading.task_description import TaskHeader
from mml.core.models.kinds import check_supported, direction
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.utils import as_list

PREDICTABLE = (DataSplit.TRAIN, DataSplit.VAL, DataSplit.TEST, DataSplit.UNLABELED)


class TrainMode(NamedTuple):
    """The keys of the mode.

    Attributes:
        cv: whether every fold is held out once.
        fold: the fold held out otherwise.
        monitor: the metric that tells how good a model is.
        direction: `"min"` or `"max"`, where it improves.
        keep: `"best"` or `"last"` epoch.
        predict: what predictions are made of.
    """

    cv: bool
    fold: int
    monitor: str
    direction: str
    keep: str
    predict: list[DataSplit]

    @property
    def metric(self) -> str:
        """The monitored metric without its split."""
        return self.monitor.partition("/")[2]

    def folds(self, task: str, available: int) -> list[int]:
        """Return the folds of a task that are to be held out.

        Raises:
            MMLMisconfigurationException: the task has no folds, or not the one asked for.
        """
        if available < 1:
            msg = f"Task '{task}' has no folds, so nothing can be held out for validation. Create the task again."
            raise MMLMisconfigurationException(msg)
        if self.cv:
            return list(range(available))
        if not 0 <= self.fold < available:
            msg = f"mode.fold={self.fold} is out of range: task '{task}' has the folds 0 to {available - 1}."
            raise MMLMisconfigurationException(msg)
        return [self.fold]


def read_mode(cfg: DictConfig) -> TrainMode:
    """Return the keys of the mode.

    Raises:
        MMLMisconfigurationException: a value that can't be; names the choices.
    """
    mode = cfg.mode
    monitor = str(mode.monitor)
    wanted = _choice("direction", mode.direction, ["auto", "min", "max"])
    return TrainMode(
        cv=_typed("cv", mode.cv, bool, "true or false"),
        fold=_typed("fold", mode.fold, int, "a whole number from 0"),
        monitor=monitor,
        direction=direction(monitor) if wanted == "auto" else wanted,
        keep=_choice("keep", mode.keep, ["best", "last"]),
        predict=[DataSplit(_choice("predict", split, PREDICTABLE)) for split in as_list(mode.predict)],
    )


def check_monitor(mode: TrainMode, headers: Iterable[TaskHeader], metrics: Iterable[str]) -> None:
    """Refuse to watch a metric that will not be measured, or a task that can't be trained.

    Args:
        mode: the keys of the mode.
        headers: the tasks.
        metrics: names of the metrics in the `metrics` group.

    Raises:
        UnknownNameError: names the metrics that there are.
        MMLMisconfigurationException: a task's type is not supported.
    """
    known = {"train/loss", "val/loss", *(f"val/{metric}" for metric in metrics)}
    for header in headers:
        check_supported(header)
        if header.task_type is TaskType.CLASSIFICATION:
            known.add("train/accuracy")
    if mode.monitor not in known:
        raise UnknownNameError(mode.monitor, kind="metric in mode.monitor", known=known)


def training_name(task: str, fold: int) -> str:
    """Return the name of one training, for folders and files, whatever the task's name."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', task)}_fold_{fold}"


def _choice(key: str, value: Any, known: Iterable[str]) -> str:
    names = [str(name) for name in known]
    if str(value) not in names:
        raise UnknownNameError(str(value), kind=f"value of mode.{key}", known=names)
    return str(value)


def _typed(key: str, value: Any, kind: type, choices: str) -> Any:
    if type(value) is not kind:
        msg = f"mode.{key}={value} can't be used: it has to be {choices}."
        raise MMLMisconfigurationException(msg)
    return value
