"""Plugins: what other distributions add to mml through the entry point groups `mml.plugins` and `mml.runners`.

The value of the former is a module, which is imported, or a callable, which is called without arguments. Either
registers config folders (`add_config_search_path`, or a Hydra `SearchPathPlugin`), path templates, creators and hooks.
The value of the latter is the class of a runner, which becomes the option `runner=<name of the entry point>`.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.runner_options import RUNNER_GROUP, RunnerOption, runner_option

GROUP = "mml.plugins"
_PACKAGE, _FOLDER = "pkg://", "file://"

Hook = Callable[[Any], None]


@dataclass
class Hooks:
    """Functions that the base scheduler calls with itself as the only argument.

    Attributes:
        after_scheduler_init: when a scheduler was made, before anything is planned.
        before_run: when the plan stands and the run is locked, before its first step.
        after_run: when the run is finished.
    """

    after_scheduler_init: list[Hook] = field(default_factory=list)
    before_run: list[Hook] = field(default_factory=list)
    after_run: list[Hook] = field(default_factory=list)


class ConfigFolder(NamedTuple):
    """A folder of configuration files that a plugin adds.

    Attributes:
        provider: name of the plugin.
        path: `pkg://package.configs` or `file:///folder`.
    """

    provider: str
    path: str


class PluginReport(NamedTuple):
    """How loading a plugin went.

    Attributes:
        name: of the entry point.
        distribution: name of the distribution that brings it.
        version: of the distribution.
        fault: why the plugin is skipped, None if it works.
        kind: `plugin`, or `runner` for a single runner.
    """

    name: str
    distribution: str
    version: str
    fault: str | None = None
    kind: str = "plugin"

    def __str__(self) -> str:
        known = f"{self.kind} {self.name} ({self.distribution} {self.version})"
        return f"{known} is skipped: {self.fault}" if self.fault else known


# Plugins fill these while they are loaded.
HOOKS = Hooks()
_FOLDERS: list[ConfigFolder] = []
_RUNNERS: list[RunnerOption] = []
_LOADING: list[str] = []
# Kind and name of an entry point -> the module that it names.
_MODULES: dict[tuple[str, str], str] = {}


def add_config_search_path(path: str) -> None:
    """Add a folder of configuration files: its groups and options join those of mml.

    Args:
        path: `pkg://package.configs` for an importable package, or `file:///folder`.

    Raises:
        MMLMisconfigurationException: there is no such package or folder.
    """
    if fault := _folder_fault(path):
        msg = f"Config folder '{path}' can't be added: {fault}."
        raise MMLMisconfigurationException(msg)
    _FOLDERS.append(ConfigFolder(_LOADING[-1] if _LOADING else "added by hand", path))


def config_search_paths() -> list[ConfigFolder]:
    """Return the config folders that were added, in order."""
    return list(_FOLDERS)


@cache
def load_plugins() -> tuple[PluginReport, ...]:
    """Load all installed plugins, once per process; a broken one is skipped and says why in its report."""
    installed = entry_points()  # reads what is installed, so it is asked once
    plugins = sorted(installed.select(group=GROUP), key=lambda entry: entry.name)
    runners = sorted(installed.select(group=RUNNER_GROUP), key=lambda entry: (entry.name, _origin(entry)))
    return tuple([*(_load(entry, _activate) for entry in plugins), *(_load(entry, _add_runner) for entry in runners)])


def plugin_runners() -> list[RunnerOption]:
    """Return the options of the runners that plugins brought, in order."""
    return list(_RUNNERS)


def loaded_plugins() -> list[tuple[PluginReport, str]]:
    """Return each plugin that works and the module of its entry point; none if this process has not loaded any."""
    reports = load_plugins() if load_plugins.cache_info().currsize else ()
    return [(report, _MODULES.get((report.kind, report.name), "")) for report in reports if not report.fault]


def broken_plugins(reports: Iterable[PluginReport]) -> list[PluginReport]:
    """Return the reports of plugins that are skipped."""
    return [report for report in reports if report.fault]


def _folder_fault(path: str) -> str | None:
    if path.startswith(_FOLDER):
        return None if Path(path.removeprefix(_FOLDER)).is_dir() else "there is no such folder"
    if not path.startswith(_PACKAGE):
        return f"it has to start with {_PACKAGE} or {_FOLDER}"
    package = path.removeprefix(_PACKAGE).replace("/", ".").strip(".")
    try:
        found = importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        found = False
    return None if found else f"no package '{package}' is installed"


def _load(entry: EntryPoint, take_in: Callable[[EntryPoint], None]) -> PluginReport:
    """Load one plugin; what it registered in part is taken back when it fails."""
    registries: list[list[Any]] = [_FOLDERS, _RUNNERS, *vars(HOOKS).values()]
    lengths = [len(registry) for registry in registries]
    report = PluginReport(entry.name, *_origin(entry), kind="runner" if entry.group == RUNNER_GROUP else "plugin")
    _LOADING.append(entry.name)
    _MODULES.setdefault((report.kind, entry.name), entry.module)
    try:
        with redirect_stdout(sys.stderr):  # tab completion and `mode.format=json` own stdout
            take_in(entry)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin does, mml goes on without it
        for registry, length in zip(registries, lengths, strict=True):
            del registry[length:]
        return report._replace(fault=_reason(error))
    finally:
        _LOADING.pop()
    return report


def _activate(entry: EntryPoint) -> None:
    loaded = entry.load()
    if callable(loaded) and not isinstance(loaded, ModuleType):
        loaded()


def _add_runner(entry: EntryPoint) -> None:
    """Make a runner an option.

    Raises:
        MMLMisconfigurationException: it can't be one, or another has its name.
    """
    if other := next((option for option in _RUNNERS if option.name == entry.name), None):
        msg = f"{other.provider} brings a runner of this name, too; only that one can be chosen"
        raise MMLMisconfigurationException(msg)
    _RUNNERS.append(runner_option(entry, _origin(entry)[0]))


def _origin(entry: EntryPoint) -> tuple[str, str]:
    """Return name and version of an entry point's distribution, whose metadata may be damaged."""
    metadata = entry.dist.metadata if entry.dist and entry.dist.read_text("METADATA") else None
    name, version = (metadata["Name"], metadata["Version"]) if metadata else (None, None)
    return name or "unknown distribution", version or "of unknown version"


def _reason(error: BaseException) -> str:
    text = str(error).strip()
    if isinstance(error, MMLMisconfigurationException):
        return text
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
