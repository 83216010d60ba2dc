"""Where a plan would run: the runner that the config names, what it has, and how much the disk has left."""

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.resources import Resources
from mml.core.scripts.run_resources import StepResources
from mml.core.scripts.schedule import Step
from mml.runners.base import Room
from mml.runners.serial import SerialRunner

_SERIAL = Room(slots=1, text="one step after the other")


class RunnerPlace:
    """The runner of a config, which is not opened.

    Args:
        cfg: the config.

    Raises:
        MMLMisconfigurationException: the runner can't be had, or its settings can't be used.

    Attributes:
        name: of the runner.
        room: that it has.
    """

    def __init__(self, cfg: DictConfig) -> None:
        target = OmegaConf.select(cfg, "runner._target_", default=None)
        self._runner: Any = SerialRunner() if target is None else instantiate(cfg.runner)
        self._resources = StepResources(cfg)
        self.name = type(self._runner).__name__.removesuffix("Runner").lower() or str(target)
        self.room = self._room()

    def resources_of(self, steps: Iterable[Step]) -> dict[int, Resources]:
        """Return position -> what the step needs.

        Raises:
            MMLMisconfigurationException: the config names a command that no step has, or what nobody has is needed.
        """
        found = {step.position: self._resources.of(step.record) for step in steps}
        self._resources.refuse_unknown(step.record.command for step in steps)
        first: dict[Resources, Step] = {}
        for step in steps:
            first.setdefault(found[step.position], step)
        for resources, step in first.items():
            self._check(resources, step)
        return found

    def _room(self) -> Room:
        if hasattr(self._runner, "room"):
            room: Room = self._runner.room()
            return room
        if getattr(self._runner, "in_process", False):
            return _SERIAL
        return Room(text="as many steps at a time as it takes", shared=True)

    def _check(self, resources: Resources, step: Step) -> None:
        if hasattr(self._runner, "room"):
            self._runner.check(resources, str(step))


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder for runs that could not be made, as the start of a run does.

    Raises:
        MMLMisconfigurationException: it can't be made, or not written.
    """
    place = next(place for place in (folder, *folder.parents) if place.exists())
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return
    reason = os.strerror(errno.EACCES if place.is_dir() else errno.ENOTDIR)
    msg = (
        f"Results can't be written to {folder}: {reason}. Choose another folder with out_dir=<folder> or the variable "
        "MML_RESULTS_PATH."
    )
    raise MMLMisconfigurationException(msg)


def free_space(folder: Path) -> int | None:
    """Return the bytes that are free where a folder is, or would be made; None when nobody can tell."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
