import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from mml.core.models.timm import TimmModel, check_name
from mml.core.scripts.exceptions import MissingWeightsError, MMLError, MMLMisconfigurationException, UnknownNameError

# Among the smallest of timm's networks.
SMALL = "test_resnet"
SMALL_FIXED = "test_vit"


def build(name: str = SMALL, *, channels: int = 3, size: int = 32, **keys: Any) -> TimmModel:
    return TimmModel(in_chans=channels, image_size=(size, size), name=name, **{"pretrained": False, **keys})


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Put the server of weights where nobody answers, and return the empty cache of weights."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def published(name: str, offset: float = 0.0) -> dict[str, torch.Tensor]:
    """Return a state as somebody might have published it: all weights of the network with its classifier."""
    return {key: value.clone() + offset for key, value in timm.create_model(name).state_dict().items()}


@pytest.mark.parametrize("name", [SMALL, SMALL_FIXED, "test_efficientnet", "test_convnext", "mobilenetv3_small_050"])
@pytest.mark.parametrize(("channels", "size"), [(1, 32), (3, 64)])
def test_any_network_becomes_a_backbone(name: str, channels: int, size: int) -> None:
    model = build(name, channels=channels, size=size).eval()
    assert model.forward_features(torch.rand(2, channels, size, size)).shape == (2, model.num_features)


def test_a_new_network_is_in_training_mode_and_its_statistics_are_fresh() -> None:
    model = build()
    assert all(module.training for module in model.modules())
    assert float(model.state_dict()["backbone.0.bn1.num_batches_tracked"]) == 0


def test_features_can_be_dropped() -> None:
    assert (build(drop_rate=0.9).forward_features(torch.rand(2, 3, 32, 32)) == 0).float().mean() > 0.5


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"timm model \(arch\.name\) 'resnet19'\. Did you mean .*'resnet18'"):
        check_name("resnet19")


def test_unknown_weights_of_a_known_network_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"'resnet18\.a1_in2k'\. Did you mean 'resnet18\.a1_in1k'"):
        check_name("resnet18.a1_in2k")


@pytest.mark.parametrize("name", ["resnet18", "resnet18.a1_in1k"])
def test_a_name_with_or_without_weights_is_fine(name: str) -> None:
    check_name(name)


def test_a_size_that_the_network_can_not_take_is_refused() -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"arch\.name=test_vit can't .*\(33, 33\)|33x33"):
        build(SMALL_FIXED, size=33)


def test_a_size_that_fails_only_in_the_network_is_refused() -> None:
    with pytest.raises(MMLMisconfigurationException, match="can't take images of 8x8 pixels with 3 channels"):
        build("inception_v3", size=8)


@pytest.mark.parametrize("name", ["gcvit_xxtiny", "nest_tiny", "sebotnet33ts_256"])
def test_a_size_that_the_network_can_not_be_built_for_is_refused(name: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=rf"arch\.name={name} can't be built for images of \(8, 8\)"):
        build(name, size=8)


def test_missing_weights_name_the_switch_and_the_file(offline: Path) -> None:
    with pytest.raises(MissingWeightsError) as caught:
        build("resnet18", pretrained=True)
    for hint in ("arch.name=resnet18", "arch.pretrained=false", "arch.checkpoint=<file.safetensors>", "huggingface.co"):
        assert hint in str(caught.value)


def test_nobody_is_asked_when_the_hub_is_told_to_be_offline(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingWeightsError, match="out of reach"):
        build("resnet18", pretrained=True)


@pytest.fixture
def empty_server() -> Iterator[str]:
    """Run a server that has nothing, and return its address."""

    class Empty(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(404)

        do_GET = do_HEAD

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_weights_that_a_server_does_not_have_are_missing(empty_server: str, tmp_path: Path) -> None:
    code = """
from mml.core.models.timm import TimmModel
try:
    TimmModel(in_chans=3, image_size=(32, 32), name="test_resnet")
except Exception as error:
    print(type(error).__name__, error)
"""
    env = {**os.environ, "HF_ENDPOINT": empty_server, "HF_HOME": str(tmp_path)}
    child = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert child.stdout.startswith("MissingWeightsError Pretrained weights of arch.name=test_resnet")
    assert "arch.pretrained=false" in child.stdout


def test_a_network_without_published_weights_is_told(offline: Path) -> None:
    name = next(name for name in timm.list_models() if not timm.is_model_pretrained(name))
    with pytest.raises(MMLMisconfigurationException, match=rf"Nobody published weights of arch\.name={name}"):
        build(name, pretrained=True)


@pytest.mark.parametrize(("file", "store"), [("model.safetensors", save_file), ("pytorch_model.bin", torch.save)])
def test_weights_fetched_earlier_are_taken_without_a_network(offline: Path, file: str, store: Any) -> None:
    source = timm.get_pretrained_cfg(SMALL)
    assert source is not None
    folder = offline / f"models--{source.hf_hub_id.replace('/', '--')}"
    state = published(SMALL, 0.5)
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    store(state, folder / "snapshots" / "abc" / file)
    model = build(pretrained=True)
    torch.testing.assert_close(model.state_dict()["backbone.0.bn1.weight"], state["bn1.weight"])


def test_weights_fetched_from_elsewhere_are_taken_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    source = timm.get_pretrained_cfg("legacy_seresnet18")
    assert source is not None
    file = tmp_path / "torch" / "hub" / "checkpoints" / source.url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    state = published("legacy_seresnet18", 0.5)
    torch.save(state, file)
    model = build("legacy_seresnet18", pretrained=True)
    torch.testing.assert_close(model.state_dict()["backbone.0.layer0.bn1.weight"], state["layer0.bn1.weight"])


@pytest.mark.parametrize("data", [b"cposix\nmkdir\n(Vowned\ntR.", b"", b"noise"])
def test_fetched_files_that_are_no_weights_alone_are_refused_and_their_code_never_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    source = timm.get_pretrained_cfg("legacy_seresnet18")
    assert source is not None
    file = tmp_path / "torch" / "hub" / "checkpoints" / source.url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    with pytest.raises(MMLError, match=re.escape(f"The fetched weights {file} can't be read")):
        build("legacy_seresnet18", pretrained=True)
    assert not Path("owned").exists()


def test_a_checkpoint_in_timms_names_is_taken(tmp_path: Path) -> None:
    state = published(SMALL, 0.25)
    save_file(state, tmp_path / "weights.safetensors")
    model = build(pretrained=True, checkpoint=str(tmp_path / "weights.safetensors"))
    torch.testing.assert_close(model.state_dict()["backbone.0.bn1.weight"], state["bn1.weight"])


def test_a_checkpoint_of_mml_is_taken(tmp_path: Path) -> None:
    first = build().eval()
    first.save_checkpoint(tmp_path / "weights.safetensors")
    second = build(checkpoint=str(tmp_path / "weights.safetensors")).eval()
    images = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(first.forward_features(images), second.forward_features(images))


def test_a_checkpoint_is_adapted_to_grey_images(tmp_path: Path) -> None:
    state = published(SMALL)
    save_file(state, tmp_path / "weights.safetensors")
    model = build(channels=1, checkpoint=str(tmp_path / "weights.safetensors"))
    expected = state["conv1.0.weight"].sum(dim=1, keepdim=True)
    torch.testing.assert_close(model.state_dict()["backbone.0.conv1.0.weight"], expected)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    save_file({"something": torch.zeros(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(MMLError, match=r"holds no weight of arch\.name=test_resnet"):
        build(checkpoint=str(tmp_path / "weights.safetensors"))


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    state = published(SMALL)
    state["bn1.weight"] = torch.zeros(2)
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(MMLError, match=r"(?s)do not fit arch\.name=test_resnet.*size mismatch"):
        build(checkpoint=str(tmp_path / "weights.safetensors"))


def test_a_checkpoint_that_lacks_weights_is_taken_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = published(SMALL)
    del state["bn1.weight"]
    save_file(state, tmp_path / "weights.safetensors")
    build(checkpoint=str(tmp_path / "weights.safetensors"))
    assert "lacks 1 of" in caplog.text


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MMLError, match=r"none\.safetensors are missing"):
        build(checkpoint=str(tmp_path / "none.safetensors"))
