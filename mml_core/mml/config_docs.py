"""What the comments in the YAML files say, as plain records: the help of the command line and the docs are made of it.

A comment directly above a key explains the key; one above an entry of the root's defaults list explains the group; the
comment that a file starts with, followed by an empty line, explains the option. In it, a line that is a command is an
example.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

import yaml

_ROOT_FILE = "config.yaml"
_SUFFIXES = (".yaml", ".yml")
_GLOBAL = "_global_"


class KeyDoc(NamedTuple):
    """One key of one file.

    Attributes:
        key: dotted, from the root of the config.
        default: its value as written; "" for a node with keys below it.
        text: what the comment says.
        leaf: whether it holds a value.
    """

    key: str
    default: str
    text: str
    leaf: bool


class OptionDoc(NamedTuple):
    """One option of a group.

    Attributes:
        group: e.g. `optimizer`.
        name: e.g. `adamw`.
        text: what the comment at the start of the file says.
        examples: commands among its lines.
        keys: in the order of the file; those of the options that it builds on come first.
        source: the file.
        builds_on: options of the same group in its defaults list.
    """

    group: str
    name: str
    text: str
    examples: tuple[str, ...]
    keys: tuple[KeyDoc, ...]
    source: str
    builds_on: tuple[str, ...] = ()


class GroupDoc(NamedTuple):
    """A group: what it is about, its default option and all options by name."""

    name: str
    text: str
    default: str
    options: dict[str, OptionDoc]


class TreeDoc(NamedTuple):
    """A whole tree: the keys of the root file and the groups by name."""

    keys: tuple[KeyDoc, ...]
    groups: dict[str, GroupDoc]


def read_tree(sources: Iterable[str], made: Iterable[OptionDoc] = ()) -> TreeDoc:
    """Read the comments of config folders; where several hold the same option, the first counts, as for Hydra.

    Args:
        sources: `pkg://package` or `file:///folder`, the most important first.
        made: options that are in no file.
    """
    keys: tuple[KeyDoc, ...] = ()
    entries: dict[str, tuple[str, str]] = {}
    found: dict[str, dict[str, OptionDoc]] = {}
    for folder in _folders(sources):
        root = folder / _ROOT_FILE
        if not keys and root.is_file():
            text = root.read_text(encoding="utf-8")
            keys, entries = tuple(key_docs(text, "")), _default_entries(text)
        for option in _options(folder):
            found.setdefault(option.group, {}).setdefault(option.name, option)
    for option in made:
        found.setdefault(option.group, {}).setdefault(option.name, option)
    order = sorted(found, key=lambda group: (list(entries).index(group) if group in entries else len(entries), group))
    groups = {name: GroupDoc(name, *entries.get(name, ("", "")), _complete(found[name])) for name in order}
    return TreeDoc(keys, groups)


def _complete(options: dict[str, OptionDoc]) -> dict[str, OptionDoc]:
    """Return options with the keys of those that they build on."""

    def keys(option: OptionDoc, seen: frozenset[str]) -> dict[str, KeyDoc]:
        found: dict[str, KeyDoc] = {}
        for name in option.builds_on:
            if name in options and name not in seen:
                found |= keys(options[name], seen | {name})
        return found | {key.key: key for key in option.keys}

    return {
        name: option._replace(keys=tuple(keys(option, frozenset({name})).values())) for name, option in options.items()
    }


def option_doc(text: str, group: str, name: str, source: str = "") -> OptionDoc:
    """Return what the text of an option's file says."""
    comment, examples = _leading_comment(text)
    try:
        keys = tuple(key_docs(text, _package(text, group)))
        builds_on = tuple(item.value for item in _defaults(text) if isinstance(item, yaml.ScalarNode))
    except yaml.YAMLError as error:
        return OptionDoc(group, name, f"Can't be read: {' '.join(str(error).split())}", (), (), source)
    return OptionDoc(group, name, comment, examples, keys, source, builds_on)


def key_docs(text: str, package: str) -> Iterator[KeyDoc]:
    """Yield all keys of a file with their comments, apart from its defaults list.

    Raises:
        yaml.YAMLError: the text is no YAML.
    """
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(node, yaml.MappingNode):
        yield from _walk(node, text.splitlines(), f"{package}." if package else "")


def _walk(node: yaml.MappingNode, lines: Sequence[str], prefix: str) -> Iterator[KeyDoc]:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if name.rpartition(".")[2] == "defaults" and isinstance(value, yaml.SequenceNode):
            continue
        inner = isinstance(value, yaml.MappingNode) and bool(value.value)
        default = "" if inner else _show(value)
        yield KeyDoc(name, default, _comment_above(lines, key.start_mark.line), not inner)
        if inner:
            yield from _walk(value, lines, f"{name}.")


def _default_entries(text: str) -> dict[str, tuple[str, str]]:
    """Return, for each group in the root's defaults list, the comment above it and its default option."""
    entries = {}
    for item in _defaults(text):
        if isinstance(item, yaml.MappingNode):
            key, value = item.value[0]
            entries[key.value] = (_comment_above(text.splitlines(), key.start_mark.line), _show(value))
    return entries


def _defaults(text: str) -> list[yaml.Node]:
    """Return the entries of a file's defaults list."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value.value for key, value in pairs if key.value == "defaults"), [])


def _comment_above(lines: Sequence[str], line: int) -> str:
    """Return the comment that ends on the line before `line` (counted from 0), as one paragraph."""
    comment: list[str] = []
    while line > 0 and (above := lines[line - 1].strip()).startswith("#"):
        comment.insert(0, above.lstrip("#").strip())
        line -= 1
    # The comment of a file that starts with a key is the key's, apart from Hydra's header.
    return " ".join(part for part in comment if part and not part.startswith("@package"))


def _leading_comment(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the comment of the file as a paragraph, and the commands in it."""
    block, rest = [], text.lstrip().splitlines()
    while rest and rest[0].startswith("#"):
        block.append(rest.pop(0).lstrip("#").strip())
    if rest and rest[0].strip() not in ("", "{}"):  # the comment is about its first key
        return "", ()
    said = [line for line in block if line and not line.startswith("@package")]
    commands = tuple(line.strip("`") for line in said if line.lstrip("`").startswith("mml "))
    return " ".join(line for line in said if line.strip("`") not in commands), commands


def _package(text: str, group: str) -> str:
    header = re.search(r"^#\s*@package\s+(\S+)\s*$", text, re.MULTILINE)
    package = header[1] if header else group.replace("/", ".")
    return "" if package == _GLOBAL else package


def _show(node: yaml.Node) -> str:
    """Return a value on one line, as one would type it."""
    if isinstance(node, yaml.SequenceNode):
        return f"[{','.join(_show(item) for item in node.value)}]"
    if isinstance(node, yaml.MappingNode):
        return f"{{{','.join(f'{key.value}:{_show(value)}' for key, value in node.value)}}}"
    return str(node.value) or "''"


def _folders(sources: Iterable[str]) -> Iterator[Traversable]:
    for source in sources:
        scheme, _, path = source.partition("://")
        if scheme == "file" and Path(path).is_dir():
            yield Path(path)
        elif scheme == "pkg":
            try:
                yield resources.files(path.replace("/", ".").strip("."))
            except (ImportError, TypeError):
                continue


def _options(folder: Traversable, group: str = "") -> Iterator[OptionDoc]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and not entry.name.startswith(("_", ".")):
            yield from _options(entry, f"{group}/{entry.name}".lstrip("/"))
        elif group and entry.name.endswith(_SUFFIXES):
            text = entry.read_text(encoding="utf-8")
            yield option_doc(text, group, entry.name.rpartition(".")[0], str(entry))
