"""The configs of runners that have no YAML file: Hydra finds the options that `mml.runners` entry points make here."""

from collections.abc import Sequence

import yaml
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader

from mml.core.scripts.runner_options import RunnerOption

GROUP = "runner"


class RunnerSource(ConfigSource):
    """A config tree that has one group, `runner`.

    Args:
        options: its options.
    """

    def __init__(self, options: Sequence[RunnerOption]) -> None:
        super().__init__("entry points of mml.runners", f"{self.scheme()}://")
        self._options = {f"{GROUP}/{option.name}": option for option in options}

    @staticmethod
    def scheme() -> str:
        """Return the scheme of the configs' addresses."""
        return "mml.runners"

    def available(self) -> bool:
        """Tell that the source can be used."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Tell whether there is a group of this name."""
        return bool(self._options) and config_path.strip("/") == GROUP

    def is_config(self, config_path: str) -> bool:
        """Tell whether there is an option of this name."""
        return config_path.strip("/").removesuffix(".yaml") in self._options

    def load_config(self, config_path: str) -> ConfigResult:
        """Return an option."""
        option = self._options[config_path.strip("/").removesuffix(".yaml")]
        return ConfigResult(
            config=OmegaConf.create(yaml.load(option.text, Loader=get_yaml_loader())),
            path=self.full_path(),
            provider=option.provider,
            header=ConfigSource._get_header_dict(option.text),
        )

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the names of all options of a group; outside of it, the name of the group."""
        path = config_path.strip("/")
        if path == GROUP and results_filter != ObjectType.GROUP:
            return sorted(option.name for option in self._options.values())
        return [GROUP] if not path and self._options and results_filter != ObjectType.CONFIG else []
