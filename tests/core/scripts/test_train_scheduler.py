import csv
import json
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_loading.task_attributes import TaskType
from mml.core.data_loading.task_description import load_description, store_description
from mml.core.models.timm import TimmModel
from mml.core.scripts.exceptions import MMLError, MMLMisconfigurationException
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.train_scheduler import TrainScheduler
from mml.testing import SchedulerContract
from tests.support.tasks import make_task
from tests.support.training import QUICK, train, train_config

KILLED = """
import os, signal, sys
from mml.config_loading import compose
from mml.core.scripts.train_scheduler import TrainScheduler

class Killed(TrainScheduler):
    def train_fold(self, task, fold):
        super().train_fold(task, fold)
        if fold == 1:
            os.kill(os.getpid(), signal.SIGKILL)

Killed(compose(sys.argv[1:])).run()
"""


@pytest.fixture
def stripes(tmp_path: Path) -> Path:
    """Create the task `stripes`, and return the folder of the project's results."""
    make_task(tmp_path / "data", "stripes")
    return tmp_path / "results" / "default"


def plan(root: Path, *overrides: str) -> TrainScheduler:
    MMLFileManager.clear_instance()
    scheduler = TrainScheduler(train_config(root, *overrides))
    scheduler.plan()
    return scheduler


def only_model(scheduler: TrainScheduler, task: str = "stripes") -> ModelStorage:
    (storage,) = scheduler.get_struct(task).models
    return storage


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_metrics(storage: ModelStorage) -> dict[str, Any]:
    (found,) = [entry for entry in storage.metrics if entry["split"] == "test"]
    return found


test_metrics.__test__ = False  # type: ignore[attr-defined] # a helper whose name pytest would take for a test


class TestContract(SchedulerContract):
    overrides = (
        "mode=train",
        "task=stripes",
        *QUICK,
        "trainer.max_epochs=1",
        "mode.predict=[test]",
    )
    # Records hold times.
    volatile: ClassVar[tuple[str, ...]] = ("MODELS/*",)

    def prepare(self, data_dir: Path) -> None:
        make_task(data_dir, "stripes", per_class=5)


def test_steps_go_fold_by_fold_and_task_by_task(stripes: Path, tmp_path: Path) -> None:
    make_task(tmp_path / "data", "more")
    scheduler = plan(tmp_path, "task=[stripes,more]", "mode.cv=true", "mode.subroutines=[predict,train]")
    steps = [(command.__name__, *params) for command, params in zip(scheduler.commands, scheduler.params, strict=True)]
    assert steps[:3] == [("train_fold", "stripes", 0), ("predict_fold", "stripes", 0), ("train_fold", "stripes", 1)]
    assert len(steps) == 2 * 2 * 5


def test_one_fold_is_the_one_asked_for(stripes: Path, tmp_path: Path) -> None:
    assert plan(tmp_path, "task=stripes", "mode.fold=3").params == [["stripes", 3]] * 3


@pytest.mark.parametrize(
    ("subroutines", "after"),
    [("train,test,predict", [[], [0], [1], [], [3], [4]]), ("train,predict", [[], [0], [], [2]])],
)
@pytest.mark.usefixtures("stripes")
def test_steps_of_a_fold_come_one_after_the_other_and_folds_do_not_need_one_another(
    tmp_path: Path, subroutines: str, after: list[list[int]]
) -> None:
    scheduler = plan(tmp_path, "task=stripes", "mode.cv=true", f"mode.subroutines=[{subroutines}]")
    assert [step.needs for step in scheduler.steps_from(0)][: len(after)] == after


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task=null"], "name a task, e.g. `mml train task=digits`"),
        (["task=stipes"], "Unknown task 'stipes'. Did you mean 'stripes'"),
        (["mode.fold=5"], "mode.fold=5 is out of range: task 'stripes' has the folds 0 to 4"),
        (["mode.subroutines=[trian]"], "Unknown subroutine 'trian'. Did you mean 'train'"),
        (["mode.subroutines=[]"], "mode.subroutines is empty"),
        (["mode.monitor=val/acc"], "Unknown metric in mode.monitor 'val/acc'. Did you mean 'val/accuracy'"),
        (["mode.keep=all"], "Unknown value of mode.keep 'all'"),
        (["loss=mse"], "Use loss=cross_entropy"),
        (["mode.subroutines=[test]"], "no model of task 'stripes' and fold 0.*reuse.models=<project>"),
    ],
)
def test_what_can_not_be_done_is_refused_before_anything_is_written(
    stripes: Path, tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(MMLMisconfigurationException, match=message):
        plan(tmp_path, "task=stripes", *overrides)
    assert not stripes.exists()


def test_a_task_that_can_not_be_learnt_is_refused(tmp_path: Path) -> None:
    make_task(tmp_path / "data", "cells", task_type=TaskType.SEMANTIC_SEGMENTATION)
    with pytest.raises(MMLMisconfigurationException, match="semantic_segmentation, which can't be trained yet"):
        plan(tmp_path, "task=cells")


def test_a_finished_training_has_all_files_and_a_record_of_them(stripes: Path, tmp_path: Path) -> None:
    scheduler = train(tmp_path, "task=stripes", "trainer.max_epochs=8")
    storage = only_model(scheduler)
    assert (storage.task, storage.fold) == ("stripes", 0)
    assert storage.performance is not None
    assert storage.performance > 0.9
    assert storage.training_time > 0
    assert set(storage.predictions) == {"val", "test"}
    assert [entry["split"] for entry in storage.metrics] == ["train", "val", "test"]
    assert test_metrics(storage)["accuracy"] > 0.9
    assert storage.storage is not None
    assert ModelStorage.from_json(storage.storage, scheduler.fm.roots) == storage
    files = [path for path in stripes.rglob("*_0001.*") if ".claims" not in path.parts]
    names = sorted(path.relative_to(stripes).as_posix() for path in files)
    assert names == [
        "METRICS/stripes/confusion_fold_0_0001.json",
        "METRICS/stripes/curves_fold_0_0001.json",
        "MODELS/stripes/model_0001.json",
        "PARAMETERS/stripes/model_0001.safetensors",
        "PIPELINES/stripes/pipeline_0001.yaml",
        "PLOTS/stripes/confusion_fold_0_0001.svg",
        "PLOTS/stripes/curves_fold_0_0001.svg",
        "PREDICTIONS/stripes/test_fold_0_0001.csv",
        "PREDICTIONS/stripes/val_fold_0_0001.csv",
    ]


def test_the_value_of_a_run_is_the_mean_over_folds_and_tasks(stripes: Path, tmp_path: Path) -> None:
    make_task(tmp_path / "data", "more", seed=1)
    scheduler = train(tmp_path, "task=[stripes,more]", "mode.cv=true", "mode.subroutines=[train]")
    values = [model.performance for task in ("stripes", "more") for model in scheduler.get_struct(task).models]
    assert len(values) == 10
    assert scheduler.return_value == pytest.approx(sum(value or 0 for value in values) / 10)


def test_predictions_agree_with_the_metrics(stripes: Path, tmp_path: Path) -> None:
    storage = only_model(train(tmp_path, "task=stripes"))
    for split, expected in (("test", test_metrics(storage)["accuracy"]), ("val", storage.performance)):
        lines = lines_of(storage.predictions[split])
        right = sum(line["target"] == line["prediction"] for line in lines)
        assert right / len(lines) == pytest.approx(expected)
        for line in lines:
            assert sum(float(line[f"p:class_{k}"]) for k in range(3)) == pytest.approx(1, abs=1e-4)


def test_the_confusion_matrix_agrees_with_the_predictions(stripes: Path, tmp_path: Path) -> None:
    scheduler = train(tmp_path, "task=stripes")
    found = json.loads(scheduler.get_struct("stripes").paths["confusion_fold_0"].read_text())
    expected = [[0] * 3 for _ in range(3)]
    for line in lines_of(only_model(scheduler).predictions["test"]):
        expected[int(line["target"][-1])][int(line["prediction"][-1])] += 1
    assert found["matrix"] == expected
    assert found["classes"] == ["class_0", "class_1", "class_2"]


def test_a_matrix_too_large_to_read_is_not_drawn(tmp_path: Path) -> None:
    make_task(tmp_path / "data", "many", classes=101, per_class=5, test_per_class=1, size=(8, 8))
    overrides = ("task=many", "mode.subroutines=[train,test]", "trainer.max_epochs=1", "sampling.batch_size=101")
    paths = train(tmp_path, *overrides).get_struct("many").paths
    assert "confusion_fold_0" in paths
    assert "confusion_fold_0_plot" not in paths


def test_the_curves_have_every_epoch(stripes: Path, tmp_path: Path) -> None:
    scheduler = train(tmp_path, "task=stripes")
    found = json.loads(scheduler.get_struct("stripes").paths["curves_fold_0"].read_text())
    assert [row["epoch"] for row in found["epochs"]] == [0, 1]
    assert {"lr", "train/loss", "train/accuracy", "val/loss", "val/accuracy"} <= set(found["epochs"][0])


def test_unlabeled_samples_are_predicted_without_target(tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes", unlabeled=4)
    storage = only_model(train(tmp_path, "task=stripes", "mode.predict=[unlabeled,train]"))
    assert [line["target"] for line in lines_of(storage.predictions["unlabeled"])] == [""] * 4
    assert len(lines_of(storage.predictions["train"])) == 24


def test_a_task_without_test_samples_is_trained_and_not_tested(tmp_path: Path) -> None:
    file = make_task(tmp_path / "data", "stripes") / "task.json"
    description = load_description(file)
    description.test_samples.clear()
    store_description(description, file)
    scheduler = train(tmp_path, "task=stripes")
    assert list(only_model(scheduler).predictions) == ["val"]
    assert "not tested" in next((tmp_path / "results/default/runs").glob("*/exp.log")).read_text()


@pytest.mark.parametrize(
    ("kind", "overrides", "metric"),
    [
        (TaskType.MULTILABEL_CLASSIFICATION, ["loss=bce", "metrics=multilabel", "mode.monitor=val/f1"], "f1"),
        (TaskType.REGRESSION, ["loss=mse", "metrics=regression", "mode.monitor=val/mae"], "mae"),
    ],
)
def test_other_kinds_of_tasks_can_be_trained(tmp_path: Path, kind: TaskType, overrides: list[str], metric: str) -> None:
    make_task(tmp_path / "data", "stripes", task_type=kind)
    scheduler = train(tmp_path, "task=stripes", *overrides)
    assert scheduler.return_value == only_model(scheduler).performance
    assert metric in test_metrics(only_model(scheduler))
    assert "confusion_fold_0" not in scheduler.get_struct("stripes").paths


def test_the_models_of_another_project_can_be_tested(stripes: Path, tmp_path: Path) -> None:
    first = only_model(train(tmp_path, "task=stripes", "proj=first", "mode.subroutines=[train]", "mode.fold=2"))
    record = first.storage
    assert record is not None
    before = record.read_bytes()
    # Another arch is asked for, but the model has to be built as it was trained.
    overrides = ("proj=second", "reuse.models=first", "mode.subroutines=[test]", "mode.fold=2", "arch.width=8")
    second = train(tmp_path, "task=stripes", *overrides)
    storage = only_model(second)
    assert storage.parameters == first.parameters
    assert second.return_value == test_metrics(storage)["accuracy"]
    assert storage.storage is not None
    assert storage.storage.is_relative_to(tmp_path / "results" / "second")
    assert record.read_bytes() == before


def test_a_model_is_used_without_the_weights_that_it_started_from(stripes: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    TimmModel(in_chans=3, image_size=(16, 16), name="test_resnet", pretrained=False).save_checkpoint(start)
    network = ("arch=timm", "arch.name=test_resnet", f"arch.checkpoint={start}", "trainer.max_epochs=1")
    train(tmp_path, "task=stripes", *network, "mode.subroutines=[train]")
    start.unlink()
    storage = only_model(train(tmp_path, "task=stripes", "mode.subroutines=[test]", "reuse.models=default"))
    assert "accuracy" in test_metrics(storage)


def test_a_record_without_pipeline_is_used_as_this_run_is_configured(stripes: Path, tmp_path: Path) -> None:
    first = train(tmp_path, "task=stripes", "mode.subroutines=[train]")
    storage = only_model(first)
    assert storage.storage is not None
    storage.pipeline = None
    storage.store(storage.storage, first.fm.roots)
    again = only_model(train(tmp_path, "task=stripes", "mode.subroutines=[test]", "reuse.models=default"))
    assert "accuracy" in test_metrics(again)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it has no `arch`"),
        (b"arch: 5\n", "it has no `arch`"),
        (b"- a\n", "it holds no mapping"),
        (b"\xff", "can't decode byte 0xff"),
        (b"a: !!python/name:os.mkdir\n", "could not determine a constructor"),
    ],
)
def test_a_damaged_pipeline_is_an_error_and_not_that_of_this_run(
    stripes: Path, tmp_path: Path, data: bytes, said: str
) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_bytes(data)
    storage = ModelStorage(
        task="stripes", fold=0, parameters=tmp_path / "x", pipeline=path, created=datetime(2026, 1, 1, tzinfo=UTC)
    )
    scheduler = plan(tmp_path, "task=stripes", "mode.subroutines=[train]")
    with pytest.raises(MMLError, match=re.escape(f"The pipeline {path}, which says how to build a model")) as caught:
        scheduler._config_of(storage)
    assert said in str(caught.value)


def test_a_fold_that_nobody_trained_is_refused_with_those_there_are(stripes: Path, tmp_path: Path) -> None:
    train(tmp_path, "task=stripes", "mode.subroutines=[train]", "mode.fold=2")
    with pytest.raises(MMLMisconfigurationException, match=r"fold 1.*There are models of fold 2: use mode\.fold"):
        plan(tmp_path, "task=stripes", "mode.subroutines=[test]", "mode.fold=1", "reuse.models=default")


def test_testing_again_in_one_project_replaces_the_metrics(stripes: Path, tmp_path: Path) -> None:
    train(tmp_path, "task=stripes")
    storage = only_model(train(tmp_path, "task=stripes", "mode.subroutines=[test]", "reuse.models=default"))
    assert [entry["split"] for entry in storage.metrics] == ["train", "val", "test"]
    assert len(list((stripes / "MODELS").glob("*/*.json"))) == 1


def test_the_pipeline_says_how_the_model_was_made(stripes: Path, tmp_path: Path) -> None:
    storage = only_model(train(tmp_path, "task=stripes", "mode.subroutines=[train]", "seed=5"))
    assert storage.pipeline is not None
    pipeline = OmegaConf.load(storage.pipeline)
    assert (pipeline.task, pipeline.fold, pipeline.seed) == ("stripes", 0, 5)
    assert pipeline.arch.width == 4
    assert pipeline.optimizer.lr == 0.01


def test_the_pipeline_has_what_tuning_found(stripes: Path, tmp_path: Path) -> None:
    tuning = ("tune=both", "tune.min_batch_size=2", "tune.max_batch_size=4", "tune.lr_steps=30")
    storage = only_model(train(tmp_path, "task=stripes", "mode.subroutines=[train]", *tuning))
    assert storage.pipeline is not None
    pipeline = OmegaConf.load(storage.pipeline)
    assert pipeline.sampling.batch_size == 4
    assert pipeline.optimizer.lr != 0.01


@pytest.mark.parametrize("damage", ["missing", "broken"])
def test_a_pipeline_that_can_not_be_read_is_named(stripes: Path, tmp_path: Path, damage: str) -> None:
    storage = only_model(train(tmp_path, "task=stripes", "mode.subroutines=[train]"))
    assert storage.pipeline is not None
    if damage == "missing":
        storage.pipeline.unlink()
    else:
        storage.pipeline.write_text("a: [")
    with pytest.raises(MMLError, match=r"pipeline_0001\.yaml.* can't be read"):
        train(tmp_path, "task=stripes", "mode.subroutines=[test]", "reuse.models=default")


def test_a_loss_that_is_no_number_fails_the_step(stripes: Path, tmp_path: Path) -> None:
    with pytest.raises(MMLError, match=r"task 'stripes' became (nan|inf) in epoch \d+, batch \d+.*optimizer\.lr"):
        train(tmp_path, "task=stripes", "optimizer=sgd", "optimizer.lr=1e30", "lr_scheduler=none")


def test_a_value_that_is_no_number_is_no_value(stripes: Path, tmp_path: Path) -> None:
    # Nothing is validated, so the watched metric is never measured.
    scheduler = train(tmp_path, "task=stripes", "trainer.limit_val_batches=0", "mode.keep=last")
    assert scheduler.return_value is None
    assert only_model(scheduler).performance is None


def test_the_report_names_values_and_files(stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scheduler = train(tmp_path, "task=stripes", "trainer.max_epochs=1")
    told = capsys.readouterr().out
    for text in ("stripes", "accuracy", "PARAMETERS/stripes/model_0001.safetensors", str(scheduler.fm.proj_path)):
        assert text in told


@pytest.mark.slow
def test_killed_in_its_second_fold_a_run_continues_to_the_same_bits(stripes: Path, tmp_path: Path) -> None:
    overrides = ("task=stripes", "mode.cv=true", "mode.subroutines=[train,test]", "trainer.max_epochs=1")
    arguments = ["mode=train", f"data_dir={tmp_path / 'data'}", f"out_dir={tmp_path / 'results'}", *QUICK, *overrides]
    child = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, check=False, timeout=120)
    assert child.returncode == -signal.SIGKILL
    cfg = train_config(tmp_path, *overrides)
    (run,) = (stripes / "runs").iterdir()
    OmegaConf.update(cfg, "continue", run.name)
    continued = TrainScheduler(cfg)
    value = continued.run()
    whole = train(tmp_path, *overrides, "proj=whole")
    assert value == whole.return_value
    assert [model.fold for model in continued.get_struct("stripes").models] == list(range(5))
    files = sorted(stripes.glob("*/*/*.safetensors"))
    assert len(files) == 5
    for file in files:
        first, second = load_file(file), load_file(tmp_path / "results" / "whole" / file.relative_to(stripes))
        assert all(torch.equal(first[name], second[name]) for name in second)
