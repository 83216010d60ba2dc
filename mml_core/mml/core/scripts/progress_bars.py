"""LiveView: progress as bars that move in a terminal, drawn by a thread that only looks at the numbers."""

import os
import sys
import threading
import time
import weakref
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mml.core.scripts.progress_attempts import Attempt, Attempts, states
from mml.core.scripts.progress_rows import Row as Row
from mml.core.scripts.progress_rows import RunningRows, head_text
from mml.core.scripts.progress_views import ProgressTask, StepCount, View, clock

REFRESH_SECONDS = 0.125  # between two looks of the bars at the numbers
SHOW_AFTER_SECONDS = 0.4  # what is done by then needs no bars
BAR_WIDTH, NARROW_BAR = 24, 8  # characters
LEAST_TEXT = 16  # characters of a description that a narrow terminal leaves
STYLES = ("", "progress.download", "progress.data.speed", "progress.elapsed", "progress.remaining", "")


class Columns:
    """The widths of columns, which never shrink, so that nothing moves sideways while texts come and go."""

    def __init__(self) -> None:
        self._widths = [0] * (len(STYLES) - 1)

    def widths(self, rows: Sequence[Row]) -> list[int]:
        """Return the widths of the columns of text that rows need, or that rows before them did."""
        needed = _needed(rows)
        self._widths = [max(pair) for pair in zip(self._widths, needed, strict=False)]
        return [*self._widths, needed[-1]]


def draw(rows: Sequence[Row], width: int, columns: Columns | None = None) -> Table:
    """Arrange rows in columns; where room is short, bars shrink first, then the free text, then the description.

    Args:
        rows: from top to bottom.
        width: of the terminal, in characters.
        columns: keep their places from one drawing to the next; then some of the free text gives way before the bars.
    """
    widths = _needed(rows) if columns is None else columns.widths(rows)
    excess = max(0, sum(widths) + len(widths) + BAR_WIDTH - width)
    if columns is not None:
        cut = min(max(0, widths[5] - LEAST_TEXT), excess)
        widths[5], excess = widths[5] - cut, excess - cut
    bar = max(NARROW_BAR, BAR_WIDTH - excess)
    excess -= BAR_WIDTH - bar
    cut = min(widths[5], excess)
    widths[5] -= cut
    widths[0] = max(min(widths[0], LEAST_TEXT), widths[0] - (excess - cut))
    return _table(rows, widths, bar)


def _needed(rows: Sequence[Row]) -> list[int]:
    return [max((len(row.texts[column]) for row in rows), default=0) for column in range(len(STYLES))]


def _table(rows: Sequence[Row], widths: Sequence[int], bar: int) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    for column, room in enumerate([widths[0], bar, *widths[1:]]):
        table.add_column(no_wrap=True, justify="right" if 2 <= column <= 5 else "left", min_width=room)
    for row in rows:
        cells = [_cell(text, style, room) for text, style, room in zip(row.texts, STYLES, widths, strict=True)]
        shown = ProgressBar(total=row.total, completed=row.completed, width=bar) if row.bar else ""
        table.add_row(cells[0], shown, *cells[1:])
    return table


def _cell(text: str, style: str, room: int) -> Text:
    cell = Text(text, style=style)
    cell.truncate(room, overflow="ellipsis")
    return cell


class LiveView(View):
    """Shows bars that move.

    Its thread starts with the first step or bar, draws nothing before `SHOW_AFTER_SECONDS`, and ends with the view.

    Args:
        console: a terminal.
        steps: the count of steps, shown above all other bars.
        attempts: the steps that run in workers.
    """

    def __init__(self, console: Console, steps: StepCount, attempts: Attempts | None = None) -> None:
        self._console, self._steps, self._attempts = console, steps, Attempts() if attempts is None else attempts
        self._running, self._columns = RunningRows(), Columns()
        self._tasks: list[ProgressTask] = []
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._ticker: threading.Thread | None = None
        self._live: Live | None = None

    def stepped(self) -> None:
        """Begin to watch."""
        if self._ticker is None:
            self._start()

    def opened(self, task: ProgressTask) -> None:
        """Show a bar below the others."""
        with self._lock:
            self._tasks.append(task)
        if self._ticker is None:
            self._start()

    def closed(self, task: ProgressTask) -> None:
        """Take a bar away."""
        with self._lock:
            self._tasks = [other for other in self._tasks if other is not task]

    def begun(self, attempt: Attempt) -> None:  # noqa: ARG002 # is among the attempts
        """Begin to watch."""
        self.stepped()

    def stop(self) -> None:
        """Draw the last state, give the terminal back and end the thread."""
        self._over.set()
        try:
            if self._ticker is not None:
                self._ticker.join()
        finally:
            if self._live is not None:
                self._live.stop()

    def rows(self, now: float) -> list[Row]:
        """Return what is to be drawn at a time."""
        rows = self._running_rows(now) if self._attempts.used else [self._step_row(now)] if self._steps.total else []
        indent = 1 if rows else 0
        for task in self._tasks:
            task.speed.observe(task.completed, now)
            name, left = "  " * (task.depth + indent) + task.description, task.time_left()
            texts = (name, task.count(), task.rate(), clock(now - task.started), clock(left), task.info)
            rows.append(Row(texts, task.completed, task.total))
        return rows

    def _running_rows(self, now: float) -> list[Row]:
        """Return a row of all steps and those of the ones that run in workers, as many as the terminal has lines."""
        running = states(self._attempts, now)
        head = self._step_row(now, head_text(running) if running else self._steps.idle_text())
        return [head, *self._running.rows(running, self._console.height - 2 - len(self._tasks))]

    def _step_row(self, now: float, text: str = "") -> Row:
        steps = self._steps
        elapsed, left = clock(now - steps.started), clock(steps.time_left(now))
        texts = (text or steps.line(), f"{steps.done:,}/{steps.total:,}", "", elapsed, left, "")
        return Row(texts, steps.done, steps.total)

    def _start(self) -> None:
        self._ticker = threading.Thread(target=self._watch, name="mml-progress", daemon=True)
        _pause_in_forks(self)
        self._ticker.start()

    def _watch(self) -> None:
        if self._over.wait(SHOW_AFTER_SECONDS):
            return
        with self._lock:
            # A stream that is redirected elsewhere stays as it is: its reader wants no bars, and all of its lines.
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                redirect_stdout=sys.stdout.isatty(),
                redirect_stderr=sys.stderr.isatty(),
                get_renderable=self._drawn,
            )
            self._live.start(refresh=True)
        while not self._over.wait(REFRESH_SECONDS):
            with self._lock:
                self._live.refresh()

    def _drawn(self) -> Table:
        columns = self._columns if self._attempts.used else None
        return draw(self.rows(time.monotonic()), self._console.width, columns)

    def hold(self) -> None:
        """Let no drawing happen until `release`."""
        self._lock.acquire()

    def release(self) -> None:
        """End `hold`."""
        self._lock.release()

    def abandon(self) -> None:
        """Leave the terminal to the parent: what a forked child prints must not move the bars."""
        if self._live is not None:
            self._console.pop_render_hook()
        self._tasks, self._live, self._ticker = [], None, threading.current_thread()
        self._lock = threading.RLock()


def _pause_in_forks(view: LiveView) -> None:
    """Keep forks (of data loader workers) from copying a terminal in the middle of a drawing, and its lock for ever."""
    reference, held = weakref.ref(view), list[LiveView]()

    def before() -> None:
        if (found := reference()) is not None:
            found.hold()
            held.append(found)

    def in_parent() -> None:
        if held:
            held.pop().release()

    def in_child() -> None:
        if held:
            held.pop().abandon()

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)
