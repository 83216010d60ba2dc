"""LiveView: progress as bars that move in a terminal, drawn by a thread that only looks at the numbers."""

import os
import sys
import threading
import time
import weakref
from collections.abc import Sequence

from rich.console import Console, JustifyMethod
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mml.core.scripts.progress_attempts import Attempt, Attempts, states
from mml.core.scripts.progress_console import ProgressConsole
from mml.core.scripts.progress_rows import Row as Row
from mml.core.scripts.progress_rows import RunningRows, head_text
from mml.core.scripts.progress_views import ProgressTask, StepCount, View, clock

REFRESH_SECONDS = 0.125  # between two looks of the bars at the numbers
SHOW_AFTER_SECONDS = 0.4  # what is done by then needs no bars
BAR_WIDTH, NARROW_BAR = 24, 8  # characters
LEAST_TEXT = 16  # characters of a description that a narrow terminal leaves
MARGIN = 3  # characters at the right that stay free: there the terminal shows ^C, and must not begin a line for it
_DESCRIPTION, _RATE, _LEFT, _FREE_TEXT, _BAR = 0, 2, 4, 5, 6
_GONE = -1  # size of a column that is left out as a whole when it has to give way: half a number would be a lie
_PART = "  "  # between the parts of a free text
# Which columns give way, one after the other, and down to which size.
_GIVE_WAY = ((_BAR, NARROW_BAR), (_FREE_TEXT, 0), (_DESCRIPTION, LEAST_TEXT))
_GIVE_WAY_STEADILY = (
    (_BAR, NARROW_BAR),
    (_RATE, _GONE),
    (_FREE_TEXT, LEAST_TEXT),
    (_DESCRIPTION, LEAST_TEXT),
    (_FREE_TEXT, 0),
    (_LEFT, _GONE),
)
STYLES = ("", "progress.download", "progress.data.speed", "progress.elapsed", "progress.remaining", "")


class Columns:
    """The widths of columns, which never shrink, so that nothing moves sideways while texts come and go.

    Attributes:
        least: width that the free text keeps when bars give way for it: that of its first part, the name of a worker.
    """

    def __init__(self) -> None:
        self._widths = [0] * (len(STYLES) - 1)
        self.least = 0

    def widths(self, rows: Sequence[Row]) -> list[int]:
        """Return the widths of columns of text that are needed now or were before."""
        *numbers, free = _needed(rows)
        self._widths = [max(pair) for pair in zip(self._widths, numbers, strict=True)]
        self.least = max([self.least, *(len(row.texts[_FREE_TEXT].partition(_PART)[0]) for row in rows)])
        return [*self._widths, max(free, self.least)]


def draw(rows: Sequence[Row], width: int, columns: Columns | None = None) -> Table:
    """Arrange rows in columns; where room is short, bars shrink first, then the free text, then the description.

    Args:
        rows: from top to bottom.
        width: of the terminal, in characters.
        columns: keep their places from one drawing to the next, where there is room for that; free text gives way
            before the bars then, but for the name of a worker.
    """
    needed = _needed(rows)
    if columns is None:
        sizes, _ = _squeezed(needed, width, _GIVE_WAY)
        return _table(rows, sizes)
    held = columns.widths(rows)
    order = ((_FREE_TEXT, columns.least), *_GIVE_WAY_STEADILY)
    sizes, excess = _squeezed(held, width, order)
    if excess:
        sizes, excess = _squeezed(needed, width, order)
    return _table(rows, sizes, steady=not excess)


def _needed(rows: Sequence[Row]) -> list[int]:
    return [max((len(row.texts[column]) for row in rows), default=0) for column in range(len(STYLES))]


def _squeezed(widths: Sequence[int], width: int, order: Sequence[tuple[int, int]]) -> tuple[list[int], int]:
    """Return the sizes of the columns of text and of the bar, last, and by how much they are still too wide.

    Args:
        widths: of the columns of text.
        width: of the terminal.
        order: which column gives way, down to which size, one after the other.
    """
    sizes = [*widths, BAR_WIDTH]
    excess = max(0, sum(sizes) + len(widths) - width)
    for column, least in order:
        cut = sizes[column] if least == _GONE and excess else min(max(0, sizes[column] - least), excess)
        sizes[column], excess = sizes[column] - cut, max(0, excess - cut)
    return sizes, excess


def _table(rows: Sequence[Row], sizes: Sequence[int], *, steady: bool = False) -> Table:
    *widths, bar = sizes
    table = Table.grid(padding=(0, 1, 0, 0))
    for column, room in enumerate([widths[0], bar, *widths[1:]]):
        justify: JustifyMethod = "right" if 2 <= column <= 5 else "left"
        table.add_column(no_wrap=True, justify=justify, min_width=room if steady else None)
    for row in rows:
        texts = (*row.texts[:5], _whole_parts(row.texts[5], widths[5])) if steady else row.texts
        cells = [_cell(text, style, room) for text, style, room in zip(texts, STYLES, widths, strict=True)]
        shown = ProgressBar(total=row.total, completed=row.completed, width=bar) if row.bar else ""
        table.add_row(cells[0], shown, *cells[1:])
    return table


def _whole_parts(text: str, room: int) -> str:
    """Return as many of the parts of a free text, between which are two spaces, as there is room for, but the first."""
    if len(text) <= room:
        return text
    end = text.rfind(_PART, 0, room + len(_PART))
    return text[:end] if end > 0 else text


def _cell(text: str, style: str, room: int) -> Text:
    cell = Text(text if room else "", style=style)
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
        self._lock = _lock_of(console)
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
                with self._lock:
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
        return draw(self.rows(time.monotonic()), self._console.width - MARGIN, columns)

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
        if isinstance(self._console, ProgressConsole):
            self._console.printing = self._lock


def _lock_of(console: Console) -> "threading.RLock":
    """Return what has to be held while bars are drawn: where the console can, nothing else is printed meanwhile."""
    return console.printing if isinstance(console, ProgressConsole) else threading.RLock()


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
