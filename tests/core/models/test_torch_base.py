from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mml.core.models.tiny import TinyModel
from mml.core.models.torch_base import BaseModel, load_weights
from mml.core.scripts.exceptions import MMLError


def small(*tasks: str, width: int = 2) -> TinyModel:
    model = TinyModel(in_chans=1, image_size=(8, 8), width=width)
    for task in tasks:
        model.add_head(task, nn.Linear(model.num_features, 3))
    return model.eval()


def test_forward_gives_logits_by_task() -> None:
    logits = small("one", "two")(torch.rand(5, 1, 8, 8))
    assert {task: tuple(values.shape) for task, values in logits.items()} == {"one": (5, 3), "two": (5, 3)}


def test_forward_gives_only_the_tasks_asked_for() -> None:
    assert list(small("one", "two")(torch.rand(1, 1, 8, 8), ("two",))) == ["two"]


@pytest.mark.parametrize("name", ["keys", "training", "v1.5", "a+b?c", "type", "task_x"])
def test_any_task_name_can_have_a_head(name: str) -> None:
    model = small(name)
    assert model.tasks == [name]
    assert list(model(torch.rand(2, 1, 8, 8))) == [name]


def test_a_task_without_head_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        small("one").head("two")


def test_a_frozen_backbone_has_no_gradients_until_it_is_unfrozen() -> None:
    model = small("one")
    everything = model.count_parameters()
    model.freeze_backbone()
    assert model.count_parameters(only_trainable=True) == 8 * 3 + 3
    model.unfreeze_backbone()
    assert model.count_parameters(only_trainable=True) == everything


def test_a_checkpoint_brings_back_the_same_outputs(tmp_path: Path) -> None:
    first, second = small("one"), small("one")
    images = torch.rand(4, 1, 8, 8)
    first.save_checkpoint(tmp_path / "deep" / "model.safetensors")
    second.load_checkpoint(tmp_path / "deep" / "model.safetensors")
    assert torch.equal(first(images)["one"], second(images)["one"])


def test_saving_leaves_nothing_but_the_file(tmp_path: Path) -> None:
    small("one").save_checkpoint(tmp_path / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_weights_that_modules_share_are_saved(tmp_path: Path) -> None:
    model = small("one")
    model.add_head("two", model.head("one"))
    model.save_checkpoint(tmp_path / "model.safetensors")
    state = load_file(tmp_path / "model.safetensors")
    assert torch.equal(state["heads.task_one.weight"], state["heads.task_two.weight"])


def test_only_the_backbone_can_be_loaded(tmp_path: Path) -> None:
    first, second = small("one"), small("other")
    head = second.head("other").weight.clone()
    first.save_checkpoint(tmp_path / "model.safetensors")
    second.load_checkpoint(tmp_path / "model.safetensors", backbone_only=True)
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(first.forward_features(images), second.forward_features(images))
    assert torch.equal(second.head("other").weight, head)


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    small("one").save_checkpoint(tmp_path / "model.safetensors")
    with pytest.raises(MMLError, match=r"model\.safetensors do not fit this model: .*task_two"):
        small("two").load_checkpoint(tmp_path / "model.safetensors")
    with pytest.raises(MMLError, match="size mismatch"):
        small("one", width=4).load_checkpoint(tmp_path / "model.safetensors")


def test_missing_weights_name_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(MMLError, match=r"are missing.*reuse\.models=<project>"):
        load_weights(tmp_path / "none.safetensors")


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(MMLError, match=r"bad\.safetensors can't be read"):
        load_weights(tmp_path / "bad.safetensors")


@pytest.mark.parametrize("channels_last", [True, False])
def test_memory_layout_changes_no_result(channels_last: bool) -> None:
    torch.manual_seed(0)
    plain = TinyModel(in_chans=3, image_size=(16, 16), width=2, channels_last=False).eval()
    other = TinyModel(in_chans=3, image_size=(16, 16), width=2, channels_last=channels_last).eval()
    other.load_state_dict(plain.state_dict())
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(plain.forward_features(images), other.forward_features(images))
    weight = other.backbone[0][0].weight
    assert weight.is_contiguous(memory_format=other.memory_format)


def test_a_subclass_may_bring_any_backbone() -> None:
    model = BaseModel(nn.Flatten(), 12)
    model.add_head("one", nn.Linear(12, 2))
    assert model(torch.rand(3, 3, 2, 2))["one"].shape == (3, 2)
