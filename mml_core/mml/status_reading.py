"""Where a run is, as of now: told by its journal, its lock, its log, and what it says of itself while it runs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mml.core.scripts.exceptions import JournalError
from mml.core.scripts.journal import AnyEvent, Failed, RunRecord, Started, Stopped, read_events
from mml.core.scripts.progress_live import Live, read_live
from mml.core.scripts.run_files import JOURNAL_FILE, LIVE_FILE, LOCK_FILE, LOG_FILE
from mml.core.scripts.run_lock import Owner, read_owner
from mml.core.scripts.runs import CONTINUABLE, FINISHED, RunInfo, read_run
from mml.runs_choice import continue_command
from mml.runs_list import ListedRun
from mml.runs_list import as_record as listed_record
from mml.runs_log import last_line


class Status(NamedTuple):
    """Where a run is.

    Attributes:
        info: what became of it so far.
        step: number of the running step, or of the one that was running when it ended; None between steps.
        step_name: command and params.
        step_started: when it began, seconds since the epoch.
        live: what the run says of itself; None when it says nothing, or nothing of this step.
        owner: the process that works on the run, or did last.
        log: last line of the log.
        sign: last sign of life, seconds since the epoch.
        signal: that stopped an interrupted run, "" otherwise.
    """

    info: RunInfo
    step: int | None
    step_name: str
    step_started: float | None
    live: Live | None
    owner: Owner | None
    log: str
    sign: float | None
    signal: str = ""


def read_status(info: RunInfo) -> Status:
    """Return where a run is, as of now."""
    folder = info.path
    try:
        events = read_events(folder / JOURNAL_FILE)[0]
    except JournalError:
        events = []
    record = RunRecord(events)
    step, started = _last_step(events, record) if info.state != FINISHED else (None, None)
    return Status(
        info=info,
        step=None if step is None else step + 1,
        step_name=_step_name(record, step),
        step_started=started,
        live=_live_of(folder, step),
        owner=read_owner(folder / LOCK_FILE),
        log=last_line(folder / LOG_FILE),
        sign=_last_sign(folder),
        signal=record.last.signal if isinstance(record.last, Stopped) else "",
    )


def _step_name(record: RunRecord, step: int | None) -> str:
    plan = record.plan or []
    return str(plan[step]) if step is not None and step < len(plan) else ""


def _live_of(folder: Path, step: int | None) -> Live | None:
    """Return what a run says of itself, unless that is of another step or of an earlier process."""
    live = read_live(folder)
    return live if live is not None and step is not None and live.step == step + 1 else None


def read_again(folder: Path) -> Status:
    """Return where the run of a folder is, as of now."""
    return read_status(read_run(folder))


def as_record(status: Status) -> dict[str, Any]:
    """Return a status as plain JSON values; `docs/runs.md` says what each field means."""
    info, live = status.info, status.live
    listed = listed_record(ListedRun(info, "", None))
    fields = ("name", "project", "path", "state", "mode", "tasks", "steps_done", "steps_total", "created", "error")
    bars = live.bars if live else []
    return {field: listed[field] for field in fields} | {
        "step": status.step,
        "step_name": status.step_name or None,
        "step_started": status.step_started,
        "time_left": live.left if live else None,
        "bars": [{field: getattr(bar, field) for field in bar.__struct_fields__} for bar in bars],
        "last_sign_of_life": status.sign,
        "pid": status.owner.pid if status.owner else None,
        "host": status.owner.host if status.owner else None,
        "log": status.log or None,
        "continue": continue_command(info) if info.state in CONTINUABLE else None,
    }


def _last_step(events: Sequence[AnyEvent], record: RunRecord) -> tuple[int | None, float | None]:
    """Return the step that began last and is not done, and when it began; none when all that began are done."""
    begun: dict[int, float] = {}
    for event in events:
        if isinstance(event, Started):
            begun.pop(event.step, None)
            begun[event.step] = event.time
        elif isinstance(event, Failed) and event.step is not None and event.goes_on:
            begun.pop(event.step, None)
    still = [(step, time) for step, time in begun.items() if step not in record.done]
    return still[-1] if still else (None, None)


def _last_sign(folder: Path) -> float | None:
    """Return when the run wrote something last: its journal, its live state or its log."""
    times = []
    for name in (JOURNAL_FILE, LIVE_FILE, LOG_FILE):
        try:
            times.append(os.stat(folder / name).st_mtime)  # noqa: PTH116 # half the time of a Path's
        except OSError:
            continue
    return max(times, default=None)
