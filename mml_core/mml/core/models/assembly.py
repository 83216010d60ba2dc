"""From config groups to what a model is made and trained with."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mml.core.models.lightning_single_frame import Recipe
from mml.core.models.torch_base import BaseModel
from mml.core.scripts.exceptions import MMLMisconfigurationException

# Key of `arch` that is not for the network: the optimizer group reads it.
ADVICE = "suggested_lr"


def build_backbone(arch: DictConfig, *, in_chans: int, image_size: tuple[int, int]) -> BaseModel:
    """Return the model, still without heads, that the `arch` group describes.

    Args:
        arch: an option of the group: `_target_`, `_partial_: true` and the keys of the target.
        in_chans: channels of the images.
        image_size: height and width in pixels.

    Raises:
        MMLMisconfigurationException: a key that the network does not know, or a target that is no `BaseModel`.
        MMLError: whatever the network raises on its own.
    """
    build = _partial(OmegaConf.masked_copy(arch, [str(key) for key in arch if key != ADVICE]), "arch")
    try:
        model = build(in_chans=in_chans, image_size=image_size)
    except TypeError as error:
        msg = f"The network refuses its settings: {error}. See `mml help arch`."
        raise MMLMisconfigurationException(msg) from error
    if not isinstance(model, BaseModel):
        msg = f"arch._target_={arch['_target_']} makes a {type(model).__name__}; it has to make a BaseModel."
        raise MMLMisconfigurationException(msg)
    return model


def build_recipe(cfg: DictConfig) -> Recipe:
    """Return loss, optimizer, schedule and metrics of a config.

    Raises:
        MMLMisconfigurationException: an option that can't be made an object of.
    """
    metrics = {name: _partial(entry, f"metrics.{name}") for name, entry in named(cfg.get("metrics"))}
    schedule = cfg.get("lr_scheduler") or OmegaConf.create()
    return Recipe(
        loss=_partial(cfg.loss, "loss"),
        optimizer=_partial(cfg.optimizer, "optimizer"),
        schedule=_partial(schedule, "lr_scheduler") if schedule.get("_target_") else None,
        metrics=metrics,
        monitor=OmegaConf.select(cfg, "mode.monitor", default=None) or "val/loss",
    )


def named(group: DictConfig | None) -> list[tuple[str, DictConfig]]:
    """Return the objects that a group describes, name and config; an object set to null is left out."""
    entries = {} if group is None else group
    return [(str(name), entry) for name, entry in entries.items() if OmegaConf.is_dict(entry) and "_target_" in entry]


def _partial(entry: DictConfig, key: str) -> Any:
    """Return what an option with `_partial_: true` stands for: something to be called."""
    try:
        build = instantiate(entry, _convert_="all")
    except InstantiationException as error:
        msg = f"{key} can't be made: {error}"
        raise MMLMisconfigurationException(msg) from error
    if not callable(build):
        msg = f"{key} needs `_partial_: true`: it is completed when the tasks are known."
        raise MMLMisconfigurationException(msg)
    return build
