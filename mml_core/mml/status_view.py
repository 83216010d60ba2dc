"""How the status of a run looks, and watching it change in a terminal until the run ends."""

import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mml.core.scripts.progress_bars import Columns
from mml.core.scripts.progress_bars import draw as draw_bars
from mml.core.scripts.progress_rows import Row, RunningRows, head_text
from mml.core.scripts.progress_views import clock, count_text
from mml.core.scripts.runs import CONTINUABLE, CRASHED, DETACHED, FINISHED, INTERRUPTED, RUNNING
from mml.report.tables import GAP, list_text, seconds_text, show
from mml.runs_choice import continue_command
from mml.runs_list import age_text, progress_text, value_text
from mml.runs_styles import STATE_STYLES
from mml.status_queue import SHOWN, QueueReader, draw_queue
from mml.status_reading import Status, read_again

REFRESH_SECONDS = 0.5
_NAMED = 5  # steps in a line
_OTHER_LINES = 11  # beside the bars, of what is said of a run
_STALE_SECONDS = 30.0  # without a sign of life; then it is said how long ago the last one was


def show_nothing(root: Path) -> None:
    """Say that there is no run."""
    show(f"There is no run yet in {root}. `mml train task=<name>` starts one; `mml --help` shows the modes.")


def show_status(folders: Sequence[Path], out_dir: str | None = None) -> None:
    """Print where the runs of folders are."""
    show(draw([read_again(folder) for folder in folders], time.time(), out_dir))


def watch(folders: Sequence[Path], out_dir: str | None = None) -> int:
    """Show where runs are until none of them runs any more, and return the exit code.

    Without a terminal, a line is printed whenever a run begins another step or ends.
    """
    if not sys.stdout.isatty():
        return _watch_plainly(folders)
    from rich.live import Live

    console, layouts, queue_of = Console(file=sys.stdout, highlight=False), Layouts(), QueueReader()
    with _keys() as left, Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            found = [read_again(folder, queue_of) for folder in folders]
            layouts.room = max(2, console.height // len(found) - _OTHER_LINES)
            running = any(_goes_on(status) for status in found)
            hint = Text("\nq or Ctrl-C leaves; the run goes on.", style="dim") if running else Text("")
            live.update(Group(draw(found, time.time(), out_dir, layouts), hint), refresh=True)
            if not running or left(REFRESH_SECONDS):
                return 0


def _goes_on(status: Status) -> bool:
    """Tell whether there may be news of a run without anybody doing anything."""
    if status.info.state == DETACHED:
        return bool(status.running) or (status.queue is not None and status.queue.goes_on)
    return status.info.state == RUNNING


class Layouts:
    """How the bars of runs were arranged, so that nothing jumps when they are drawn again.

    Attributes:
        room: most lines for the steps of one run that run at once.
    """

    def __init__(self) -> None:
        self.room = 10**6
        self._of: dict[Path, tuple[RunningRows, Columns]] = {}

    def of(self, folder: Path) -> tuple[RunningRows, Columns]:
        """Return that of a run."""
        return self._of.setdefault(folder, (RunningRows("    ", " left"), Columns()))


def draw(
    found: Sequence[Status], now: float, out_dir: str | None = None, layouts: Layouts | None = None
) -> RenderableType:
    """Return what is shown of runs."""
    parts: list[RenderableType] = []
    for number, status in enumerate(found):
        parts += [Text("")] * (number > 0) + list(_draw_one(status, now, out_dir, layouts or Layouts()))
    return Group(*parts)


def _draw_one(status: Status, now: float, out_dir: str | None, layouts: Layouts) -> Iterator[RenderableType]:
    info = status.info
    style = STATE_STYLES[info.state]
    yield Text.assemble(("Run ", "bold"), (info.name, "bold"), f" of project {info.project}: ", (info.state, style))
    facts = Table.grid(padding=(0, GAP, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _facts(status, now):
        if text:
            facts.add_row(f"  {name}", Text(text))
    yield facts
    if info.state == RUNNING or (status.running and info.state == DETACHED):
        yield _RunningBars(status, now, layouts) if status.running else _Bars(status, now)
    if status.queue is not None:
        yield from draw_queue(status.queue, min(SHOWN, layouts.room))
    if info.error:
        yield Text(f"  {info.error}", style="red")
    if status.log:
        yield Text.assemble(("  log  ", "dim"), status.log, no_wrap=True, overflow="ellipsis")
    if info.state in CONTINUABLE:
        yield Text.assemble("  Continue with: ", (continue_command(info, out_dir), "cyan"), overflow="fold")


def _facts(status: Status, now: float) -> Iterator[tuple[str, str]]:
    info = status.info
    yield "what", f"{info.mode or '?'}{f' of {list_text(info.tasks)}' if info.tasks else ''}"
    if info.created:
        yield "started", f"{info.created:%Y-%m-%d %H:%M:%S}, {_ago(now - info.created.timestamp())}"
    yield from _running_facts(status, now) if info.state == RUNNING else _ended_facts(status, now)


def _running_facts(status: Status, now: float) -> Iterator[tuple[str, str]]:
    if owner := status.owner:
        yield "process", f"{owner.pid} of {owner.user} on {owner.host}, since {owner.started[:19]}"
    if status.sign and now - status.sign > _STALE_SECONDS:
        yield "silent", f"its last sign of life was {_ago(now - status.sign)}"


def _ended_facts(status: Status, now: float) -> Iterator[tuple[str, str]]:
    info = status.info
    yield "done", f"{progress_text(info)} steps in {seconds_text(info.seconds)}"
    yield "left" if info.state == DETACHED else "ended", _end(status, now)
    if len(status.begun) > 1 and info.state != DETACHED:
        more = [f"{len(status.begun) - _NAMED:,} more"] * (len(status.begun) > _NAMED)
        yield "in steps", ", ".join([*(f"{number} {name}" for number, name in status.begun[:_NAMED]), *more])
    elif status.step is not None and info.state != DETACHED:
        bars = status.live.bars if status.live else []
        reached = [f"{bar.description} {count_text(bar.completed, bar.total)}" for bar in bars]
        yield "in step", ", ".join([f"{status.step} {status.step_name}", *reached])
    if info.state == FINISHED and info.return_value is not None:
        yield "value", value_text(info.return_value)


def _end(status: Status, now: float) -> str:
    if not status.sign:
        return ""
    when = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(status.sign))}, {_ago(now - status.sign)}"
    if status.info.state == DETACHED:
        return f"{when}; its steps go on as jobs"
    if status.info.state == CRASHED:
        return f"killed after {when}, its last sign of life"
    return f"{when}, by {status.signal}" if status.info.state == INTERRUPTED and status.signal else when


class _Bars:
    """A bar of the steps and, below it, those of the running one; as wide as the terminal is."""

    def __init__(self, status: Status, now: float) -> None:
        info, live = status.info, status.live
        since = max(0.0, now - live.time) if live else 0.0
        name = f"  step {status.step:,} {status.step_name}" if status.step else "  between steps"
        elapsed = clock(now - status.step_started) if status.step_started else ""
        left = _left(live.left if live else None, since)
        rows, bars = RunningRows("    ", " left"), live.bars if live else []
        self._rows = [Row((name, progress_text(info), "", elapsed, left, ""), info.steps_done, info.steps_total or 1)]
        self._rows += [rows.bar_row(bar.later(since), "  " * (depth + 2)) for depth, bar in enumerate(bars)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield draw_bars(self._rows, options.max_width)


class _RunningBars:
    """A bar of all steps and, below it, the steps that run in workers, as far as there is room."""

    def __init__(self, status: Status, now: float, layouts: Layouts) -> None:
        info, live = status.info, status.live
        assert live is not None, "steps run in workers"
        since = max(0.0, now - live.time)
        rows, self._columns = layouts.of(info.path)
        head = (f"  {head_text(live.running, live.more)}", progress_text(info), "", "", _left(live.left, since), "")
        steps = [step.later(since) for step in live.running]
        self._rows = [Row(head, info.steps_done, info.steps_total or 1), *rows.rows(steps, layouts.room, live.more)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield draw_bars(self._rows, options.max_width, self._columns)


def _left(seconds: float | None, since: float) -> str:
    return "" if seconds is None else f"{clock(max(0.0, seconds - since))} left"


def _ago(seconds: float) -> str:
    return f"{age_text(seconds)} ago"


def _watch_plainly(folders: Sequence[Path]) -> int:
    said: dict[Path, str] = {}
    queue_of = QueueReader()
    try:
        while _tell_news([read_again(folder, queue_of) for folder in folders], said):
            time.sleep(REFRESH_SECONDS)
    except KeyboardInterrupt:
        return 0  # how one leaves it
    return 0


def _tell_news(found: Sequence[Status], said: dict[Path, str]) -> bool:
    """Print a line for each run that is elsewhere than said; return whether any still runs."""
    for status in found:
        if said.get(status.info.path) != (line := _line(status)):
            said[status.info.path] = line
            show(line)
    sys.stdout.flush()
    return any(_goes_on(status) for status in found)


def _line(status: Status) -> str:
    info = status.info
    step = f", step {status.step} {status.step_name}" if status.step else ""
    if status.running:
        step = ", " + ", ".join(f"step {step.number} {step.name}" for step in status.running[:_NAMED])
        more = len(status.running) - _NAMED + (status.live.more if status.live else 0)
        step += f", {more:,} more" if more > 0 else ""
    return f"{info.project}/{info.name}: {info.state}, {progress_text(info)} steps done{step}"


@contextmanager
def _keys() -> Iterator["_Leaving"]:
    """Let single keys be read while the block runs; Ctrl-C counts as one."""
    if not sys.stdin.isatty():
        yield _Leaving(None)
        return
    from mml.terminal_keys import single_keys

    with single_keys(sys.stdin.fileno()):
        yield _Leaving(sys.stdin.fileno())


class _Leaving:
    """Tells, after waiting, whether the user wants to leave.

    Args:
        handle: of the terminal, None when there is none to read from.
    """

    def __init__(self, handle: int | None) -> None:
        self._handle = handle

    def __call__(self, seconds: float) -> bool:
        from mml.terminal_keys import read_key

        try:
            if self._handle is None:
                time.sleep(seconds)
                return False
            ready, _, _ = select.select([self._handle], [], [], seconds)
            return bool(ready) and read_key(self._handle) in ("q", "Q", "escape", "ctrl-c", "end")
        except KeyboardInterrupt:
            return True
