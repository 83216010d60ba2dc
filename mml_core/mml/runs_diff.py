"""`mml runs diff`: in what two runs differ, field by field: config, code, packages, figures."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from mml.core.scripts.drift import CONFIG, Drift, config_drift, version_drift
from mml.core.scripts.drift_config import LOCATION_KEYS
from mml.core.scripts.exceptions import JournalError
from mml.core.scripts.journal import Opened
from mml.core.scripts.runs import RunInfo
from mml.report.tables import Column, as_table, count_text, show
from mml.runs_choice import choose
from mml.runs_list import progress_text
from mml.runs_record import FullRecord, metrics_of, read_record, stored_config
from mml.runs_words import results_root

RUN, METRIC = "run", "metric"
_NOTHING = "<nothing>"
_LONGEST = 60


def diff_command(given: argparse.Namespace) -> int:
    """Print in what two runs differ, and return the exit code.

    Raises:
        MMLMisconfigurationException: no run is meant, or several.
    """
    root = results_root(given.out_dir)
    first, second = (choose(word, root, given.project) for word in (given.run, given.other))
    rows = list(run_differences(_record(first), _record(second)))
    if given.json:
        found = [{"kind": row.kind, "field": row.field, "a": row.then, "b": row.now} for row in rows]
        sys.stdout.write(
            json.dumps({"a": str(first.path), "b": str(second.path), "differences": found}, indent=2) + "\n"
        )
        return 0
    title = f"A: {first.project}/{first.name}\nB: {second.project}/{second.name}"
    if rows:
        show(as_table(title, _COLUMNS, rows))
    configs = sum(row.kind == CONFIG for row in rows)
    show(f"{count_text(configs, 'field')} of the config differ{'s' * (configs == 1)}.")
    return 0


def run_differences(first: FullRecord, second: FullRecord) -> Iterator[Drift]:
    """Yield in what two runs differ, the most important first."""
    yield from _fields(RUN, _about(first.info), _about(second.info))
    changes = config_drift(stored_config(first.info.path), stored_config(second.info.path))
    yield from (change for change in changes if change.field not in LOCATION_KEYS)
    if second.processes():
        yield from version_drift(first.processes(), _last(second))
    yield from _fields(METRIC, metrics_of(first), metrics_of(second))


def _record(info: RunInfo) -> FullRecord:
    try:
        return read_record(info)
    except JournalError:
        return FullRecord.empty(info)


def _last(full: FullRecord) -> Opened:
    return full.processes()[-1]


def _about(info: RunInfo) -> dict[str, Any]:
    return {
        "state": info.state,
        "project": info.project,
        "mode": info.mode,
        "tasks": ", ".join(info.tasks),
        "steps": progress_text(info),
    }


def _fields(kind: str, first: dict[str, Any], second: dict[str, Any]) -> Iterator[Drift]:
    for field in first | second:
        has, other = first.get(field, _NOTHING), second.get(field, _NOTHING)
        if has != other and not (has != has and other != other):  # noqa: PLR0124 # NaN is like NaN
            yield Drift(kind, field, _text(has), _text(other))


def _text(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


_COLUMNS = (
    Column("kind", lambda row: row.kind),
    Column("field", lambda row: row.field),
    Column("A", lambda row: row.then, fold=True),
    Column("B", lambda row: row.now, fold=True),
)
