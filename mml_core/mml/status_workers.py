"""What living workers of a run say of themselves, for when no driver tells it: it has just begun, or it is detached."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mml.core.scripts.lock_probe import probe
from mml.core.scripts.progress_state import LiveStep, read_live
from mml.core.scripts.run_files import LIVE_FILE, LOCK_FILE, LOG_FILE, WORKERS_FOLDER
from mml.core.scripts.worker_lines import last_lines

_FRESH_SECONDS = 60.0  # within which a worker must have written where nobody can ask for its lock


def worker_steps(run: Path, now: float) -> Iterator[LiveStep]:
    """Yield the steps that living workers say that they do.

    Args:
        run: the run folder.
        now: seconds since the epoch.
    """
    folder = run / WORKERS_FOLDER
    for worker in sorted(folder.iterdir()) if folder.is_dir() else ():
        live = read_live(worker)
        if live is not None and live.step and _lives(worker, now):
            step = LiveStep(live.step, live.name, worker.name, live.elapsed or 0.0, live.bars)
            yield step.later(max(0.0, now - live.time))


def last_line_of_workers(run: Path) -> str:
    """Return what the worker that wrote something last wrote last, with its name; "" without one."""
    written: dict[str, float] = {}
    for log in (run / WORKERS_FOLDER).glob(f"*/{LOG_FILE}"):
        with suppress(OSError):
            written[log.parent.name] = log.stat().st_mtime
    if not written:
        return ""
    newest = max(written, key=lambda worker: written[worker])
    return "".join(f"[{newest}] {line}" for line in last_lines(run, newest, 1))


def _lives(worker: Path, now: float) -> bool:
    held = probe(worker / LOCK_FILE)
    if held is not None:
        return held
    try:
        return now - (worker / LIVE_FILE).stat().st_mtime < _FRESH_SECONDS
    except OSError:
        return False
