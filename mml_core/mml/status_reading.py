"""Where a run is, as of now: told by its journal, its lock, its log, and what it and its workers say of themselves."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mml.core.scripts.exceptions import JournalError
from mml.core.scripts.journal import AnyEvent, Failed, Opened, RunRecord, Started, Stopped, read_events
from mml.core.scripts.progress_state import Live, LiveBar, LiveStep, as_dict, read_live
from mml.core.scripts.run_files import JOURNAL_FILE, LIVE_FILE, LOCK_FILE, LOG_FILE
from mml.core.scripts.run_lock import Owner, read_owner
from mml.core.scripts.runs import CONTINUABLE, DETACHED, FINISHED, RUNNING, RunInfo, read_run
from mml.runs_choice import continue_command
from mml.runs_list import ListedRun
from mml.runs_list import as_record as listed_record
from mml.runs_log import last_line
from mml.status_queue import Queue, queue_record, read_queue
from mml.status_workers import last_line_of_workers, worker_steps


class Status(NamedTuple):
    """Where a run is.

    Attributes:
        info: what became of it so far.
        step: number of the running step, the first of several, or of the one that was running when it ended; None
            between steps.
        step_name: command and params.
        step_started: when it began, seconds since the epoch.
        live: what the run says of itself, and of the steps that run in its workers; None when it says nothing, or
            nothing of this step.
        owner: the process that works on the run, or did last.
        log: last line of the log.
        sign: last sign of life, seconds since the epoch.
        signal: that stopped an interrupted run, "" otherwise.
        begun: numbers and names of all steps that had begun and were not done when a run ended that runs no more.
        queue: its jobs in the queue of Slurm, None when it has none.
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
    begun: Sequence[tuple[int, str]] = ()
    queue: Queue | None = None

    @property
    def running(self) -> list[LiveStep]:
        """The steps that run in workers."""
        return self.live.running if self.live else []


def read_status(info: RunInfo, queue_of: Callable[[Path], Queue | None] = read_queue) -> Status:
    """Return where a run is, as of now.

    Args:
        info: what became of it.
        queue_of: returns its jobs in the queue of Slurm.
    """
    folder = info.path
    try:
        events = read_events(folder / JOURNAL_FILE)[0]
    except JournalError:
        events = []
    record = RunRecord(events)
    begun = _begun(events, record) if info.state != FINISHED else {}
    live = _live_of(info, record, begun)
    step = _first_step(live, begun) if info.state != DETACHED or live else None
    return Status(
        info=info,
        step=None if step is None else step + 1,
        step_name=_step_name(record, step),
        step_started=begun.get(step) if step is not None else None,
        live=live,
        owner=read_owner(folder / LOCK_FILE),
        log=last_line(folder / LOG_FILE) if info.state != DETACHED else last_line_of_workers(folder),
        sign=_last_sign(folder),
        signal=record.last.signal if isinstance(record.last, Stopped) else "",
        begun=[(place + 1, _step_name(record, place)) for place in begun] if info.state != RUNNING else (),
        queue=queue_of(folder) if info.state != FINISHED else None,
    )


def _step_name(record: RunRecord, step: int | None) -> str:
    plan = record.plan or []
    return str(plan[step]) if step is not None and step < len(plan) else ""


def _live_of(info: RunInfo, record: RunRecord, begun: dict[int, float]) -> Live | None:
    """Return what a run says of itself, unless that is of other steps or of an earlier process."""
    live = read_live(info.path)
    if live is not None and live.running:
        opened = record.openings[-1].time if record.openings else 0.0
        running = [step for step in live.running if step.number - 1 not in record.done and live.time > opened - 1]
        live = msgspec.structs.replace(live, running=running) if running else None
    elif live is not None and (not begun or live.step - 1 != list(begun)[-1]):
        live = None
    if live is None and info.state in (RUNNING, DETACHED):
        return _live_of_workers(info, record, begun)
    return live


def _live_of_workers(info: RunInfo, record: RunRecord, begun: dict[int, float]) -> Live | None:
    """Return what the workers of a run say, which may go on without it; None when there are none."""
    now, total = time.time(), len(record.plan or [])
    steps = {step.number: step for step in worker_steps(info.path, now) if step.number - 1 not in record.done}
    if info.state == RUNNING and (steps or len(begun) > 1):
        for place, since in begun.items():
            waiting = LiveStep(place + 1, _step_name(record, place), elapsed=max(0.0, now - since))
            steps.setdefault(place + 1, waiting)
    if not steps:
        return None
    return Live(now, 0, 0, total, running=[steps[number] for number in sorted(steps)])


def _first_step(live: Live | None, begun: dict[int, float]) -> int | None:
    """Return the step that is told of first: of several that run the first, or else the one that began last."""
    if live is not None and live.running:
        working = [step for step in live.running if step.worker] or live.running
        return working[0].number - 1
    return list(begun)[-1] if begun else None


def read_again(folder: Path, queue_of: Callable[[Path], Queue | None] = read_queue) -> Status:
    """Return where the run of a folder is, as of now."""
    return read_status(read_run(folder), queue_of)


def as_record(status: Status) -> dict[str, Any]:
    """Return a status as plain JSON values; `docs/runs.md` says what each field means."""
    info, live = status.info, status.live
    listed = listed_record(ListedRun(info, "", None))
    fields = ("name", "project", "path", "state", "mode", "tasks", "steps_done", "steps_total", "created", "error")
    bars = _bars(status)
    return {field: listed[field] for field in fields} | {
        "step": status.step,
        "step_name": status.step_name or None,
        "step_started": status.step_started,
        "time_left": live.left if live else None,
        "bars": [as_dict(bar) for bar in bars],
        "running": [as_dict(step) for step in status.running],
        "running_more": live.more if live else 0,
        **queue_record(status.queue),
        "last_sign_of_life": status.sign,
        "pid": status.owner.pid if status.owner else None,
        "host": status.owner.host if status.owner else None,
        "log": status.log or None,
        "continue": continue_command(info) if info.state in CONTINUABLE else None,
    }


def _bars(status: Status) -> list[LiveBar]:
    """Return the bars of the step that is told of first."""
    mine = [step.bars for step in status.running if step.number == status.step]
    return mine[0] if mine else status.live.bars if status.live else []


def _begun(events: Sequence[AnyEvent], record: RunRecord) -> dict[int, float]:
    """Return the steps that began and are not done, and when they began, in that order.

    Those that began in an earlier process of the run are left out as soon as one has begun in the last: a process that
    goes on with attempts of another begins none of them.
    """
    begun: dict[int, float] = {}
    earlier: dict[int, float] = {}
    for event in events:
        if isinstance(event, Opened):
            earlier, begun = {**earlier, **begun}, {}
        elif isinstance(event, Started):
            begun.pop(event.step, None)
            begun[event.step] = event.time
        elif isinstance(event, Failed) and event.step is not None and event.goes_on:
            begun.pop(event.step, None)
            earlier.pop(event.step, None)
    still = {step: time for step, time in begun.items() if step not in record.done}
    return still or {step: time for step, time in earlier.items() if step not in record.done}


def _last_sign(folder: Path) -> float | None:
    """Return when the run wrote something last: its journal, its live state or its log."""
    times = []
    for name in (JOURNAL_FILE, LIVE_FILE, LOG_FILE):
        try:
            times.append(os.stat(folder / name).st_mtime)  # noqa: PTH116 # half the time of a Path's
        except OSError:
            continue
    return max(times, default=None)
