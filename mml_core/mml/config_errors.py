"""What Hydra and OmegaConf complain about, said briefly: the name that is wrong, the nearest right ones and the fix."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from mml.config_loading import MMLConfigLoader
from mml.core.scripts.exceptions import MMLError, MMLMisconfigurationException, UnknownNameError

_NOT_FOR_USERS = ("See http", "full_key:", "object_type=", "Config search", "provider=")
_HELP = "`mml help` lists groups and keys."


def explain(error: Exception, loader: MMLConfigLoader) -> MMLError | None:
    """Return an error of mml that says what is wrong with a config, None if the error is not about configs."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return own_cause(error) or _explained(error, loader)
    if isinstance(error, YAMLError):
        return _bad_yaml(error)
    if isinstance(error, UnicodeDecodeError) and _raised_in(error, "hydra.", "omegaconf."):
        return MMLMisconfigurationException(f"A config file is no UTF-8 text: {error}. Save it as UTF-8.")
    if isinstance(error, ValueError) and _raised_in(error, "hydra."):
        return _culprit(loader) or MMLMisconfigurationException(f"{error}. {_HELP}")
    return None


def _bad_yaml(error: YAMLError) -> MMLError:
    """Return the error for a config file that is no YAML, or holds Python objects, which no config may."""
    mark = getattr(error, "problem_mark", None)
    place = f"{mark.name}, line {mark.line + 1},".replace('"', "") if mark else "A config file"
    fault = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return MMLMisconfigurationException(f"{place} can't be read as YAML: {fault}. Mend the file.")


def _explained(error: HydraException | OmegaConfBaseException, loader: MMLConfigLoader) -> MMLError | None:
    if isinstance(error, OverrideParseException):
        return _bad_override(error)
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    if isinstance(error, InstantiationException):
        return _bad_target(error)
    if isinstance(error, HydraException):
        return _culprit(loader) or _composition(error)
    return _bad_value(error)


def own_cause(error: BaseException) -> MMLError | None:
    """Return the error of mml that is the cause of what Hydra or OmegaConf wrapped around it."""
    cause: BaseException | None = error
    # OmegaConf raises errors whose causes run in a circle.
    seen: set[int] = set()
    while cause is not None and not isinstance(cause, MMLError) and id(cause) not in seen:
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return cause if isinstance(cause, MMLError) else None


def unknown_key_error(key: str, keys: Iterable[str]) -> UnknownNameError:
    """Return the error for a key that no config has; a key given without its group is found by its last part."""
    names = [name for name in keys if key.startswith("hydra") or not name.startswith("hydra")]
    last = key.rpartition(".")[2]
    same = [name for name in names if name.rpartition(".")[2] == last]
    near = same or difflib.get_close_matches(key, names, n=3, cutoff=0.55)
    known = near or [name for name in names if "." not in name]
    return UnknownNameError(key, kind="config key", known=known, fix=_HELP)


def dotted_keys(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield all keys of a config, inner nodes and leaves."""
    for key, value in config.items():
        name = f"{prefix}{key}"
        yield name
        if isinstance(value, Mapping):
            yield from dotted_keys(value, f"{name}.")


def _bad_override(error: OverrideParseException) -> MMLMisconfigurationException:
    override = error.override
    if "=" not in override and not override.startswith("~"):
        msg = f"'{override}' is no setting: settings have the form key=value. {_HELP}"
    else:
        reason = error.message.partition("\nSee https")[0].strip()
        msg = f"The setting '{override}' can't be read: {reason}\nQuote values with special signs: 'key=\"a, b\"'."
    return MMLMisconfigurationException(msg)


def _bad_target(error: InstantiationException) -> MMLMisconfigurationException | None:
    """Return the error for a class that can't be found, None for an error in its code."""
    if not str(error).startswith("Error locating target"):
        return None
    target = str(error).split("'")[1]
    msg = f"'{target}', which a `_target_` of the config names, can't be loaded: {error.__cause__}"
    return MMLMisconfigurationException(" ".join(msg.split()))


def _missing_option(error: MissingConfigException) -> MMLMisconfigurationException:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if group and error.options is not None:
        return _unknown_option(group, option, error.options)
    return MMLMisconfigurationException(_first_lines(error, 2))


def _unknown_option(group: str, option: str, options: Iterable[str]) -> UnknownNameError:
    return UnknownNameError(option, kind=f"option of '{group}'", known=options, fix=f"See `mml help {group}`.")


def _raised_in(error: Exception, *packages: str) -> bool:
    """Tell whether one of these packages raised an error, or met it while it read text."""
    modules = [name for name in _modules(error) if name != "codecs"]
    return bool(modules) and modules[-1].startswith(packages)


def _modules(error: Exception) -> Iterator[str]:
    """Yield the names of the modules that an error passed through, the one that raised it last."""
    trace = error.__traceback__
    while trace is not None:
        yield str(trace.tb_frame.f_globals.get("__name__"))
        trace = trace.tb_next


def _culprit(loader: MMLConfigLoader) -> UnknownNameError | None:
    """Return the error for the first override whose key, or option of a group, does not exist."""
    parsed = [OverridesParser.create().parse_override(text) for text in loader.composing]
    groups = [override for override in parsed if loader.is_group(override.key_or_group)]
    for override in groups:
        if not override.is_sweep_override() and not isinstance(value := override.value(), str | list | None):
            return _unknown_option(override.key_or_group, str(value), loader.options(override.key_or_group))
    known = _known_names(groups, loader)
    for override in parsed:
        fresh = override.is_add() or override.is_force_add()
        if known and override not in groups and not fresh and override.key_or_group not in known:
            return unknown_key_error(override.key_or_group, known)
    return None


def _known_names(groups: Iterable[Override], loader: MMLConfigLoader) -> set[str]:
    """Return all groups and all keys, with the given options chosen as far as they go together."""
    search = loader.search_overrides()
    chosen = [override.input_line or "" for override in groups if not override.is_sweep_override()]
    for overrides in ([*search, *chosen], search):
        with suppress(HydraException, ValueError):
            cfg = ConfigLoaderImpl.load_configuration(loader, loader.config_name, overrides, RunMode.RUN)
            return {*dotted_keys(_plain(cfg)), *loader.options("", ObjectType.GROUP)}
    return set()


def _composition(error: HydraException) -> MMLMisconfigurationException:
    text = str(error)
    if match := re.match(r"Ambiguous value for argument '(?P<override>(?P<key>[^=]+)=(?P<value>.*))'", text):
        key, value = match["key"], match["value"]
        msg = f"'{match['override']}': a list is {key}=[{value}]; to try one value after the other, add --multirun."
    elif match := re.match(r"Sweep parameters '(?P<override>.*)' requires --multirun", text):
        msg = f"'{match['override']}' tries several values: add --multirun."
    else:
        msg = _first_lines(error, 4)
    return MMLMisconfigurationException(msg)


def _bad_value(error: OmegaConfBaseException) -> MMLMisconfigurationException:
    key = error.full_key
    if isinstance(error, MissingMandatoryValue):
        msg = f"'{key}' has no value yet. Give one: {key}=<value>. `mml help {key}` explains it."
    elif isinstance(error, ConfigKeyError | ConfigAttributeError):
        msg = f"The config has no key '{key}', which is needed here. {_HELP}"
    else:
        msg = f"The value of {repr(key) if key else 'a key'} can't be used: {_first_lines(error, 1)}."
    return MMLMisconfigurationException(msg)


def _first_lines(error: Exception, most: int) -> str:
    """Return the lines of a message that speak to the user, not those with addresses of manuals."""
    causes = [str(error), str(error.__cause__ or "")]
    lines = [line.strip() for text in causes for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith(_NOT_FOR_USERS)]
    return " ".join(kept[:most])


def _plain(cfg: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
