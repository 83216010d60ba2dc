"""Forks of real trainings: what is taken over, and that the rest has the bits of a training of its own."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.drift_config import MISSING, Difference, concerning, is_where
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.train_scheduler import STEP_KEYS, TrainScheduler
from tests.support.stages import newest, taken_over
from tests.support.tasks import make_task
from tests.support.training import train, train_config

# Keys of the root that say which steps there are, which run this is, or how many: no step depends on them.
OF_THE_PLAN = {"mode", "task", "task_list", "tasks", "pivot", "proj", "continue", "fork", "seed", "hpo", "search_space"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with a task and a finished training of its first fold."""
    make_task(tmp_path / "data", "stripes")
    train(tmp_path, "task=stripes")
    return tmp_path


def outcome(scheduler: TrainScheduler) -> list[tuple[int, bytes, dict[str, bytes], Any, Any]]:
    """Return what a run knows of its models in the end: weights, predictions and metrics."""
    models: list[ModelStorage] = sorted(scheduler.get_struct("stripes").models, key=lambda model: model.fold)
    return [
        (
            model.fold,
            model.parameters.read_bytes(),
            {split: path.read_bytes() for split, path in model.predictions.items()},
            model.metrics,
            scheduler.return_value,
        )
        for model in models
    ]


def fork(root: Path, *overrides: str) -> TrainScheduler:
    source = f"default/{newest(root).name}"
    cfg = train_config(root, "task=stripes", *overrides)
    OmegaConf.update(cfg, "fork", source)
    MMLFileManager.clear_instance()
    scheduler = TrainScheduler(cfg)
    scheduler.run()
    return scheduler


@pytest.mark.parametrize(
    ("overrides", "taken"),
    [
        (["mode.cv=true"], [0, 1, 2]),
        (["mode.predict=[test]"], [0, 1]),
        (["mode.subroutines=[train,predict]"], [0, 1]),
        (["trainer.limit_test_batches=1"], [0]),
        (["sampling.eval_batch_size=3"], []),
        (["trainer.max_epochs=1"], []),
        (["trainer.limit_train_batches=1"], []),
    ],
)
def test_a_fork_has_the_bits_of_a_run_of_its_own(root: Path, overrides: list[str], taken: list[int]) -> None:
    before = {path: path.read_bytes() for path in (root / "results").rglob("*") if path.is_file()}
    forked = outcome(fork(root, *overrides))
    assert taken_over(newest(root)) == taken
    fresh = train(root, "task=stripes", "proj=fresh", *overrides)
    assert forked == outcome(fresh)
    assert {path: path.read_bytes() for path in before} == before


def test_more_tasks_come_to_those_that_are_done(root: Path) -> None:
    make_task(root / "data", "other", seed=1)
    cfg = train_config(root, "task=[other,stripes]", "mode.subroutines=[train]")
    OmegaConf.update(cfg, "fork", f"default/{newest(root).name}")
    MMLFileManager.clear_instance()
    TrainScheduler(cfg).run()
    assert taken_over(newest(root)) == [1]


def test_every_key_of_the_config_is_either_what_a_training_depends_on_or_known_to_be_none(root: Path) -> None:
    cfg = train_config(root, "task=stripes")
    keys = [f"{group}.key" for group in cfg if group not in OF_THE_PLAN and not is_where(f"{group}.key")]
    changes = [Difference(key, 1, MISSING) for key in keys if not is_where(key.partition(".")[0])]
    trained = {change.key for change in concerning(changes, STEP_KEYS["train_fold"])}
    assert {change.key for change in changes} - trained == {"reuse.key"}
    modes = {Difference(f"mode.{key}", 1, 2) for key in cfg.mode}
    concerned = {key: {change.key for change in concerning(modes, STEP_KEYS[key])} for key in STEP_KEYS}
    always = {"mode.id", "mode.scheduler"}
    assert concerned["train_fold"] == always | {"mode.monitor", "mode.direction", "mode.keep"}
    assert concerned["predict_fold"] == always | {"mode.predict"}
    assert concerned["test_fold"] == always


def test_of_a_subclass_that_may_read_other_keys_nothing_is_known(root: Path) -> None:
    class Own(TrainScheduler):
        pass

    assert TrainScheduler(train_config(root, "task=stripes")).step_config("train_fold") == STEP_KEYS["train_fold"]
    MMLFileManager.clear_instance()
    own = Own(train_config(root, "task=stripes"))
    assert own.step_config("train_fold") is None
    MMLFileManager.clear_instance()
    assert TrainScheduler(train_config(root, "task=stripes")).step_config("other") is None
