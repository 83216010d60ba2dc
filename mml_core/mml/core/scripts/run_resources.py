"""What the steps of a run need of a machine: what their plan says, unless the config of the runner knows better."""

from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mml.core.scripts.exceptions import UnknownNameError
from mml.core.scripts.resources import KINDS, NOTHING, Resources, read_resources
from mml.core.scripts.schedule import StepRecord


class StepResources:
    """Tells what each step of a run needs.

    Args:
        cfg: the config; its `runner.resources` names commands, `runner.cpus` and the like are for all others.

    Raises:
        MMLMisconfigurationException: it has amounts that can't be any.
    """

    def __init__(self, cfg: DictConfig) -> None:
        runner: Any = OmegaConf.select(cfg, "runner", default=None)
        plain: Any = OmegaConf.to_container(runner, resolve=True) if runner is not None else {}
        given = plain.get("resources") or {}
        if not isinstance(given, Mapping):
            read_resources(given, "runner.resources")
        self._default = read_resources({kind: plain.get(kind) for kind in KINDS}, "every step (runner.*)")
        self._commands = {
            str(command): read_resources(amounts, f"runner.resources.{command}") for command, amounts in given.items()
        }
        self._known: dict[tuple[str, Resources], Resources] = {}

    def of(self, record: StepRecord) -> Resources:
        """Return what a step needs: its command in the config first, then its plan, then what is for all steps."""
        key = record.command, record.resources
        if key not in self._known:
            chosen = self._commands.get(record.command, NOTHING)
            self._known[key] = chosen.over(record.resources).over(self._default)
        return self._known[key]

    def refuse_unknown(self, commands: Iterable[str]) -> None:
        """Refuse amounts for a command that no step has.

        Raises:
            UnknownNameError: names the nearest commands.
        """
        known = {*commands}
        for command in self._commands:
            if command not in known:
                raise UnknownNameError(command, kind="command in runner.resources", known=known)


def step_resources(cfg: DictConfig, record: StepRecord) -> Resources:
    """Return what one step needs."""
    return StepResources(cfg).of(record)
