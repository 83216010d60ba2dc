"""Detaching: with `--detach` a run leaves its steps to the queue of its runner and ends; `mml continue` collects."""

import inspect
from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from mml.core.scripts.exceptions import MMLMisconfigurationException

DETACH_FLAG = "--detach"
DETACH_KEY = "runner.detach"


def detach_override(words: Sequence[str]) -> list[str]:
    """Return the override that the flag stands for, none when the words don't have it."""
    # Added if need be, so that a runner which has no such key can be named in a message of ours.
    return [f"++{DETACH_KEY}=true"] if DETACH_FLAG in words else []


def check_detach(cfg: DictConfig) -> None:
    """Refuse to detach from a runner that needs the driver.

    Raises:
        MMLMisconfigurationException: it does; names those that don't.
    """
    target = OmegaConf.select(cfg, "runner._target_")
    if not OmegaConf.select(cfg, DETACH_KEY) or target is None:
        return
    if "detach" in inspect.signature(get_class(target)).parameters:
        return
    chosen = HydraConfig.get().runtime.choices.get("runner") if HydraConfig.initialized() else None
    name = chosen or target
    msg = (
        f"{DETACH_FLAG} leaves the steps to a queue, and runner={name} has none: its steps end with mml. Leave the "
        "flag out, or choose runner=slurm, or another runner that has the key detach."
    )
    raise MMLMisconfigurationException(msg)


def attach(stored: DictConfig, keys: Sequence[str]) -> None:
    """Have a run that was detached collected by the process that continues it, unless it shall detach again.

    Args:
        stored: its config.
        keys: what the user asks for.
    """
    if DETACH_KEY not in keys and OmegaConf.select(stored, DETACH_KEY):
        OmegaConf.update(stored, DETACH_KEY, False)
