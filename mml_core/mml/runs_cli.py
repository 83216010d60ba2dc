"""`mml runs`: its sub-verbs and flags. What carries them out is loaded when it is asked for."""

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mml.runs_words import RUN, VerbParser, add_place

LIST = "list"
Command = Callable[[argparse.Namespace], int]


class SubVerb(NamedTuple):
    """A sub-verb of `mml runs`.

    Attributes:
        text: what it does, in a line.
        add: adds its flags to a parser.
        command: returns what carries it out.
        more: what else its help says.
    """

    text: str
    add: Callable[[VerbParser], None]
    command: Callable[[], Command]
    more: str = ""


def run_runs(words: Sequence[str]) -> int:
    """Carry out the words after `mml runs` and return the exit code.

    Raises:
        MMLMisconfigurationException: they can't be understood or done.
    """
    name, rest = sub_verb(words)
    given = make_parser(name).read(rest)
    return SUB_VERBS[name].command()(given)


def sub_verb(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the sub-verb that words begin with, `list` if with none, and the words that follow it."""
    if words and words[0] in SUB_VERBS:
        return words[0], list(words[1:])
    return LIST, list(words)


def make_parser(name: str) -> VerbParser:
    """Return the parser of a sub-verb."""
    verb = SUB_VERBS[name]
    epilog = verb.more
    if name == LIST:
        others = "\n".join(f"  mml runs {other:<7}{found.text}" for other, found in SUB_VERBS.items() if other != LIST)
        epilog = f"Other verbs, each with --help:\n{others}\n\n{verb.more}"
    parser = VerbParser(f"mml runs{'' if name == LIST else f' {name}'}", verb.text, epilog=epilog)
    verb.add(parser)
    add_place(parser, several=name == LIST)
    return parser


def _add_list(parser: VerbParser) -> None:
    from mml.core.scripts.runs import STATES
    from mml.runs_list import DEFAULT_LIMIT, SORTS

    parser.add_argument("text", nargs="*", help="only runs with this in name, project, mode, tasks or label")
    parser.add_argument(
        "--state", help=f"only runs in this state: {', '.join(STATES)}", action="append", metavar="NAME"
    )
    parser.add_argument("--mode", help="only runs of this mode, e.g. train", action="append", metavar="NAME")
    parser.add_argument("--task", help="only runs that this task belongs to", action="append", metavar="NAME")
    parser.add_argument("--label", help="only runs whose label holds this", action="append", metavar="TEXT")
    parser.add_argument("--since", help="only runs started since then: 30min, 12h, 2d, 1w, a date", metavar="TIME")
    by = f"column to sort by: {', '.join(SORTS)}"
    parser.add_argument("--sort", choices=SORTS, default="age", help=by, metavar="BY")
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--limit", type=int, metavar="N", help=f"at most so many, 0 for all (default: {DEFAULT_LIMIT})")
    parser.add_argument("--size", action="store_true", help="measure the folders of all runs listed")
    parser.add_argument("--json", action="store_true", help="as JSON, all runs unless limited")


def _add_run(parser: VerbParser) -> None:
    parser.add_argument("run", metavar="RUN", help=RUN)


def _add_show(parser: VerbParser) -> None:
    _add_run(parser)
    parser.add_argument("--all", action="store_true", help="all steps and files, however many")
    parser.add_argument("--config", action="store_true", help="the whole config, too")
    parser.add_argument("--json", action="store_true", help="as JSON, with everything")


def _add_log(parser: VerbParser) -> None:
    _add_run(parser)
    parser.add_argument("-n", "--lines", type=int, default=40, metavar="N", help="last lines, 0 for all (default: 40)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as long as the run does, or until Ctrl-C")
    parser.add_argument("--worker", metavar="NAME", help="the log of one worker alone, e.g. of a [NAME step 3] line")


def _add_diff(parser: VerbParser) -> None:
    parser.add_argument("run", metavar="A", help=RUN)
    parser.add_argument("other", metavar="B", help="the run to compare it with")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _add_label(parser: VerbParser) -> None:
    _add_run(parser)
    parser.add_argument("text", nargs="*", help="the label; without it, the present one is shown")
    parser.add_argument("--remove", action="store_true", help="take the label away")


def _add_removal(parser: VerbParser) -> None:
    parser.add_argument("--yes", "-y", action="store_true", help="don't ask")
    parser.add_argument("--dry-run", action="store_true", help="show what would go, and remove nothing")


def _add_rm(parser: VerbParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help=RUN)
    parser.add_argument("--results", action="store_true", help="with the files it made, but those another run needs")
    _add_removal(parser)


def _list() -> Command:
    from mml.runs_list import list_command

    return list_command


def _show() -> Command:
    from mml.runs_show import show_command

    return show_command


def _log() -> Command:
    from mml.runs_log import log_command

    return log_command


def _diff() -> Command:
    from mml.runs_diff import diff_command

    return diff_command


def _label() -> Command:
    from mml.runs_label import label_command

    return label_command


def _rm() -> Command:
    from mml.runs_rm import rm_command

    return rm_command


def _gc() -> Command:
    from mml.runs_gc import gc_command

    return gc_command


_LIST_EXAMPLES = """Examples:
  mml runs --state crashed,failed --since 2d
  mml runs task=digits --sort metric --limit 5
  mml runs --json | jq '.[] | select(.value > 0.9) | .name'"""
_GC_HELP = """What no run needs any more: temporary files and live states of finished runs, unfinished writes beside
their records, folders of runs that were killed before they had a config, numbers reserved for files that were not
written, and labels of runs that are gone. Runs that can be continued keep all they have: `mml runs rm` removes one."""

SUB_VERBS = {
    LIST: SubVerb("Show all runs of all projects, newest first.", _add_list, _list, _LIST_EXAMPLES),
    "show": SubVerb("Show all that is known of a run: config, versions, steps, files, errors.", _add_show, _show),
    "log": SubVerb("Print the log of a run.", _add_log, _log),
    "diff": SubVerb("Show in what two runs differ: config, code, versions, metrics.", _add_diff, _diff),
    "label": SubVerb("Give a run a label, which can stand for its name.", _add_label, _label),
    "rm": SubVerb("Remove runs; asks before, and never removes a running one.", _add_rm, _rm),
    "gc": SubVerb("Remove what killed runs left and nothing needs; asks before.", _add_removal, _gc, _GC_HELP),
}
