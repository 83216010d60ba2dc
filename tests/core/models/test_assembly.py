from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from mml.core.models.assembly import build_backbone, build_recipe, named
from mml.core.models.losses import CrossEntropyLoss
from mml.core.models.tiny import TinyModel
from mml.core.scripts.exceptions import MMLMisconfigurationException
from tests.support.training import train_config


def arch(**keys: Any) -> DictConfig:
    made = OmegaConf.create({"_target_": "mml.core.models.tiny.TinyModel", "_partial_": True, "width": 2, **keys})
    assert isinstance(made, DictConfig)
    return made


def test_a_network_is_built_for_the_images() -> None:
    model = build_backbone(arch(), in_chans=4, image_size=(16, 20))
    assert isinstance(model, TinyModel)
    assert model.forward_features(torch.rand(1, 4, 16, 20)).shape == (1, 8)


def test_the_suggested_rate_is_not_the_networks_business() -> None:
    assert build_backbone(arch(suggested_lr=0.1), in_chans=1, image_size=(8, 8)).num_features == 8


def test_a_key_that_the_network_does_not_know_is_refused() -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"refuses its settings: .*depth.*mml help arch"):
        build_backbone(arch(depth=3), in_chans=1, image_size=(8, 8))


def test_a_target_that_does_not_exist_is_refused() -> None:
    with pytest.raises(MMLMisconfigurationException, match="arch can't be made: .*NoModel"):
        build_backbone(arch(_target_="mml.core.models.tiny.NoModel"), in_chans=1, image_size=(8, 8))


def test_a_target_that_is_no_base_model_is_refused() -> None:
    entry = OmegaConf.create({"_target_": "builtins.dict", "_partial_": True})
    with pytest.raises(MMLMisconfigurationException, match=r"builtins\.dict makes a dict; it has to make a BaseModel"):
        build_backbone(entry, in_chans=1, image_size=(8, 8))


def test_an_option_that_is_complete_already_is_refused() -> None:
    entry = OmegaConf.create({"_target_": "builtins.dict"})
    with pytest.raises(MMLMisconfigurationException, match="arch needs `_partial_: true`"):
        build_backbone(entry, in_chans=1, image_size=(8, 8))


def test_the_shipped_recipe_is_complete(tmp_path: Path) -> None:
    recipe = build_recipe(train_config(tmp_path))
    assert isinstance(recipe.loss, partial)
    assert recipe.loss.func is CrossEntropyLoss
    assert recipe.schedule is not None
    assert list(recipe.metrics) == ["accuracy", "balanced_accuracy", "f1", "kappa"]
    assert recipe.monitor == "val/accuracy"


def test_no_schedule_is_none(tmp_path: Path) -> None:
    assert build_recipe(train_config(tmp_path, "lr_scheduler=none")).schedule is None


def test_a_mode_that_watches_nothing_watches_the_loss(tmp_path: Path) -> None:
    assert build_recipe(train_config(tmp_path, "mode=info")).monitor == "val/loss"


def test_an_object_set_to_null_is_left_out(tmp_path: Path) -> None:
    assert "kappa" not in build_recipe(train_config(tmp_path, "metrics.kappa=null")).metrics


def test_no_group_has_no_objects() -> None:
    assert named(None) == []


@pytest.mark.parametrize(("network", "rate"), [("tiny", 0.01), ("timm", 0.001)])
def test_the_learning_rate_is_what_the_network_suggests(tmp_path: Path, network: str, rate: float) -> None:
    assert train_config(tmp_path, f"arch={network}").optimizer.lr == rate


@pytest.mark.parametrize("option", ["adam", "adamw", "sgd"])
def test_every_optimizer_can_step(tmp_path: Path, option: str) -> None:
    optimizer = build_recipe(train_config(tmp_path, f"optimizer={option}")).optimizer([torch.zeros(2, 2)])
    optimizer.step()
