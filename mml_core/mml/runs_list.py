"""`mml runs`: all runs of all projects as a table or as JSON; quick however many there are."""

import argparse
import difflib
import json
import math
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.run_index import FoundRun
from mml.core.scripts.runs import STATES, RunInfo, info_of, settle, started
from mml.report.quick_table import write_line, write_table
from mml.report.texts import NOTHING, Column, list_text, number_text, seconds_text, size_text
from mml.runs_choice import Labels, find_runs, labels_of
from mml.runs_styles import STATE_STYLES
from mml.runs_words import as_names, results_root

DEFAULT_LIMIT = 30
# The other verbs of `mml runs`, which a text may have been meant for.
VERBS = ("show", "log", "diff", "label", "rm", "gc")
# Beyond so many rows their sizes are not worth the wait unless asked for.
MOST_SIZES = 60
SORTS = ("age", "name", "project", "state", "mode", "progress", "metric", "duration", "size")
FILTERS = ("project", "proj", "state", "mode", "task", "label", "since", "sort", "limit", "out_dir")
_PERIOD = r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>min|[smhdw])"
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SHORT_VALUE = 20  # characters


class ListedRun(NamedTuple):
    """A run as it is listed: what became of it, its label, and the bytes of its folder (None when not measured)."""

    info: RunInfo
    label: str
    size: int | None


class Wanted(NamedTuple):
    """Which runs to list; empty values leave all in."""

    states: Sequence[str] = ()
    modes: Sequence[str] = ()
    tasks: Sequence[str] = ()
    labels: Sequence[str] = ()
    since: float = 0.0
    text: Sequence[str] = ()


_ALL = Wanted()


def list_command(given: argparse.Namespace) -> int:
    """Print the runs that were asked for, and return the exit code.

    Raises:
        MMLMisconfigurationException: a filter that can't be understood.
    """
    root, wanted = results_root(given.out_dir), wanted_runs(given)
    runs = _found(root, as_names(given.project))
    labels = labels_of(root, {run.project for run in runs})
    settled = [settle(run, root) for run in runs if fits(run, wanted, labels)]
    if wanted.states:
        settled = [(state, run) for state, run in settled if state in wanted.states]
    shown = _chosen(settled, root, labels, given)
    if given.json:
        sys.stdout.write(as_json(shown) + "\n")
    else:
        _show(shown, settled, root, len(runs))
        _hint(given.text, nothing=not settled)
    return 0


def _chosen(
    settled: list[tuple[str, FoundRun]], root: Path, labels: Labels, given: argparse.Namespace
) -> list[ListedRun]:
    """Return the runs to show, in order, as many as asked for; only these are measured, unless size is their order."""
    limit = given.limit if given.limit is not None else 0 if given.json else DEFAULT_LIMIT
    if given.sort == "size":
        listed = _listed(settled, root, labels, sizes=True)
        return sorted(listed, key=lambda run: run.size or 0, reverse=not given.reverse)[: limit or None]
    settled = sort_settled(settled, given.sort)
    some = (settled[::-1] if given.reverse else settled)[: limit or None]
    return _listed(some, root, labels, sizes=given.size or (not given.json and len(some) <= MOST_SIZES))


def wanted_runs(given: argparse.Namespace) -> Wanted:
    """Return what the flags ask for.

    Raises:
        MMLMisconfigurationException: a state that there is not, or a time that can't be understood.
    """
    states = as_names(given.state)
    for state in states:
        if state not in STATES:
            raise UnknownNameError(state, kind="state", known=STATES)
    if given.limit is not None and given.limit < 0:
        msg = f"--limit {given.limit} is no number of runs; 0 shows all."
        raise MMLMisconfigurationException(msg)
    for text in given.text:
        if match := re.match(r"([a-z_.]+)=", text):
            raise UnknownNameError(match[1], kind="filter", known=FILTERS, fix="See `mml runs --help`.")
    since = since_seconds(given.since, time.time()) if given.since else 0.0
    return Wanted(
        states=tuple(states),
        modes=tuple(as_names(given.mode)),
        tasks=tuple(as_names(given.task)),
        labels=tuple(given.label or ()),
        since=since,
        text=tuple(given.text),
    )


def since_seconds(text: str, now: float) -> float:
    """Return the time that `2d`, `90min`, `2026-11-20` or `2026-11-20 10:00` means, seconds since the epoch.

    Raises:
        MMLMisconfigurationException: it can't be understood.
    """
    if match := re.fullmatch(_PERIOD, text.strip()):
        return now - float(match["number"]) * _SECONDS[match["unit"]]
    if text.strip() in ("today", "yesterday"):
        midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
        return (midnight - timedelta(days=text.strip() == "yesterday")).timestamp()
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except ValueError:
        msg = f"--since {text} is no time. Say how long ago, e.g. 30min, 12h, 2d, 1w, or when, e.g. 2026-11-20."
        raise MMLMisconfigurationException(msg) from None


def fits(run: FoundRun, wanted: Wanted, labels: Labels) -> bool:
    """Tell whether a run is asked for, its state left aside."""
    if wanted == _ALL:
        return True
    said, label = run.digest, labels.get((run.project, run.name), "")
    return (
        (not wanted.modes or said.mode in wanted.modes)
        and (not wanted.tasks or not set(wanted.tasks).isdisjoint(said.tasks))
        and (said.created or run.changed) >= wanted.since
        and all(text.lower() in label.lower() for text in wanted.labels)
        and (not wanted.text or _has_text(run, label, wanted.text))
    )


def sort_settled(runs: Sequence[tuple[str, FoundRun]], by: str) -> list[tuple[str, FoundRun]]:
    """Return runs, newest first as they come, in the order of a column; what has no value there comes last."""
    if by == "age":
        return list(runs)
    # Text from a to z, numbers from high to low.
    key, downwards = _KEYS[by]
    valued = [pair for pair in runs if key(*pair) is not None]
    rest = [pair for pair in runs if key(*pair) is None]
    return [*sorted(valued, key=lambda pair: key(*pair), reverse=downwards), *rest]


def as_json(runs: Sequence[ListedRun]) -> str:
    """Return runs as a JSON list; `docs/runs.md` says what each field means."""
    return json.dumps([as_record(run) for run in runs], indent=2, ensure_ascii=False)


def as_record(run: ListedRun) -> dict[str, Any]:
    """Return a run as plain JSON values."""
    info = run.info
    return {
        "name": info.name,
        "project": info.project,
        "path": str(info.path),
        "state": info.state,
        "mode": info.mode or None,
        "tasks": list(info.tasks),
        "steps_done": info.steps_done,
        "steps_total": info.steps_total,
        "value": _json_value(info.return_value),
        "created": info.created and info.created.isoformat(timespec="seconds"),
        "changed": info.changed and info.changed.isoformat(timespec="seconds"),
        "seconds": round(info.seconds, 3),
        "size": run.size,
        "label": run.label or None,
        "error": info.error or None,
    }


def value_text(value: Any) -> str:
    """Return a return value as a short text: a number with four digits, of several with names the first."""
    if isinstance(value, bool | str):
        text = str(value)
        return text if len(text) <= _SHORT_VALUE else f"{text[: _SHORT_VALUE - 1]}…"
    if isinstance(value, int | float):
        return number_text(value)
    numbers = value.items() if isinstance(value, dict) else ()
    return next((f"{key} {number_text(item)}" for key, item in numbers if _number(item) is not None), NOTHING)


def age_text(seconds: float) -> str:
    """Return how long ago something was, in one unit: `12 s`, `5 min`, `3 h`, `4 d`, `7 w`, `2 y`."""
    for unit, size, until in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 86400), ("d", 86400, 14 * 86400)):
        if seconds < until:
            return f"{max(0, int(seconds / size))} {unit}"
    days = seconds / 86400
    return f"{int(days / 7)} w" if days < 365 else f"{int(days / 365)} y"


def progress_text(info: RunInfo) -> str:
    """Return `k/n`, and `k/?` before there is a plan."""
    return f"{info.steps_done}/{'?' if info.steps_total is None else info.steps_total}"


def folder_size(path: Path) -> int:
    """Return the bytes of all files below a folder, links unfollowed; what goes meanwhile counts nothing."""
    size, folders = 0, [os.fspath(path)]
    while folders:
        for entry in _entries(folders.pop()):
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            else:
                size += _size(entry)
    return size


def _entries(folder: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0


def _found(root: Path, projects: Sequence[str]) -> list[FoundRun]:
    if not projects:
        return find_runs(root)
    runs = [run for project in dict.fromkeys(projects) for run in find_runs(root, project)]
    return sorted(runs, key=started, reverse=True)


def _listed(runs: Sequence[tuple[str, FoundRun]], root: Path, labels: Labels, *, sizes: bool) -> list[ListedRun]:
    infos = [info_of(state, run, root) for state, run in runs]
    return [
        ListedRun(info, labels.get((info.project, info.name), ""), folder_size(info.path) if sizes else None)
        for info in infos
    ]


def _has_text(run: FoundRun, label: str, texts: Sequence[str]) -> bool:
    """Tell whether each text is found somewhere in what is listed of a run."""
    where = "\0".join((run.name, run.project, run.digest.mode, *run.digest.tasks, label)).lower()
    return all(text.lower() in where for text in texts)


def _json_value(value: Any) -> Any:
    """Return a value without the numbers that JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    return {key: _json_value(item) for key, item in value.items()} if isinstance(value, dict) else value


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    return float(value) if is_number else None


def _done_part(_: str, run: FoundRun) -> float | None:
    return run.digest.steps_done / run.digest.steps_total if run.digest.steps_total else None


# What each column is sorted by, and whether from high to low.
_KEYS: dict[str, tuple[Callable[[str, FoundRun], Any], bool]] = {
    "name": (lambda _, run: run.name, False),
    "project": (lambda _, run: run.project, False),
    "state": (lambda state, _: STATES.index(state), False),
    "mode": (lambda _, run: run.digest.mode or None, False),
    "progress": (_done_part, True),
    "metric": (lambda _, run: _number(run.digest.value), True),
    "duration": (lambda _, run: run.digest.seconds, True),
}


def _show(shown: Sequence[ListedRun], settled: Sequence[tuple[str, FoundRun]], root: Path, there_are: int) -> None:
    if not there_are:
        write_line(f"There is no run yet in {root}. `mml train task=<name>` starts one; `mml --help` shows the modes.")
        return
    if not settled:
        write_line(f"None of the {there_are:,} runs in {root} fits. `mml runs` without filters lists them.")
        return
    counts = Counter(state for state, _ in settled)
    summary = ", ".join(f"{counts[state]:,} {state}" for state in STATES if counts[state])
    write_table(f"Runs in {root}: {summary}", _columns(shown, time.time()), shown)
    if len(shown) < len(settled):
        write_line(f"{len(shown):,} of {len(settled):,} runs. --limit 0 shows all; `mml runs --help` lists filters.")


def _hint(text: Sequence[str], *, nothing: bool) -> None:
    """Say which verb may be meant by a text that is found nowhere."""
    if nothing and text and (near := difflib.get_close_matches(text[0], VERBS, n=1)):
        write_line(f"Did you mean `mml runs {' '.join([*near, *text[1:]])}`?")


def _columns(shown: Sequence[ListedRun], now: float) -> list[Column]:
    """Return the columns that say something; where room is short, the least important go first."""

    def age(run: ListedRun) -> str:
        since = run.info.created or run.info.changed
        return age_text(now - since.timestamp()) if since else NOTHING

    columns = [
        Column("run", lambda run: run.info.name),
        Column("project", lambda run: run.info.project, spare=3),
        Column("state", lambda run: run.info.state, style=lambda run: STATE_STYLES[run.info.state]),
        Column("mode", lambda run: run.info.mode or NOTHING, spare=7),
        Column("tasks", lambda run: list_text(run.info.tasks, most=2), spare=5),
        Column("steps", lambda run: progress_text(run.info), number=True),
        Column("metric", lambda run: value_text(run.info.return_value), number=True, spare=1),
        Column("age", age, number=True, spare=2),
        Column("duration", lambda run: seconds_text(run.info.seconds), number=True, spare=4),
        Column("size", lambda run: NOTHING if run.size is None else size_text(run.size), number=True, spare=8),
        Column("label", lambda run: run.label, spare=6),
    ]
    idle = set()
    if not any(run.label for run in shown):
        idle.add("label")
    if all(run.size is None for run in shown):
        idle.add("size")
    return [column for column in columns if column.title not in idle]
