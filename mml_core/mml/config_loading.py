"""The way from overrides to a config: Hydra's loader over `pkg://mml_configs` and the plugins' folders.

Wherever a config is composed (a run, a job of a sweep, `--cfg job`, tab completion), it passes `MMLConfigLoader`.
"""

import logging
import re
from collections.abc import Sequence
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.hydra import Hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict

from mml.continuing import continued_config, find_continue
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.environment import absolute_path
from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.plugins import config_search_paths, plugin_runners
from mml.core.scripts.utils import as_list
from mml.forking import find_fork, forked_config
from mml.hydra_speed import faster_source, lean_defaults
from mml.runner_source import RunnerSource

logger = logging.getLogger(__name__)

CONFIG_TREE = "pkg://mml_configs"
CONFIG_NAME = "config"


class MMLConfigLoader(ConfigLoaderImpl):
    """Composes configs with Hydra and settles what a YAML file can't say.

    Folders become absolute, `task_list` a plain list, the kinds of files that plugins declare get their keys in
    `reuse`, and `continue=<run>` or `fork=<run>` brings the stored config of that run.
    """

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        *sources, schema = map(faster_source, self.repository.sources)  # that of schemas has to be the last one
        self.repository.sources = [*sources, RunnerSource(plugin_runners()), schema]
        # What is being composed, for messages: with `continue=<run>` it is not what was typed.
        self.composing: tuple[str, ...] = ()
        self.config_name: str | None = CONFIG_NAME

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose a config; see Hydra's `ConfigLoader`.

        Raises:
            MMLMisconfigurationException: the config contradicts itself, or the run to continue can't be continued.
            HydraException: an override can't be read, or names what does not exist.
        """

        def compose(overrides: list[str]) -> DictConfig:
            self.composing = tuple(overrides)
            with lean_defaults():
                cfg = ConfigLoaderImpl.load_configuration(
                    self, config_name, overrides, run_mode, from_shell, validate_sweep_overrides
                )
            settle(cfg)
            return cfg

        self.config_name = config_name
        overrides = [quote_signs(override) for override in overrides]
        if (run := find_fork(overrides)) is not None:
            return forked_config(compose, overrides, run)
        run = find_continue(overrides)
        return compose(overrides) if run is None else continued_config(compose, overrides, run)

    def search_overrides(self) -> list[str]:
        """Return those of the overrides being composed that add config folders."""
        return [override for override in self.composing if override.startswith("hydra.searchpath=")]

    def options(self, group: str, kind: ObjectType = ObjectType.CONFIG) -> list[str]:
        """Return the options of a group (or, of that kind, the groups in it), also those of added folders."""
        return self.get_group_options(group, kind, None, self.search_overrides())

    def is_group(self, name: str) -> bool:
        """Tell whether there is a group of this name."""
        parent, _, last = name.rpartition("/")
        return (not parent or self.is_group(parent)) and last in self.options(parent, ObjectType.GROUP)

    def _compose_config_from_defaults_list(self, *args: Any, **kwargs: Any) -> DictConfig:
        cfg = super()._compose_config_from_defaults_list(*args, **kwargs)
        add_declared_keys(cfg)
        open_tables(cfg)
        return cfg


class MMLHydra(Hydra):
    """Hydra's engine with the loader of mml."""

    config_loader: MMLConfigLoader


def make_hydra(main: str = CONFIG_TREE, more: str | None = None) -> MMLHydra:
    """Return Hydra's engine over a config tree, made known to Hydra as the one of this process.

    Args:
        main: the tree, `pkg://package` or `file:///folder`.
        more: a folder of more options, in the same form.
    """
    version.setbase("1.3")
    hydra = MMLHydra(task_name="mml", config_loader=MMLConfigLoader(search_path(main, more)))
    GlobalHydra.instance().clear()
    GlobalHydra.instance().initialize(hydra)
    return hydra


def compose(overrides: Sequence[str], config_name: str = CONFIG_NAME) -> DictConfig:
    """Return the config of a run that was started with `overrides`, for programs and notebooks.

    Raises:
        MMLMisconfigurationException: the config contradicts itself, or the run to continue can't be continued.
        HydraException: an override can't be read, or names what does not exist.
    """
    version.setbase("1.3")
    loader = MMLConfigLoader(search_path(CONFIG_TREE))
    cfg = loader.load_configuration(config_name, list(overrides), RunMode.RUN, from_shell=False)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def search_path(main: str, more: str | None = None) -> ConfigSearchPath:
    """Return where configs are looked for: Hydra's own, the tree `main`, the folders of plugins, and `more`."""
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    path.append("main", main)
    for provider, folder in config_search_paths():
        path.append(provider, folder)
    for plugin in Plugins.instance().discover(SearchPathPlugin):
        try:
            plugin().manipulate_search_path(path)  # type: ignore[attr-defined] # discover() is typed by its base class
        except Exception as error:  # noqa: BLE001 - whatever a plugin does, mml goes on without it
            logger.warning("The config folder of plugin %s is skipped: %r", plugin.__module__, error)
    if more is not None:
        path.append("command-line", more)
    path.append("schema", "structured://")
    return path


def settle(cfg: DictConfig) -> None:
    """Replace what a config leaves open by what holds on this machine, in place.

    Raises:
        MMLMisconfigurationException: tasks are given twice, or a value can't be a path.
    """
    with flag_override(cfg, "struct", False):
        for key in ("data_dir", "out_dir"):
            if key in cfg:
                cfg[key] = str(absolute_path(str(cfg[key])))
        if "task_list" in cfg:
            cfg.task_list = _settled_tasks(cfg)


def _settled_tasks(cfg: DictConfig) -> list[str]:
    derived = OmegaConf.is_interpolation(cfg, "task_list")
    named = cfg.get("task")
    if OmegaConf.is_dict(named):
        msg = f"task={named} can't be read. Give one name or a list of names, e.g. task=[digits,fashion_mnist]."
        raise MMLMisconfigurationException(msg)
    listed = [str(name) for name in as_list(cfg.task_list)]
    if named is not None and not derived and listed != [str(name) for name in as_list(named)]:
        msg = (
            f"Tasks are given twice: task={named}, and {', '.join(listed)} by `tasks` or `task_list`. "
            "Leave one of them out, or give all names: task=[a,b]."
        )
        raise MMLMisconfigurationException(msg)
    return listed


def add_declared_keys(cfg: DictConfig) -> None:
    """Give every kind of file that a plugin declared its keys in `reuse` and `reuse.clean_up`, in place."""
    reuse = cfg.get("reuse")
    if reuse is None:
        return
    for key, template in MMLFileManager.templates().items():
        if template.reusable:
            reuse.setdefault(key, None)
        if not template.temporary and "clean_up" in reuse:
            reuse.clean_up.setdefault(key, False)


def open_tables(cfg: DictConfig) -> None:
    """Let tables of a runner that are empty by default, such as `runner.resources`, take any key, in place."""
    runner = cfg.get("runner")
    for key in runner if OmegaConf.is_dict(runner) else ():
        table = runner._get_node(key)
        if OmegaConf.is_dict(table) and len(table) == 0:
            OmegaConf.set_struct(table, False)


def quote_signs(override: str) -> str:
    """Return an override in which Hydra reads `~` (as in `out_dir=~/results`) and `#` (as in `reuse.models=a#3`).

    Hydra's grammar has no such signs; an override with quotes or references is left to it.
    """
    key, mark, value = override.partition("=")
    if not re.search("[~#]", value) or re.search(r"[\"'$\\]", value):
        return override
    structure = r"[^\[\]{},():]+" if value.lstrip().startswith("{") else r"[^\[\]{},()]+"
    return key + mark + re.sub(structure, _quoted, value)


def _quoted(match: re.Match[str]) -> str:
    text = match[0].strip()
    return f"'{text}'" if re.search("[~#]", text) else match[0]


def folder_source(folder: str) -> str:
    """Return the search path entry of a folder given on the command line.

    Raises:
        MMLMisconfigurationException: there is no such folder.
    """
    path = absolute_path(folder)
    if not path.is_dir():
        msg = f"There is no config folder {path}."
        raise MMLMisconfigurationException(msg)
    return f"file://{path}"
