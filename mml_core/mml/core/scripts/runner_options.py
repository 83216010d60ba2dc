"""What a runner of another distribution may be set to: its class, looked through, as the text of a config option."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from mml.core.scripts.exceptions import MMLMisconfigurationException

RUNNER_GROUP = "mml.runners"
_METHODS = ("open", "check", "has_room", "submit", "wait", "interrupt", "close")
_NAME = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
_SECTION = re.compile(r"[A-Z]\w*( \w+)?:")
_ARGUMENT = re.compile(r"(\*{0,2}\w+)(?: \([^)]*\))?:\s*(.*)")


class RunnerOption(NamedTuple):
    """The option `runner=<name>` of a runner that another distribution brings.

    Attributes:
        name: of the option.
        provider: name of the distribution.
        text: the option as the text of a YAML file, with a comment for each key.
    """

    name: str
    provider: str
    text: str


def runner_option(entry: EntryPoint, provider: str) -> RunnerOption:
    """Return the option for the runner that an entry point names, whose class is imported.

    Args:
        entry: of the group `mml.runners`; its name is that of the option, its value a class.
        provider: name of the distribution.

    Raises:
        MMLMisconfigurationException: it can't be a runner, or has the name of one of mml's own.
        Exception: whatever the import of the class raises.
    """
    if not _NAME.fullmatch(entry.name):
        msg = f"'{entry.name}' can't be the name of a runner: use letters, digits, '_' and '-'"
        raise MMLMisconfigurationException(msg)
    if files("mml_configs").joinpath("runner", f"{entry.name}.yaml").is_file():
        msg = f"mml has a runner '{entry.name}' of its own, which nobody can replace; choose another name"
        raise MMLMisconfigurationException(msg)
    made = entry.load()
    if not callable(made) or (isinstance(made, type) and (missing := _missing_methods(made))):
        lacks = f"has no method {', '.join(missing)}" if callable(made) else "is no class"
        msg = f"{entry.value} {lacks}; `mml.runners.base.Runner` says what a runner is"
        raise MMLMisconfigurationException(msg)
    return RunnerOption(entry.name, provider, option_text(entry.value.replace(":", ".").split(" ")[0], made))


def option_text(target: str, made: Callable[..., Any]) -> str:
    """Return the YAML text of an option whose keys are the arguments of a class, with their defaults.

    Args:
        target: dotted name of the class.
        made: the class; its docstring, in Google style, becomes the comments.
    """
    summary, told = _documented(made)
    lines = [f"# {line}" for line in summary or ["A runner of a plugin."]]
    lines += ["", "# Class of the runner.", f"_target_: {target}"]
    for name, default in _keys(made):
        lines += [f"# {told.get(name, 'See the documentation of the plugin.')}", f"{name}: {_as_yaml(default)}"]
    return "\n".join(lines) + "\n"


def _missing_methods(made: type) -> list[str]:
    return [name for name in _METHODS if not callable(getattr(made, name, None))]


def _keys(made: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Yield the arguments that can be set in YAML; one without a default has to be given (`???`)."""
    for argument in inspect.signature(made).parameters.values():
        if argument.kind not in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY):
            continue
        default = "???" if argument.default is argument.empty else argument.default
        if _is_plain(default):
            yield argument.name, default


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or type(value) in (bool, int, float, str)


def _as_yaml(value: Any) -> str:
    """Return a value as YAML, on one line."""
    text = yaml.safe_dump(_plain(value), default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _documented(made: Callable[..., Any]) -> tuple[list[str], dict[str, str]]:
    """Return the first paragraph of a docstring, and what it says about each argument, on one line each."""
    lines = [line.rstrip() for line in inspect.cleandoc(made.__doc__ or "").splitlines()]
    summary = lines[: lines.index("")] if "" in lines else lines
    told: dict[str, str] = {}
    for doc in (made.__doc__, getattr(getattr(made, "__init__", None), "__doc__", None)):
        told |= _arguments(inspect.cleandoc(doc or "").splitlines())
    return summary, told


def _arguments(lines: list[str]) -> dict[str, str]:
    """Return argument -> text of the section `Args:` of a docstring."""
    told: dict[str, str] = {}
    inside, name = False, ""
    for line in lines:
        if _SECTION.fullmatch(line):
            inside, name = line == "Args:", ""
        elif inside and line.strip():
            indented = len(line) - len(line.lstrip())
            match = _ARGUMENT.match(line.strip()) if indented <= 4 else None
            if match:
                name, told[match[1]] = match[1], match[2]
            elif name:
                told[name] = f"{told[name]} {line.strip()}".strip()
    return told
