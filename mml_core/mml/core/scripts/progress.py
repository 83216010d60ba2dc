"""RunProgress: the one progress view of a run, with its steps, epochs and batches nested in one display."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Self

from mml.core.scripts.progress_attempts import Attempts
from mml.core.scripts.progress_views import PlainView, ProgressTask, StepCount, View

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ProgressTask", "RunProgress"]


class RunProgress:
    """The progress view of a run. Nothing is shown outside a `with` block, nor before there is something slow to show.

    Args:
        enabled: False shows nothing at all.
        console: where to show it; standard error by default. Logs that go through the same console never tear the bars.
    """

    def __init__(self, enabled: bool = True, console: "Console | None" = None) -> None:
        self._enabled = enabled
        self._console = console
        self._steps = StepCount()
        self._open: list[ProgressTask] = []
        self._attempts = Attempts()
        self._view: View = View()
        self._live_folder: Path | None = None

    @property
    def console(self) -> "Console":
        """The console that the view, and everything else people shall read meanwhile, goes through."""
        if self._console is None:
            # Rich costs 25 ms, which a run without progress need not pay.
            from mml.core.scripts.progress_console import ProgressConsole

            self._console = ProgressConsole(stderr=True)
        return self._console

    @property
    def side_by_side(self) -> bool:
        """Whether steps ran in workers, maybe several at once."""
        return self._attempts.used

    def live_in(self, folder: Path) -> None:
        """Tell other processes, by a file in a run folder, where the run is; from the next `with` block on."""
        self._live_folder = folder

    def __enter__(self) -> Self:
        if self._enabled:
            self._view = _view_for(self.console, self._steps, self._attempts)
        if self._live_folder is not None:
            from mml.core.scripts.progress_live import LiveFile  # of use to recorded runs alone

            self._view = LiveFile(self._view, self._live_folder, self._steps, self._open, self._attempts)
        return self

    def __exit__(self, *error: object) -> None:
        view, self._view = self._view, View()
        view.stop()

    def start_steps(self, total: int, done: int = 0) -> None:
        """Announce the schedule, or that it has grown.

        Args:
            total: steps of the whole schedule.
            done: steps that are done already.
        """
        steps = self._steps
        if steps.total == 0:
            steps.inherited, steps.started = done, monotonic()
        steps.total, steps.done = total, done

    def begin_step(self, number: int, name: str) -> None:
        """Announce that step `number`, from 1, begins."""
        steps = self._steps
        steps.number, steps.name = number, name
        self._view.stepped()

    def end_step(self) -> None:
        """Count the running step as done."""
        self._steps.done += 1

    def follow_workers(self, folder: Path) -> None:
        """Show what the workers of a run folder say of themselves, whenever `look` is called."""
        self._attempts.follow(folder)

    def begin_attempt(self, number: int, name: str) -> None:
        """Announce that a worker shall do step `number`, from 1; others may run already."""
        self._view.begun(self._attempts.begin(number, name))

    def assign_attempt(self, worker: str, number: int) -> None:
        """Announce that a worker has begun with a step."""
        self._attempts.assign(worker, number)

    def end_attempt(self, number: int, done: bool) -> None:
        """Announce that the attempt at a step is over; count the step as done if it is."""
        self._steps.done += done
        if (attempt := self._attempts.end(number)) is not None:
            self._view.ended(attempt, done)

    def look(self) -> None:
        """Look what workers do; to be called about once a second while steps run in workers."""
        self._attempts.look()
        self._view.looked()

    @contextmanager
    def task(
        self, description: str, total: float | None, *, unit: str = "it", scale: float = 1.0
    ) -> Iterator[ProgressTask]:
        """Show a bar below those that are open, as long as the block runs.

        Args:
            description: what is counted, e.g. `"epoch"`.
            total: where the count ends, or None when nobody knows.
            unit: what the rate counts, e.g. `"images"`; `""` for no rate.
            scale: how many of these one count stands for, e.g. the images per batch.
        """
        task = ProgressTask(self._view, description, total, unit, scale)
        task.depth = len(self._open)
        self._open.append(task)
        self._view.opened(task)
        try:
            yield task
        finally:
            self._open.remove(task)
            self._view.closed(task)


def _view_for(console: "Console", steps: StepCount, attempts: Attempts) -> View:
    if not console.is_terminal or console.is_dumb_terminal:
        return PlainView(console, steps, attempts)
    from mml.core.scripts.progress_bars import LiveView  # its parts of rich are of use in a terminal alone

    return LiveView(console, steps, attempts)
