"""`mml --help` and `mml help <topic>`: what can be typed, told by the comments of the config tree."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mml import __version__
from mml.config_docs import GroupDoc, KeyDoc, OptionDoc, TreeDoc, option_doc, read_tree
from mml.config_loading import CONFIG_TREE, search_path
from mml.core.scripts.drift_config import WHERE_GROUPS, WHERE_KEYS
from mml.core.scripts.exceptions import UnknownNameError
from mml.core.scripts.plugins import load_plugins, plugin_runners
from mml.runner_source import GROUP as RUNNER

VERBS = {
    "continue": "Go on with a run where it stopped: `mml continue [RUN] [key=value ...]`; without RUN the only one "
    "that waits, or the one that you pick from a list, with `latest` the newest. With `--fork` a new run with changes "
    "takes over what does not depend on them.",
    "plan": "Show what a command would do, and do nothing of it: which steps are done, on what the others would run, "
    "what they take: `mml plan train task=digits`, `mml plan continue RUN`; `mml plan --help` says more.",
    "runs": "Show all runs and what became of them: `mml runs [FILTERS]`, `mml runs show|log|diff|label|rm|gc ...`; "
    "`mml runs --help` says more.",
    "status": "Show where a run is, also while it runs: `mml status [RUN] [--watch]`; `mml status --help` says more.",
    "doctor": "Name what is wrong on this machine, and how to mend it: `mml doctor`; `mml doctor --help` says more.",
    "help": "Explain a mode, a group, an option or a key: `mml help [TOPIC]`.",
}
# What `mml <verb> --help` says besides.
MORE = {
    "continue": """
  mml continue                                  the only run that waits, or one that you pick
  mml continue latest                           the newest run of the project that can be continued
  mml continue RUN proj=mine                    a run of another project than `default`; also mine/RUN
  mml continue RUN trainer.devices=[1]          the same run at another place
  mml continue RUN --fork optimizer.lr=0.01     a new run with a change
  mml continue --fork mode.cv=true              the same of the newest run, whatever its state

A run goes on with the config it was started with. An override may say where and how it goes on: {where}.
Anything else would make it another run, and is refused. What is different from the start (config, code of mml and of
plugins, versions of Python and packages, descriptions of tasks) is shown once, as a table, before the run goes on.

--fork  Start a new run instead, with the settings of RUN and your changes, whether RUN is finished, failed, was
        interrupted or killed, or is running. Steps that RUN has done are taken over as they are if nothing that they
        depend on differs; a table names every step and why it is taken over or not. RUN itself is never touched.
        proj=... is the project of the new run; say <project>/RUN for a run of another one."""
}
FLAGS = {
    "--version": "Versions of mml, of Python and of all plugins.",
    "--multirun, -m": "Try several values, e.g. optimizer.lr=0.01,0.001, one run each.",
    "--detach": "Leave the steps to the queue of the runner (runner=slurm) and end; `mml continue` collects them.",
    "--cfg job": "Show the config instead of running it; with --resolve all references replaced.",
    "--info": "Show how Hydra makes the config: all, config, defaults, defaults-tree, plugins or searchpath.",
    "--config-dir DIR": "Look for options in a folder of your own, too: DIR/<group>/<option>.yaml.",
    "--config-name NAME": "Start from another root config than `config`.",
    "-sc install=bash": 'Tab completion for bash (also zsh, fish): eval "$(mml -sc install=bash)"',
    "--hydra-help": "All flags of Hydra.",
}
MODE = "mode"
_SHOWN_EXAMPLES = 2


def show_help(topics: Sequence[str] = (), console: Console | None = None) -> None:
    """Print the overview, or what is known about topics.

    Raises:
        UnknownNameError: nothing has that name.
    """
    console = console or Console(highlight=False)
    tree = load_tree()
    if not topics:
        return _overview(tree, console)
    for topic in topics:
        _topic(topic, tree, console)
    return None


def _where_text() -> str:
    return ", ".join([*WHERE_KEYS, *(f"{group}.*" for group in WHERE_GROUPS), "data_dir"])


def load_tree() -> TreeDoc:
    """Return what the config tree of mml and of all plugins says."""
    load_plugins()
    folders = (element.path for element in search_path(CONFIG_TREE).get_path() if element.provider != "hydra")
    return read_tree(folders, [option_doc(made.text, RUNNER, made.name, made.provider) for made in plugin_runners()])


def find_keys(tree: TreeDoc, topic: str) -> list[tuple[str, KeyDoc]]:
    """Return all keys of a name, or else those whose last part it is, each with where it stands (`group=option`)."""
    everywhere = [("", key) for key in tree.keys]
    for group in tree.groups.values():
        everywhere += [(f"{group.name}={option.name}", key) for option in group.options.values() for key in option.keys]
    exact = [(place, key) for place, key in everywhere if key.key == topic]
    return exact or [(place, key) for place, key in everywhere if key.key.rpartition(".")[2] == topic]


def topics(tree: TreeDoc) -> set[str]:
    """Return all names that can be asked for."""
    names = {*VERBS, *tree.groups, *(key.key for key in tree.keys)}
    for group in tree.groups.values():
        for option in group.options.values():
            names |= {f"{group.name}={option.name}", *(key.key for key in option.keys)}
    return names | set(tree.groups[MODE].options)


def examples(option: OptionDoc) -> list[str]:
    """Return two commands for a mode: those in its comment, else some made of its keys."""
    made = [f"mml {option.name} task=digits"]
    telling = [key for key in settable(option.keys) if key.default != "null" and key.key != "mode.subroutines"]
    made += [f"{made[0]} {key.key}={key.default}" for key in telling[:1]]
    return [*option.examples, *made][:_SHOWN_EXAMPLES]


def settable(keys: Iterable[KeyDoc]) -> list[KeyDoc]:
    """Return the keys that a user sets: with a value, and none of the wiring (`_target_`, `mode.id`)."""
    return [key for key in keys if key.leaf and "._" not in f".{key.key}" and key.key not in ("mode.id",)]


def merged_keys(group: GroupDoc) -> list[KeyDoc]:
    """Return the keys of all options of a group, those of the default option first.

    Where the options differ in the default of a key, it names them.
    """
    options = sorted(group.options.values(), key=lambda option: option.name != group.default)
    merged: dict[str, dict[str, KeyDoc]] = {}
    for option in options:
        for key in settable(option.keys):
            merged.setdefault(key.key, {})[option.name] = key
    return [_merge(docs, len(options)) for docs in merged.values()]


def _merge(docs: dict[str, KeyDoc], options: int) -> KeyDoc:
    first = next(iter(docs.values()))
    if len(docs) == options and len({key.default for key in docs.values()}) == 1:
        return first
    return first._replace(default=", ".join(f"{key.default} ({name})" for name, key in docs.items()))


def _overview(tree: TreeDoc, console: Console) -> None:
    console.print(f"[bold]mml {__version__}[/]: whatever you start survives.\n")
    console.print("Usage: mml <mode> [key=value ...]   e.g. mml train task=digits", markup=False)
    console.print("       mml <verb> ...               mml alone shows where you are\n", markup=False)
    _table(console, "Modes", [(option.name, option.text) for option in tree.groups[MODE].options.values()])
    _table(console, "Verbs", VERBS.items())
    shown = [group for name, group in tree.groups.items() if name != MODE and not name.startswith("hydra")]
    rows = [(f"{group.name}={group.default or '<option>'}", group.text) for group in shown]
    _table(console, "Groups, with their defaults", rows)
    keys = [key for key in settable(tree.keys) if not key.key.startswith("hydra.")]
    _table(console, "Keys", [(key.key, key.text) for key in keys])
    _table(console, "Flags", FLAGS.items())
    console.print("mml help <mode | group | key> says more.", markup=False)


def _topic(topic: str, tree: TreeDoc, console: Console) -> None:
    group, _, name = topic.replace("/", "=").partition("=")
    if name and group in tree.groups and name in tree.groups[group].options:
        return _option(tree.groups[group].options[name], console)
    if topic in tree.groups[MODE].options:
        return _option(tree.groups[MODE].options[topic], console)
    if topic in tree.groups:
        return _group(tree.groups[topic], console)
    if topic in VERBS:
        console.print(f"{topic}: {VERBS[topic]}", markup=False)
        return console.print(MORE[topic].format(where=_where_text()), markup=False) if topic in MORE else None
    if found := find_keys(tree, topic):
        return _keys(found, console)
    raise UnknownNameError(topic, kind="help topic", known=topics(tree), fix="`mml help` lists them.")


def _option(option: OptionDoc, console: Console) -> None:
    mode = option.group == MODE
    console.print(f"[bold]{escape(f'mml {option.name}' if mode else f'{option.group}={option.name}')}[/]")
    console.print(f"{option.text}\n", markup=False)
    if mode:
        console.print(f"Usage: mml {option.name} [task=<name>] [key=value ...]\n", markup=False)
    rows = [(key.key, key.default, key.text) for key in settable(option.keys)]
    _table(console, "Subroutines", [row[1:] for row in rows if row[0] == "mode.subroutines"])
    _table(console, "Keys", [row for row in rows if row[0] != "mode.subroutines"], ("key", "default", "what it does"))
    if mode:
        _table(console, "Examples", [(example,) for example in examples(option)])
        console.print("Every group and key of `mml help` can be set as well.", markup=False)


def _group(group: GroupDoc, console: Console) -> None:
    console.print(f"[bold]{escape(group.name)}[/]\n{escape(group.text)}\n")
    rows = [(name + " (default)" * (name == group.default), option.text) for name, option in group.options.items()]
    _table(console, f"Options: mml ... {group.name}=<option>", rows)
    rows3 = [(key.key, key.default, key.text) for key in merged_keys(group)] if group.name != MODE else []
    _table(console, "Keys", rows3, ("key", "default", "what it does"))


def _keys(found: Sequence[tuple[str, KeyDoc]], console: Console) -> None:
    """Print what is said about keys, once per wording."""
    said: dict[tuple[str, str], list[str]] = {}
    for place, key in found:
        said.setdefault((key.key, key.text), []).append(f"{key.default or '...'}{f' ({place})' if place else ''}")
    for (name, text), defaults in said.items():
        console.print(f"[bold]{escape(name)}[/]\n{escape(text)}")
        console.print(f"Default: {', '.join(defaults)}\n", markup=False)


def _table(console: Console, title: str, rows: Iterable[Sequence[str]], headers: Sequence[str] = ()) -> None:
    rows = [[escape(cell) for cell in row] for row in rows]
    if not rows:
        return
    table = Table(box=None, show_header=bool(headers), pad_edge=False, padding=(0, 2, 0, 0))
    for number in range(len(rows[0])):
        table.add_column(headers[number] if headers else "", overflow="fold", style="cyan" if number == 0 else "")
    for row in rows:
        table.add_row(*row)
    console.print(f"[bold]{escape(title)}[/]")
    console.print(table)
    console.print()
