"""WorkerLogs: what the workers of a run log comes into the log of the run and, from INFO on, before people's eyes.

The driver looks at the workers' files now and then: that needs no connection, and works on shared folders, too.
"""

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from mml.core.scripts.run_files import LOG_FILE
from mml.core.scripts.run_log import console_handler
from mml.core.scripts.worker_lines import LogLine
from mml.core.scripts.worker_lines import last_lines as last_lines
from mml.core.scripts.worker_lines import mark_step as mark_step
from mml.core.scripts.worker_tails import LogTails

POLL_SECONDS = 0.1  # of one look at the logs, about
SHOWN = 40  # lines that one look brings to the console


class WorkerLogs:
    """Follows the logs of the workers of a run.

    Args:
        folder: the run folder.
        console: the one that the progress display draws on.
    """

    def __init__(self, folder: Path, console: Console) -> None:
        self._log = folder / LOG_FILE
        self._tails = LogTails(folder)
        self._handler = console_handler(console)

    @property
    def begun(self) -> dict[str, int]:
        """Worker -> number of the step that it began last, of those that began one since the look before the last."""
        return self._tails.begun

    def poll(self) -> None:
        """Take over new whole lines, for a short time at most; what goes wrong with it is of no concern to the run."""
        self._take(self._tails.read(POLL_SECONDS))

    def close(self) -> None:
        """Take over all that is left."""
        for lines in self._tails.read_rest():
            self._take(lines)
        self._handler.close()

    def _take(self, lines: list[LogLine]) -> None:
        if not lines:
            return
        with suppress(OSError):  # e.g. the disk is full: the run has more to say of that than its log
            _append(self._log, lines)
            self._tails.store()
        self._show([line for line in lines if line.level >= logging.INFO])

    def _show(self, lines: list[LogLine]) -> None:
        shown = _most_important(lines, SHOWN)
        for line in shown:
            self._handler.handle(_record(line.level, f"{line.mark} {line.text}"))
        if more := len(lines) - len(shown):
            self._handler.handle(
                _record(logging.INFO, f"... and {more:,} more lines; see `mml runs log {self._log.parent.name}`")
            )


def _append(log: Path, lines: Iterable[LogLine]) -> None:
    """Write lines to the end of a log at once, so that they stay whole beside those of its other writers."""
    data = "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace")
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)


def _most_important(lines: list[LogLine], count: int) -> list[LogLine]:
    """Return some of the lines in their order: those of the highest level, and of these the first."""
    if len(lines) <= count:
        return lines
    kept = sorted(range(len(lines)), key=lambda place: -lines[place].level)[:count]
    return [lines[place] for place in sorted(kept)]


def _record(level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord("mml.worker", level, "", 0, text, None, None)
