import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from mml.core.data_loading.task_struct import TaskStruct
from mml.core.models.callbacks import EpochSeed, MetricHistory
from mml.core.models.progress_callback import LightningProgress
from mml.core.models.tiny import TinyModel
from mml.core.scripts import factories
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.progress import RunProgress
from tests.support.tasks import make_task
from tests.support.training import file_manager, train_config


@pytest.fixture
def struct(tmp_path: Path) -> TaskStruct:
    make_task(tmp_path / "data", "stripes")
    return file_manager(tmp_path).load_struct("stripes")


def trainer(root: Path, *overrides: str, **keys: Any) -> Any:
    cfg = train_config(root, *overrides)
    return factories.create_trainer(cfg, fm=file_manager(root), progress=RunProgress(enabled=False), seed=3, **keys)


def keeper(made: Any) -> ModelCheckpoint:
    found = made.checkpoint_callback
    assert isinstance(found, ModelCheckpoint)
    return found


def test_importing_the_factories_imports_nothing_heavy() -> None:
    code = "import sys, mml.core.scripts.factories; print({'torch', 'lightning', 'timm', 'optuna'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_trainer_seeds_epochs_shows_progress_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    made = trainer(tmp_path)
    kinds = {type(callback) for callback in made.callbacks}
    assert {EpochSeed, LightningProgress, ModelCheckpoint} <= kinds
    assert MetricHistory not in kinds
    assert (keeper(made).monitor, keeper(made).mode) == ("val/accuracy", "max")
    assert Path(str(keeper(made).dirpath)).is_relative_to(tmp_path / "results")


def test_another_metric_can_decide(tmp_path: Path) -> None:
    assert (keeper(trainer(tmp_path, monitor="val/loss")).monitor) == "val/loss"
    assert (keeper(trainer(tmp_path, monitor="val/loss")).mode) == "min"


def test_the_direction_can_be_told(tmp_path: Path) -> None:
    assert keeper(trainer(tmp_path, "mode.direction=min")).mode == "min"


@pytest.mark.parametrize("overrides", [("mode.keep=last",), ("mode=info",)], ids=["last", "no monitor"])
def test_without_a_best_epoch_no_checkpoint_is_written(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    assert trainer(tmp_path, *overrides).checkpoint_callback is None


def test_history_is_collected_when_asked(tmp_path: Path) -> None:
    assert any(isinstance(callback, MetricHistory) for callback in trainer(tmp_path, metrics_callback=True).callbacks)


def test_whatever_lightning_writes_unasked_is_temporary(tmp_path: Path) -> None:
    assert trainer(tmp_path).default_root_dir == str(file_manager(tmp_path).temp_path)


def test_a_model_fits_the_images_and_tasks(tmp_path: Path, struct: TaskStruct) -> None:
    model = factories.create_model(train_config(tmp_path), [struct])
    assert isinstance(model.model, TinyModel)
    assert model(torch.rand(2, 3, 16, 16))["stripes"].shape == (2, 3)


def test_a_model_of_timm_is_one_word_away(tmp_path: Path, struct: TaskStruct) -> None:
    cfg = train_config(tmp_path, "arch=timm", "arch.name=test_resnet", "arch.pretrained=false")
    assert factories.create_model(cfg, [struct])(torch.rand(2, 3, 16, 16))["stripes"].shape == (2, 3)


def test_data_is_seeded_by_the_step_or_the_run(tmp_path: Path, struct: TaskStruct) -> None:
    cfg = train_config(tmp_path, "seed=11")
    assert factories.create_datamodule(cfg, [struct], 1, seed=5).seed == 5
    assert factories.create_datamodule(cfg, [struct]).seed == 11
    assert factories.create_datamodule(cfg, [struct], 1).fold == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss=bce"], "Use loss=cross_entropy"),
        (["metrics=regression", "mode.monitor=val/loss"], "Use .*metrics=classification"),
        (["optimizer.lr=-1"], "The optimizer refuses its settings"),
        (["+optimizer.speed=1"], "The optimizer refuses its settings.*speed"),
        (["+arch.depth=3"], "The network refuses its settings.*depth"),
        (["+trainer.epochs=3"], "Unknown key of trainer 'epochs'"),
        (["trainer.devices=4"], "one training uses one device"),
        (["callbacks=early_stopping", "callbacks.early_stopping.mode=up"], "callbacks.early_stopping refuses"),
        (["sampling.batch_size=two"], "sampling.batch_size=two can't be used"),
        (["augmentations.normalization=zero"], "zero"),
        (["preprocessing.size=huge"], "huge"),
    ],
)
def test_settings_with_which_nothing_could_begin_are_refused(
    tmp_path: Path, struct: TaskStruct, overrides: list[str], message: str
) -> None:
    with pytest.raises(MMLMisconfigurationException, match=message):
        factories.check_model(train_config(tmp_path, *overrides), [struct])


def test_an_unknown_network_is_refused_with_the_nearest(tmp_path: Path, struct: TaskStruct) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean .*'resnet18'"):
        factories.check_model(train_config(tmp_path, "arch=timm", "arch.name=resnet_18"), [struct])


def test_the_shipped_settings_are_fine(tmp_path: Path, struct: TaskStruct) -> None:
    factories.check_model(train_config(tmp_path), [struct])
