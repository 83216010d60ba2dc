"""What differs between the record of a run and what it goes on with now: config, code, packages and data, as a table.

Differences are reported, never refused: who continues a run after an update should know it, and decides.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mml.core.scripts.drift_code import PYTHON, same_code
from mml.core.scripts.drift_config import MISSING, RECORD_KEYS, Difference, differences, value_text
from mml.core.scripts.journal import Opened
from mml.report.tables import Column, as_table, show

CONFIG, CODE, PACKAGE, DATA = "config", "code", "package", "data"
_MOST = 40
_CHANGED = "changed since"
_COLUMNS = (
    Column("kind", lambda row: row.kind),
    Column("field", lambda row: row.field),
    Column("then", lambda row: row.then, fold=True),
    Column("now", lambda row: row.now, fold=True),
)


class Drift(NamedTuple):
    """Something that is not as it was.

    Attributes:
        kind: config, code, package or data.
        field: key, distribution, package or task.
        then: as recorded; several values, oldest first, when it has changed before.
        now: of this process.
    """

    kind: str
    field: str
    then: str
    now: str


def config_drift(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Drift]:
    """Compare the recorded config of a run with the one it goes on with."""
    return config_rows(change for change in differences(then, now) if change.key not in RECORD_KEYS)


def config_rows(changes: Iterable[Difference]) -> list[Drift]:
    """Return changes of a config as they are shown."""
    return [Drift(CONFIG, change.key, value_text(change.has), value_text(change.asked)) for change in changes]


def version_drift(openings: Sequence[Opened], now: Opened) -> list[Drift]:
    """Compare code and packages of all processes that have worked on a run with those of this one.

    What a record does not tell (it is older than the telling) is not compared.
    """
    code = _changes([opening.code for opening in openings], now.code)
    changed = [(name, values) for name, values in code if not _all_same(values)]
    rows = [Drift(PACKAGE if name == PYTHON else CODE, name, *_texts(values)) for name, values in changed]
    told = {name for opening in openings for name in opening.code}
    packages = _changes([opening.versions for opening in openings], now.versions)
    return rows + [
        Drift(PACKAGE, name, *_texts(values)) for name, values in packages if name not in told and len({*values}) > 1
    ]


def data_drift(then: Mapping[str, str], now: Mapping[str, str]) -> list[Drift]:
    """Compare digests of task descriptions: task -> digest."""
    changed = [(task, digest, now[task]) for task, digest in then.items() if task in now and now[task] != digest]
    return [Drift(DATA, task, digest, digest_now) for task, digest, digest_now in changed]


def show_drift(title: str, rows: Sequence[Drift]) -> None:
    """Print the table of differences; nothing when there are none."""
    if not rows:
        return
    show(as_table(title, _COLUMNS, rows[:_MOST]), file=sys.stderr)
    if len(rows) > _MOST:
        show(f"... and {len(rows) - _MOST} more", file=sys.stderr)


def _changes(thens: Sequence[Mapping[str, str]], now: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Return name -> values in the order of time, for all names; a record that holds no names at all is left out."""
    told = [then for then in thens if then]
    names = dict.fromkeys(name for then in [*told, now] for name in then) if told else {}
    absent = value_text(MISSING)
    return [(name, [values.get(name, absent) for values in [*told, now]]) for name in names]


def _all_same(values: Sequence[str]) -> bool:
    return all(same_code(value, values[0]) for value in values)


def _texts(values: Sequence[str]) -> tuple[str, str]:
    """Return what was then, every change once, and what is now."""
    *then, now = values
    changes = [value for number, value in enumerate(then) if number == 0 or value != then[number - 1]]
    return ", then ".join(changes), now
