"""`mml status`: where a run is, told from another shell while it runs; or how it ended and how to go on."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.run_index import FoundRun
from mml.core.scripts.runs import FINISHED, RUNNING, RunInfo, run_info
from mml.runs_choice import choose, find_runs
from mml.runs_words import RUN, VerbParser, add_place, results_root

_EPILOG = """Without RUN: all runs that are running, or else the newest one.

Examples:
  mml status --watch          looks again every half second until the run ends; q or Ctrl-C leaves it
  mml status latest --json    for other programs; docs/runs.md says what each field means"""


def run_status(words: Sequence[str]) -> int:
    """Carry out the words after `mml status` and return the exit code.

    Raises:
        MMLMisconfigurationException: they can't be understood, or no run is meant.
    """
    given = status_parser().read(words)
    root = results_root(given.out_dir)
    infos = [choose(given.run, root, given.project)] if given.run else shown_runs(root, given.project)
    if given.json and given.watch:
        msg = "--json and --watch can't be asked for at once. Leave one of them out."
        raise MMLMisconfigurationException(msg)
    if given.json:
        from mml.status_reading import as_record, read_status

        sys.stdout.write(json.dumps([as_record(read_status(info)) for info in infos], indent=2) + "\n")
        return 0
    from mml import status_view

    if not infos:
        status_view.show_nothing(root)
    elif given.watch:
        return status_view.watch([info.path for info in infos], given.out_dir)
    else:
        status_view.show_status([info.path for info in infos], given.out_dir)
    return 0


def status_parser() -> VerbParser:
    """Return the parser of `mml status`."""
    parser = VerbParser("mml status", "Show where a run is, while it runs and after.", epilog=_EPILOG)
    parser.add_argument("run", nargs="?", metavar="RUN", help=RUN)
    parser.add_argument("-w", "--watch", action="store_true", help="look again and again until the run ends")
    parser.add_argument("--json", action="store_true", help="as a JSON list")
    add_place(parser)
    return parser


def shown_runs(root: Path, project: str | None) -> list[RunInfo]:
    """Return the runs that are running or else the newest one, newest first.

    Raises:
        MMLMisconfigurationException: there is no such project.
    """
    found = find_runs(root, project)
    running = [info for run in found if (info := _running(run, root)) is not None]
    return running or [run_info(run, root) for run in found[:1]]


def _running(run: FoundRun, root: Path) -> RunInfo | None:
    if run.digest.state == FINISHED and not run.fault:
        return None
    info = run_info(run, root)
    return info if info.state == RUNNING else None
