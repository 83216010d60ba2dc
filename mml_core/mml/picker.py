"""Which run shall go on: the only one that waits, or the one that is picked from a list in the terminal."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mml.core.scripts.exceptions import ContinueError
from mml.core.scripts.runs import RunInfo
from mml.outcome import tell
from mml.report.tables import GAP, list_text
from mml.runs_choice import continue_command, waiting_runs
from mml.runs_list import age_text, progress_text
from mml.runs_styles import STATE_STYLES

_MOST_COMMANDS = 10
_LINES_AROUND = 6  # of the terminal, that are not for runs
_KEYS = "↑ ↓ or j k move · enter continues · 1-9 picks · type to filter, / before j k q · q leaves"


def choose_run(results_root: Path, project: str | None = None, out_dir: str | None = None) -> RunInfo | None:
    """Return the run that `mml continue` without a name means: the only one that waits, or the one that a user picks.

    None when there is none that waits.

    Args:
        results_root: folder of all projects.
        project: the only one to look at; all by default.
        out_dir: the folder as given on the command line, for the commands that are shown.

    Raises:
        ContinueError: several wait and nobody is there to pick one, or none was picked.
    """
    runs = waiting_runs(results_root, project)
    if not runs:
        return None
    if len(runs) == 1:
        (run,) = runs
        tell(f"Continuing run {run.name} of project {run.project}: {run.state}, {progress_text(run)} steps done.")
        return run
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        where = f"project '{project}' in {results_root}" if project else f"{results_root}"
        raise ContinueError(_several(runs, where, out_dir))
    picked = pick(runs)
    if picked is None:
        msg = "No run was picked; nothing was started."
        raise ContinueError(msg)
    tell(f"Continuing run {picked.name} of project {picked.project}.")
    return picked


def pick(runs: Sequence[RunInfo]) -> RunInfo | None:
    """Let the user of a terminal pick a run; None if they want none.

    Raises:
        KeyboardInterrupt: they pressed Ctrl-C.
    """
    import time

    from rich.live import Live

    from mml.terminal_keys import read_key, single_keys

    console = Console(stderr=True, highlight=False)
    picker = Picker(runs, time.time())
    handle = sys.stdin.fileno()
    with single_keys(handle), Live(console=console, auto_refresh=False, transient=True) as live:
        while not picker.over:
            live.update(picker.draw(console.height - _LINES_AROUND), refresh=True)
            if (key := read_key(handle)) == "ctrl-c":
                raise KeyboardInterrupt
            picker.press(key)
    return picker.picked


class Picker:
    """A list of runs, one of them marked, that keys move and narrow down.

    Args:
        runs: newest first.
        now: seconds since the epoch.

    Attributes:
        over: whether the user has decided.
        picked: the run that was decided on, None for none.
    """

    def __init__(self, runs: Sequence[RunInfo], now: float) -> None:
        self._runs, self._now = list(runs), now
        self._at = 0
        self._text: str | None = None  # None as long as no filter is typed: letters are keys then
        self.over = False
        self.picked: RunInfo | None = None

    @property
    def shown(self) -> list[RunInfo]:
        """The runs that the filter leaves."""
        words = (self._text or "").lower().split()
        return [run for run in self._runs if all(word in _searched(run) for word in words)]

    @property
    def marked(self) -> RunInfo | None:
        """The run that Enter picks."""
        shown = self.shown
        return shown[self._at] if self._at < len(shown) else None

    def press(self, key: str) -> None:
        """Do what a key means."""
        if key == "end" or (key in ("q", "Q") and self._text is None):
            self._decide(None)
        elif key == "escape":
            self._escape()
        elif key == "enter":
            self._decide(self.marked) if self.marked else None
        elif move := self._move(key):
            self._at = min(max(0, self._at + move), max(0, len(self.shown) - 1))
        elif key.isdigit() and key != "0" and self._text is None:
            self._number(int(key))
        else:
            self._type(key)

    def draw(self, height: int) -> RenderableType:
        """Return the list as it is shown.

        Args:
            height: lines that the runs may take.
        """
        shown, height = self.shown, max(3, height)
        first = min(max(0, self._at - height // 2), max(0, len(shown) - height))
        table = Table.grid(padding=(0, GAP, 0, 0))
        for column in range(8):
            table.add_column(no_wrap=True, justify="right" if column in (0, 5, 6) else "left", overflow="ellipsis")
        for number, run in enumerate(shown[first : first + height], start=first):
            table.add_row(*self._row(number, run), style="reverse" if number == self._at else "")
        count = f" ({first + 1}-{min(len(shown), first + height)} of {len(shown)})" if len(shown) > height else ""
        title = Text.assemble(("Which run shall go on?", "bold"), (count, "dim"))
        narrowed = (
            Text.assemble(("filter: ", "dim"), self._text or "", ("▏", "bold")) if self._text is not None else Text("")
        )
        none = Text("No run fits; backspace or escape.", "yellow") if not shown else Text("")
        return Group(title, narrowed, table, *([none] if not shown else []), Text(_KEYS, "dim"))

    def _row(self, number: int, run: RunInfo) -> list[Text]:
        since = run.created or run.changed
        mark = "❯" if number == self._at else " "
        return [
            Text(f"{mark} {number + 1 if number < 9 and self._text is None else ''}"),
            Text(run.name),
            Text(run.project),
            Text(run.state, "" if number == self._at else STATE_STYLES[run.state]),
            Text(run.mode),
            Text(progress_text(run)),
            Text(f"{age_text(self._now - since.timestamp())} ago" if since else ""),
            Text(run.error or list_text(run.tasks, most=2)),
        ]

    def _move(self, key: str) -> int:
        """Return by how many runs a key moves the mark."""
        letters = {"j": 1, "k": -1} if self._text is None else {}
        far = len(self._runs)
        return {"up": -1, "down": 1, "page up": -10, "page down": 10, "home": -far, "bottom": far, **letters}.get(
            key, 0
        )

    def _number(self, number: int) -> None:
        if number <= len(self.shown):
            self._decide(self.shown[number - 1])

    def _escape(self) -> None:
        if self._text is None:
            self._decide(None)
        self._text, self._at = None, 0

    def _type(self, key: str) -> None:
        if key == "backspace":
            self._text = self._text[:-1] or None if self._text else None
        elif key == "ctrl-u":
            self._text = None
        elif key == "/" and self._text is None:
            self._text = ""
        elif len(key) == 1:
            self._text = (self._text or "") + key
        self._at = 0

    def _decide(self, run: RunInfo | None) -> None:
        self.over, self.picked = True, run


def _searched(run: RunInfo) -> str:
    return " ".join((run.name, run.project, run.state, run.mode, *run.tasks)).lower()


def _several(runs: Sequence[RunInfo], where: str, out_dir: str | None) -> str:
    commands = [f"  {continue_command(run, out_dir)}" for run in runs[:_MOST_COMMANDS]]
    more = [f"  ... and {len(runs) - _MOST_COMMANDS} more: mml runs"] if len(runs) > _MOST_COMMANDS else []
    head = f"{len(runs)} runs of {where} wait to be continued, and nobody is there to pick one. Name it:"
    return "\n".join([head, *commands, *more])
