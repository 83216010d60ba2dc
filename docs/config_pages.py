"""Fills the page of all configuration keys from the comments in the YAML files, through the code behind `mml help`."""

from collections.abc import Iterable, Iterator
from typing import Any

from mml.config_docs import GroupDoc, KeyDoc, OptionDoc, TreeDoc, read_tree

PAGE = "config_reference"
MARK = "<!-- groups and keys -->"
MODE = "mode"


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", fill_page)
    return {"parallel_read_safe": True}


def fill_page(_app: Any, name: str, source: list[str]) -> None:
    if name == PAGE:
        tree = read_tree(["pkg://mml_configs"])
        source[0] = source[0].replace(MARK, "\n".join(lines_of(tree)))


def lines_of(tree: TreeDoc) -> Iterator[str]:
    """Yield the page: modes, groups with their options, keys of the root."""
    yield "## Modes"
    for option in tree.groups[MODE].options.values():
        yield from option_lines(option, f"`mml {option.name}`")
    yield "## Keys outside of groups"
    yield from key_lines(tree.keys)
    for group in tree.groups.values():
        if group.name != MODE:
            yield from group_lines(group)


def group_lines(group: GroupDoc) -> Iterator[str]:
    yield f"## Group `{group.name}`"
    yield f"{group.text} Default: `{group.name}={group.default}`." if group.default else group.text
    for option in group.options.values():
        yield from option_lines(option, f"`{group.name}={option.name}`")


def option_lines(option: OptionDoc, title: str) -> Iterator[str]:
    yield f"\n### {title}\n\n{escape(option.text)}"
    if option.examples:
        yield "\n".join(["\n```bash", *option.examples, "```"])
    yield from key_lines(option.keys)


def key_lines(keys: Iterable[KeyDoc]) -> Iterator[str]:
    """Yield a table of keys that a user may set."""
    rows = [key for key in keys if key.leaf and not key.key.startswith("hydra.")]
    if rows:
        yield "\n| key | default | what it does |\n|---|---|---|"
        for key in rows:
            default = f"`{cell(key.default)}`" if key.default else ""
            yield f"| `{key.key}` | {default} | {cell(escape(key.text))} |"
        yield ""


def cell(text: str) -> str:
    """Return a text that does not end a cell of a table."""
    return text.replace("|", "\\|")


def escape(text: str) -> str:
    """Return a comment as Markdown: its `<` are no tags, its `*` and `$` are themselves; `code` stays."""
    parts = text.split("`")
    for number in range(0, len(parts), 2):
        for sign in "<*[$_":
            parts[number] = parts[number].replace(sign, f"\\{sign}")
    return "`".join(parts)
