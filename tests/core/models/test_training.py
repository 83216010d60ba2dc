import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import OmegaConf

from mml.core.models.callbacks import MetricHistory
from mml.core.models.training import build_callbacks, build_trainer, checkpoint_minutes, keep_best, tensorboard_logger
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from tests.support.training import train_config


def test_the_trainer_is_as_configured_and_quiet(tmp_path: Path) -> None:
    trainer = build_trainer(train_config(tmp_path, "trainer.gradient_clip_val=0.5"), callbacks=[], root=tmp_path)
    assert (trainer.max_epochs, trainer.gradient_clip_val) == (2, 0.5)
    assert trainer.progress_bar_callback is None
    assert trainer.checkpoint_callback is None
    assert trainer.loggers == []
    assert trainer.default_root_dir == str(tmp_path)
    assert logging.getLogger("lightning.pytorch").level == logging.WARNING


def test_advice_that_mml_answers_already_is_not_repeated(tmp_path: Path) -> None:
    build_trainer(train_config(tmp_path), callbacks=[], root=tmp_path)
    warnings.warn("The 'train_dataloader' does not have many workers which may be a bottleneck.", stacklevel=1)
    with pytest.raises(UserWarning, match="other"):
        warnings.warn("other", stacklevel=1)


def test_any_argument_of_lightnings_trainer_can_be_added(tmp_path: Path) -> None:
    trainer = build_trainer(train_config(tmp_path, "+trainer.min_epochs=2"), callbacks=[], root=tmp_path)
    assert trainer.min_epochs == 2


@pytest.mark.parametrize(
    "setting",
    [
        "max_epochs=two",
        "max_epochs=0",
        "accumulate_grad_batches=0",
        "check_val_every_n_epoch=1.5",
        "log_every_n_steps=no",
    ],
)
def test_a_count_that_is_none_is_refused(tmp_path: Path, setting: str) -> None:
    key = setting.partition("=")[0]
    with pytest.raises(MMLMisconfigurationException, match=f"trainer.{key}=.* has to be a whole number"):
        build_trainer(train_config(tmp_path, f"trainer.{setting}"), callbacks=[], root=tmp_path)


def test_the_cpu_computes_with_as_many_threads_as_the_config_says_wherever_that_is(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (3, 1):
            build_trainer(train_config(tmp_path, f"trainer.threads={threads}"), callbacks=[], root=tmp_path)
            assert torch.get_num_threads() == threads
        build_trainer(train_config(tmp_path, "~trainer.threads"), callbacks=[], root=tmp_path)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("value", ["0", "two", "1.5", "true"])
def test_a_number_of_threads_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=f"(?i)trainer.threads={value} can't be used"):
        build_trainer(train_config(tmp_path, f"trainer.threads={value}"), callbacks=[], root=tmp_path)


@pytest.mark.parametrize("value", ["x", "0", "-1.5", "true"])
def test_a_bound_of_gradients_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match="has to be a number above 0"):
        build_trainer(train_config(tmp_path, f"trainer.gradient_clip_val={value}"), callbacks=[], root=tmp_path)


def test_a_training_may_have_another_end_than_its_epochs(tmp_path: Path) -> None:
    settings = ("trainer.max_epochs=-1", "+trainer.max_time=00:00:00:01")
    assert build_trainer(train_config(tmp_path, *settings), callbacks=[], root=tmp_path).max_epochs == -1


@pytest.mark.parametrize("key", ["max_epoch", "callbacks", "logger"])
def test_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path, key: str) -> None:
    with pytest.raises(UnknownNameError, match=f"Unknown key of trainer '{key}'"):
        build_trainer(train_config(tmp_path, f"+trainer.{key}=2"), callbacks=[], root=tmp_path)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is what the test misses")
def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match="No supported gpu backend found"):
        build_trainer(train_config(tmp_path, "trainer.accelerator=gpu"), callbacks=[], root=tmp_path)


@pytest.mark.parametrize("value", ["precision=7", "accelerator=abacus", "devices=-3"])
def test_values_that_lightning_refuses_are_told(tmp_path: Path, value: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match="mml help trainer"):
        build_trainer(train_config(tmp_path, f"trainer.{value}"), callbacks=[], root=tmp_path)


def test_more_than_one_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"trainer\.devices=2: one training uses one device"):
        build_trainer(train_config(tmp_path, "trainer.devices=2"), callbacks=[], root=tmp_path)


def test_without_leave_to_use_a_gpu_the_cpu_is_used(tmp_path: Path) -> None:
    cfg = train_config(tmp_path, "trainer.accelerator=gpu", "sys.allow_gpu=false")
    assert build_trainer(cfg, callbacks=[], root=tmp_path).strategy.root_device.type == "cpu"


def test_history_is_empty_unless_it_is_collected(tmp_path: Path) -> None:
    cfg = train_config(tmp_path)
    assert build_trainer(cfg, callbacks=[], root=tmp_path).history == []
    history = MetricHistory()
    history.rows = [{"epoch": 0}]
    assert build_trainer(cfg, callbacks=[history], root=tmp_path).history == [{"epoch": 0}]


def callbacks(root: Path, *overrides: str) -> list[Any]:
    return build_callbacks(train_config(root, *overrides).get("callbacks"), "val/f1", "max")


def test_early_stopping_watches_what_the_mode_watches(tmp_path: Path) -> None:
    (stopping,) = callbacks(tmp_path, "callbacks=early_stopping")
    assert isinstance(stopping, EarlyStopping)
    assert (stopping.monitor, stopping.mode) == ("val/f1", "max")


def test_early_stopping_watches_another_metric_when_told(tmp_path: Path) -> None:
    own = ("callbacks.early_stopping.monitor=val/loss", "callbacks.early_stopping.mode=min")
    (stopping,) = callbacks(tmp_path, "callbacks=early_stopping", *own)
    assert (stopping.monitor, stopping.mode) == ("val/loss", "min")


def test_early_stopping_on_another_metric_takes_that_metrics_direction(tmp_path: Path) -> None:
    (stopping,) = callbacks(tmp_path, "callbacks=early_stopping", "callbacks.early_stopping.monitor=val/loss")
    assert (stopping.monitor, stopping.mode) == ("val/loss", "min")


@pytest.mark.parametrize(("option", "number"), [("default", 0), ("ema", 1), ("swa", 1)])
def test_other_options_can_be_built(tmp_path: Path, option: str, number: int) -> None:
    assert len(callbacks(tmp_path, f"callbacks={option}")) == number


def test_no_group_has_no_callbacks() -> None:
    assert build_callbacks(None, "val/loss", "min") == []


def test_a_callback_that_refuses_its_settings_is_named(tmp_path: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"callbacks\.early_stopping refuses its settings"):
        callbacks(tmp_path, "callbacks=early_stopping", "callbacks.early_stopping.mode=upwards")


def test_only_averaged_weights_need_whole_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    assert keep_best("val/f1", "max", path, []).save_weights_only
    assert not keep_best("val/f1", "max", path, [EMAWeightAveraging()]).save_weights_only


def test_the_best_epoch_is_kept_in_a_file_with_its_number(tmp_path: Path) -> None:
    keeper = keep_best("val/loss", "min", tmp_path / "best.ckpt", [])
    assert isinstance(keeper, ModelCheckpoint)
    assert (keeper.dirpath, keeper.filename) == (str(tmp_path), "best_{epoch}")
    assert (keeper.monitor, keeper.mode) == ("val/loss", "min")


def test_tensorboard_writes_below_the_run_folder_when_wanted(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    wanted = OmegaConf.create({"logging": {"tensorboard": True}})
    unwanted = OmegaConf.create({"logging": {"tensorboard": False}})
    made = tensorboard_logger(wanted, tmp_path, "digits_fold_0")
    assert isinstance(made, TensorBoardLogger)
    assert Path(made.log_dir) == tmp_path / "tensorboard" / "digits_fold_0"
    assert tensorboard_logger(unwanted, tmp_path, "digits_fold_0") is None
    assert tensorboard_logger(wanted, None, "digits_fold_0") is None
    assert tensorboard_logger(OmegaConf.create({}), tmp_path, "digits_fold_0") is None


def test_tensorboard_does_not_show_what_an_interrupted_training_left(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    left, other = (tmp_path / "tensorboard" / name / "events.out" for name in ("digits_fold_0", "digits_fold_1"))
    for path in (left, other):
        path.parent.mkdir(parents=True)
        path.touch()
    tensorboard_logger(OmegaConf.create({"logging": {"tensorboard": True}}), tmp_path, "digits_fold_0")
    assert not left.exists()
    assert other.exists()


@pytest.mark.parametrize(("given", "minutes"), [("5", 5.0), ("0", 0.0), ("0.5", 0.5), ("null", None)])
def test_minutes_between_checkpoints_are_read(tmp_path: Path, given: str, minutes: float | None) -> None:
    assert checkpoint_minutes(train_config(tmp_path, f"trainer.checkpoint_minutes={given}")) == minutes


@pytest.mark.parametrize("given", ["-1", "often", "true", "inf", "[5]"])
def test_minutes_that_make_no_sense_are_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"trainer\.checkpoint_minutes=.* number of minutes"):
        checkpoint_minutes(train_config(tmp_path, f"trainer.checkpoint_minutes={given}"))
