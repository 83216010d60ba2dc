"""The flags of `mml plan`, and its help."""

import argparse
from collections.abc import Sequence

from mml.runs_words import VerbParser

_EPILOG = """Everything that mml takes can follow: a mode with settings, `continue`, --fork, --multirun.

Examples:
  mml plan train task=[digits,fashion_mnist] mode.cv=true
  mml plan train task=digits runner=local --out plan.svg
  mml plan continue latest                          what is done, and what would run
  mml plan continue latest --fork optimizer.lr=0.01  what a fork would take over
  mml plan train task=digits --multirun seed=1,2,3  one plan for each job
  mml plan train task=digits --json | jq .totals

Nothing is run and nothing is written, apart from the file of --out. Times and sizes are estimated from earlier runs
below out_dir, those of the same step with the same settings first; the table says what an estimate comes from."""


def plan_parser() -> VerbParser:
    """Return the parser of the flags of `mml plan`."""
    text = "Show the steps that a command would do, what is done, on what the others would run, and what they take."
    usage = "mml plan <what mml would do> [--all] [--json] [--out FILE]"
    parser = VerbParser("mml plan", text, epilog=_EPILOG, usage=usage)
    parser.add_argument("--all", action="store_true", help="all steps, however many")
    parser.add_argument("--json", action="store_true", help="as JSON, with everything")
    parser.add_argument("--out", metavar="FILE", help="write the graph to a file, too: .svg, .dot (Graphviz) or .json")
    return parser


def own_flags() -> list[str]:
    """Return the flags that `mml plan` has besides those that every command has."""
    return [flag for flag in plan_parser().flags() if flag != "--help"]


def read_words(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the flags among the words after `mml plan`, and the words of the command to plan.

    Raises:
        MMLMisconfigurationException: a flag lacks its value.
    """
    parser = plan_parser()
    given, rest = parser.parse_known_args(list(words))
    if not rest:
        parser.print_help()
    return given, rest
