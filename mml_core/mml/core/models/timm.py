"""TimmModel: any network of the timm library as a backbone. Imported, like timm itself, only when it is used."""

import logging
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from torch import Tensor, nn

from mml.core.models.torch_base import BaseModel, load_weights
from mml.core.scripts.exceptions import MissingWeightsError, MMLError, MMLMisconfigurationException, UnknownNameError

logger = logging.getLogger(__name__)

# How long to wait for the server of published weights, in seconds, before saying that it is out of reach.
_PATIENCE = 5.0
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
# The network's place in the backbone, hence in the files of BaseModel.
_OWN_PREFIX = "backbone.0."


class TimmModel(BaseModel):
    """A network of timm without its classifier.

    Args:
        in_chans: channels of the images; published weights are adapted to them.
        image_size: height and width in pixels; networks made for one size are adapted to it.
        name: the model as timm knows it, e.g. `resnet18` or `vit_tiny_patch16_224.augreg_in21k`.
        pretrained: whether to start from published weights, fetched once and then cached.
        checkpoint: a file of weights (safetensors) to start from instead, with timm's or `BaseModel`'s names.
        drop_rate: share of features dropped before the heads, 0 to 1.
        channels_last: see `BaseModel`.

    Raises:
        UnknownNameError: timm has no such model; names the nearest ones.
        MissingWeightsError: published weights are neither here nor within reach.
        MMLMisconfigurationException: the network can't take images of this size, or nobody published weights of it.
        MMLError: the checkpoint is missing, damaged, or of another network.
    """

    def __init__(  # noqa: PLR0913 # one keyword per key of the arch option
        self,
        *,
        in_chans: int,
        image_size: tuple[int, int],
        name: str,
        pretrained: bool = True,
        checkpoint: str | None = None,
        drop_rate: float = 0.0,
        channels_last: bool = True,
    ) -> None:
        check_name(name)
        settings: dict[str, Any] = {"in_chans": in_chans, "num_classes": 0, **_size_settings(name, image_size)}
        if checkpoint:
            network = _from_checkpoint(name, Path(checkpoint).expanduser(), settings)
        elif pretrained:
            network = _from_published(name, settings)
        else:
            network = _create(name, settings)
        num_features = _num_features(network, name, (in_chans, *image_size))
        super().__init__(nn.Sequential(network, nn.Dropout(drop_rate)), num_features, channels_last=channels_last)


def check_name(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        UnknownNameError: names the nearest ones.
    """
    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        raise UnknownNameError(name, kind="timm model (arch.name)", known=timm.list_models())
    published = timm.list_pretrained(f"{base}.*") if tag else []
    if tag and name not in published:
        raise UnknownNameError(name, kind="timm model (arch.name)", known=[base, *published])


def _size_settings(name: str, image_size: tuple[int, int]) -> dict[str, Any]:
    """Return `img_size` for networks that have to be built for a size other than their usual one."""
    usual = timm.get_pretrained_cfg(name)
    if usual is None or not usual.fixed_input_size or usual.input_size[1:] == image_size:
        return {}
    return {"img_size": image_size}


def _create(name: str, settings: dict[str, Any]) -> nn.Module:
    try:
        network: nn.Module = timm.create_model(name, **settings)
    except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, RuntimeError) and settings.get("pretrained"):
            raise  # it may be the weights that do not fit
        size = settings.get("img_size")
        msg = f"arch.name={name} can't be built{f' for images of {size} pixels' if size else ''}: {error}."
        raise MMLMisconfigurationException(msg) from error
    return network


def _from_checkpoint(name: str, path: Path, settings: dict[str, Any]) -> nn.Module:
    """Return the network with the weights of a file."""
    state = {key.removeprefix(_OWN_PREFIX): value for key, value in load_weights(path).items()}
    network = _with_weights(name, state, settings)
    wanted = network.state_dict().keys()
    missing = wanted - state.keys()
    if len(missing) == len(wanted):
        msg = f"arch.checkpoint={path} holds no weight of arch.name={name}: it belongs to another network."
        raise MMLError(msg)
    if missing:
        logger.warning("%s lacks %d of %d weights of %s, which start random.", path, len(missing), len(wanted), name)
    return network


def _from_published(name: str, settings: dict[str, Any]) -> nn.Module:
    """Return the network with published weights, of the cache if they are there, else fetched."""
    source = timm.get_pretrained_cfg(name)
    if source is None or not source.has_weights:
        variants = timm.list_pretrained(f"{name.partition('.')[0]}*")
        hint = f" With weights: {', '.join(variants[:5])}." if variants else ""
        msg = f"Nobody published weights of arch.name={name}. Use arch.pretrained=false.{hint}"
        raise MMLMisconfigurationException(msg)
    if cached := _cached_file(source):
        return _with_weights(name, _read_state(cached), settings)
    server = huggingface_hub.constants.ENDPOINT if source.hf_hub_id else str(source.url)
    if not _within_reach(server):
        raise _missing_weights(name, source, f"{server} is out of reach")
    try:
        return _create(name, {**settings, "pretrained": True})
    except (OSError, RuntimeError) as error:
        raise _missing_weights(name, source, str(error).partition("\n")[0]) from error


def _with_weights(name: str, state: dict[str, Tensor], settings: dict[str, Any]) -> nn.Module:
    try:
        return _create(name, {**settings, "pretrained": True, "pretrained_cfg_overlay": {"state_dict": state}})
    except RuntimeError as error:
        msg = f"The weights do not fit arch.name={name}: {str(error)[:300]}"
        raise MMLError(msg) from error


def _cached_file(source: Any) -> Path | None:
    """Return the file in the cache of Hugging Face's or torch's hub, if it was fetched before."""
    names = [source.hf_hub_filename] if source.hf_hub_filename else _HUB_FILES
    for name in names if source.hf_hub_id else ():
        found = huggingface_hub.try_to_load_from_cache(source.hf_hub_id, name)
        if isinstance(found, str):
            return Path(found)
    fetched = Path(torch.hub.get_dir()) / "checkpoints" / source.url.rpartition("/")[2]
    return fetched if source.url and not source.hf_hub_id and fetched.is_file() else None


def _read_state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return load_weights(path)
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Damaged bytes make torch raise nearly anything, and code in the place of weights an error of pickle.
        msg = f"The fetched weights {path} can't be read: they are damaged, or no weights alone. Remove the file."
        raise MMLError(msg) from error
    return state


def _within_reach(server: str) -> bool:
    """Tell whether a server answers at all; libraries would try again and again for most of a minute."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return False
    try:
        urllib.request.urlopen(urllib.request.Request(server, method="HEAD"), timeout=_PATIENCE).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _missing_weights(name: str, source: Any, reason: str) -> MissingWeightsError:
    where = f"https://huggingface.co/{source.hf_hub_id}" if source.hf_hub_id else source.url
    msg = (
        f"Pretrained weights of arch.name={name} are not on this machine, and {reason}. Use arch.pretrained=false to "
        f"start from random weights, or fetch model.safetensors from {where} on another machine and give it as "
        "arch.checkpoint=<file.safetensors>."
    )
    return MissingWeightsError(msg)


def _num_features(network: nn.Module, name: str, shape: tuple[int, ...]) -> int:
    """Return the length of the feature vector, found by a trial: no attribute of timm holds it for all networks."""
    network.eval()
    try:
        with torch.no_grad():
            features = network(torch.zeros(1, *shape))
    except (AssertionError, RuntimeError, ValueError) as error:
        msg = (
            f"arch.name={name} can't take images of {shape[1]}x{shape[2]} pixels with {shape[0]} channels: {error}. "
            "Use another preprocessing.size, or another network."
        )
        raise MMLMisconfigurationException(msg) from error
    network.train()
    return int(features.shape[1])
