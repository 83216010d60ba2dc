from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from mml.config_loading import compose
from mml.core.data_loading.task_attributes import DataSplit, TaskType
from mml.core.data_loading.task_description import TaskHeader
from mml.core.models.train_mode import TrainMode, check_monitor, read_mode, training_name
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from tests.support.training import train_config


def mode(**keys: Any) -> TrainMode:
    defaults = {"cv": False, "fold": 0, "monitor": "val/accuracy", "direction": "auto", "keep": "best"}
    cfg = OmegaConf.create({"mode": {**defaults, "predict": ["test"], **keys}})
    assert isinstance(cfg, DictConfig)
    return read_mode(cfg)


def header(kind: TaskType = TaskType.CLASSIFICATION) -> TaskHeader:
    return TaskHeader(name="t", task_type=kind, idx_to_class={0: "a", 1: "b"})


def test_the_shipped_mode_can_be_read(tmp_path: Path) -> None:
    shipped = read_mode(train_config(tmp_path))
    assert shipped == TrainMode(
        cv=False,
        fold=0,
        monitor="val/accuracy",
        direction="max",
        keep="best",
        predict=[DataSplit.VAL, DataSplit.TEST],
    )


def test_direction_is_that_of_the_metric_unless_told() -> None:
    assert mode(monitor="val/loss").direction == "min"
    assert mode(monitor="val/loss", direction="max").direction == "max"


def test_one_split_to_predict_needs_no_list() -> None:
    assert mode(predict="unlabeled").predict == [DataSplit.UNLABELED]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"keep": "bets"}, "Unknown value of mode.keep 'bets'. Did you mean 'best'?"),
        ({"direction": "up"}, "Unknown value of mode.direction 'up'"),
        ({"predict": ["tset"]}, "Unknown value of mode.predict 'tset'. Did you mean 'test'?"),
        ({"predict": ["full_train"]}, "Unknown value of mode.predict"),
        ({"fold": "one"}, "mode.fold=one can't be used: it has to be a whole number from 0."),
        ({"fold": True}, "mode.fold=True"),
        ({"cv": 5}, "mode.cv=5 can't be used: it has to be true or false."),
    ],
)
def test_values_that_can_not_be_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=message.replace("?", r"\?")):
        mode(**keys)


def test_one_fold_is_held_out_or_each_in_turn() -> None:
    assert mode(fold=3).folds("t", 5) == [3]
    assert mode(cv=True).folds("t", 3) == [0, 1, 2]


@pytest.mark.parametrize("fold", [-1, 5, 77])
def test_a_fold_out_of_range_is_refused_with_the_range(fold: int) -> None:
    with pytest.raises(MMLMisconfigurationException, match=rf"mode.fold={fold} is out of range: task 't' .* 0 to 4"):
        mode(fold=fold).folds("t", 5)


@pytest.mark.parametrize("cv", [True, False])
def test_a_task_without_folds_is_refused(cv: bool) -> None:
    with pytest.raises(MMLMisconfigurationException, match="'t' has no folds"):
        mode(cv=cv).folds("t", 0)


@pytest.mark.parametrize("monitor", ["val/accuracy", "val/loss", "train/loss", "train/accuracy"])
def test_measured_metrics_can_be_watched(monitor: str) -> None:
    check_monitor(mode(monitor=monitor), [header()], ["accuracy"])


def test_an_unmeasured_metric_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"'val/acuracy'\. Did you mean 'val/accuracy'"):
        check_monitor(mode(monitor="val/acuracy"), [header()], ["accuracy"])


def test_training_accuracy_is_measured_of_classifications_alone() -> None:
    with pytest.raises(UnknownNameError, match="train/accuracy"):
        check_monitor(mode(monitor="train/accuracy"), [header(TaskType.REGRESSION)], ["mae"])


def test_a_task_that_can_not_be_learnt_is_refused() -> None:
    with pytest.raises(MMLMisconfigurationException, match="semantic_segmentation, which can't be trained yet"):
        check_monitor(mode(), [header(TaskType.SEMANTIC_SEGMENTATION)], ["accuracy"])


@pytest.mark.parametrize(("task", "name"), [("digits", "digits_fold_1"), ("a+b?c 1", "a_b_c_1_fold_1")])
def test_a_training_has_a_name_that_files_can_have(task: str, name: str) -> None:
    assert training_name(task, 1) == name


@pytest.mark.parametrize("option", ["classification", "classification_full", "multilabel", "regression"])
def test_every_option_of_metrics_gives_something_to_watch(option: str) -> None:
    cfg = compose(["mode=train", f"metrics={option}"])
    assert all(entry._partial_ for entry in cfg.metrics.values())
