"""What `mml` alone shows: where you are, what happened last and what to type next. And `mml --version`."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mml import __version__
from mml.core.data_loading.task_description import DESCRIPTION_FILE
from mml.core.scripts.environment import Location, data_location, results_location
from mml.core.scripts.plugins import broken_plugins, load_plugins
from mml.core.scripts.runs import CONTINUABLE, RUNNING, RunInfo, list_runs
from mml.runs_choice import continue_command
from mml.runs_styles import STATE_STYLES

MOST_RUNS = 8


def show_home(console: Console | None = None) -> None:
    """Print version, folders, the last runs and what to type next.

    Raises:
        MMLMisconfigurationException: an `mml.env` file can't be read.
    """
    console = console or Console(highlight=False)
    data, results = data_location(), results_location()
    tasks = count_tasks(data.path)
    runs = sorted(list_runs(results.path, newest=MOST_RUNS), key=_age, reverse=True)
    console.print(f"[bold]mml {__version__}[/]\n")
    console.print(_places(data, results, tasks))
    if runs:
        console.print("\n[bold]Last runs[/]")
        console.print(_runs(runs))
    console.print("\n[bold]Next[/]")
    for command, why in next_steps(tasks, runs):
        console.print(f"  [cyan]{escape(command)}[/]  {escape(why)}", soft_wrap=True)


def show_version(console: Console | None = None) -> None:
    """Print the versions of mml, of Python and of all plugins, and why a plugin is skipped."""
    console = console or Console(highlight=False, soft_wrap=True)
    reports = load_plugins()
    console.print(f"mml {__version__}, Python {platform.python_version()}", markup=False)
    for report in reports:
        console.print(str(report), markup=False, style="red" if report.fault else None)
    if not reports:
        console.print("no plugins", markup=False)


def count_tasks(data_path: Path) -> int:
    """Return how many tasks there are, without reading them."""
    try:
        with os.scandir(data_path / "tasks") as entries:
            return sum(entry.name[0] != "." and Path(entry.path, DESCRIPTION_FILE).is_file() for entry in entries)
    except OSError:
        return 0


def next_steps(tasks: int, runs: Sequence[RunInfo]) -> list[tuple[str, str]]:
    """Return commands that make sense now, each with its reason, the most helpful first.

    Args:
        tasks: number of installed tasks.
        runs: the last ones, newest first.
    """
    steps = []
    if any(run.state == RUNNING for run in runs):
        steps.append(("mml status --watch", "where the running ones are"))
    if stopped := next((run for run in runs if run.state in CONTINUABLE), None):
        steps.append((continue_command(stopped), f"go on with it: {stopped.state} {_progress(stopped)}"))
    if not tasks:
        steps.append(("mml create task=digits", "a first task, from images that are on this machine already"))
        steps.append(("mml create task=mine mode.source=<folder>", "a task of your own images"))
    elif not any(run.mode == "train" for run in runs):
        steps.append(("mml info", "the tasks you have"))
        steps.append(("mml train task=<name>", "train, test and predict"))
    else:
        steps.append(("mml info", "tasks and models"))
    if runs:
        steps.append(("mml runs", "all runs, and what became of them"))
    return [*steps, ("mml --help", "everything else")]


def _places(data: Location, results: Location, tasks: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, place, note in (("data", data, _count(tasks, "task")), ("results", results, "")):
        table.add_row(name, escape(str(place.path)), f"[dim]{escape(f'from {place.source}')}[/]", note)
    if broken := broken_plugins(load_plugins()):
        table.add_row("plugins", escape("; ".join(map(str, broken))))
    return table


def _runs(runs: Sequence[RunInfo]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("run", "project", "mode", "tasks", "state", "steps"):
        table.add_column(column, overflow="fold")
    for run in runs:
        state = f"[{STATE_STYLES[run.state]}]{run.state}[/]"
        tasks = ", ".join(run.tasks[:3]) + ", ..." * (len(run.tasks) > 3)
        table.add_row(escape(run.name), escape(run.project), escape(run.mode), escape(tasks), state, _progress(run))
    return table


def _age(run: RunInfo) -> tuple[str, float]:
    """Return what sorts runs: the second in their names, then the time of the start, which a killed one may lack."""
    return run.name[:19], run.created.timestamp() if run.created else 0.0


def _progress(run: RunInfo) -> str:
    return f"{run.steps_done}/{'?' if run.steps_total is None else run.steps_total}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
