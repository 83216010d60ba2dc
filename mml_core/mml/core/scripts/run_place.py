"""Where the steps of a run are going to run: the runner that the config names, before anything of the run is begun."""

from collections.abc import Iterable
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mml.core.scripts.resources import Resources
from mml.core.scripts.run_resources import StepResources
from mml.core.scripts.schedule import Step
from mml.runners.base import Room, Runner
from mml.runners.serial import SerialRunner

_SERIAL = Room(slots=1, text="one step after the other")


class RunnerPlace:
    """The runner of a config, which is not opened.

    Args:
        cfg: the config.

    Raises:
        MMLMisconfigurationException: the runner can't be had, or its settings can't be used.

    Attributes:
        runner: that is to be opened.
        name: of the runner.
        room: that it has.
    """

    def __init__(self, cfg: DictConfig) -> None:
        target = OmegaConf.select(cfg, "runner._target_", default=None)
        self.runner: Runner = SerialRunner() if target is None else instantiate(cfg.runner)
        self._resources = StepResources(cfg)
        self.name = type(self.runner).__name__.removesuffix("Runner").lower() or str(target)
        self.room = self._room()

    def resources_of(self, steps: Iterable[Step]) -> dict[int, Resources]:
        """Return position -> what the step needs.

        Raises:
            MMLMisconfigurationException: the config names a command that no step has, or what nobody has is needed.
        """
        steps = list(steps)
        found = {step.position: self._resources.of(step.record) for step in steps}
        self._resources.refuse_unknown(step.record.command for step in steps)
        first: dict[Resources, Step] = {}
        for step in steps:
            first.setdefault(found[step.position], step)
        # A runner that tells its room can tell what it would run, too, before it is opened.
        for resources, step in first.items() if hasattr(self.runner, "room") else ():
            self.runner.check(resources, str(step))
        return found

    def _room(self) -> Room:
        runner: Any = self.runner
        if hasattr(runner, "room"):
            room: Room = runner.room()
            return room
        if getattr(runner, "in_process", False):
            return _SERIAL
        return Room(text="as many steps at a time as it takes", shared=True)
