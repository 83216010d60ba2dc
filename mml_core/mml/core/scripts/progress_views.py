"""What is counted while a run goes on, and the few lines that tell it where there is no terminal.

Counting has to cost next to nothing, for a run may fly through thousands of steps: who counts only adds numbers, and
a view looks at them a few times a second.
"""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mml.core.scripts.progress_attempts import Attempt, Attempts, some, states
from mml.core.scripts.progress_state import LiveStep

if TYPE_CHECKING:
    from rich.console import Console

BURST = 10  # lines that may follow one another at once; beyond, one per second
FLYING_SECONDS = 5.0  # between lines about units that take less than a second
NESTED_SECONDS = 15.0  # between lines about what happens inside an epoch
RUNNING_SECONDS = 30.0  # between lines about all steps that run in workers
RUNNING_TOLD = 8  # of them in such a line


class Speed:
    """How fast a number grows, over the last seconds.

    Args:
        completed: the number now.
        now: the time now, in seconds, of a clock that never goes back.
    """

    WINDOW = 20.0

    def __init__(self, completed: float, now: float) -> None:
        self._marks = deque([(now, completed)])

    def observe(self, completed: float, now: float) -> None:
        """Take note of the number at a time."""
        marks = self._marks
        if completed < marks[-1][1]:
            marks.clear()
        marks.append((now, completed))
        while len(marks) > 2 and marks[1][0] <= now - self.WINDOW:
            marks.popleft()

    def per_second(self) -> float | None:
        """Return the growth per second, or None as long as nothing has grown."""
        (start, first), (end, last) = self._marks[0], self._marks[-1]
        return (last - first) / (end - start) if last > first and end > start else None


@dataclass(slots=True)
class StepCount:
    """Where the run is in its schedule.

    Attributes:
        total: steps of the whole schedule.
        done: steps that are done, those of earlier processes included.
        inherited: steps that were done when this process began.
        number: of the running step, from 1.
        name: of the running step.
        started: when this process began to step.
    """

    total: int = 0
    done: int = 0
    inherited: int = 0
    number: int = 0
    name: str = ""
    started: float = field(default_factory=time.monotonic)

    def line(self) -> str:
        """Return e.g. `step 2/5 train digits fold 1`."""
        return f"step {self.number:,}/{self.total:,} {self.name}".rstrip()

    def idle_text(self) -> str:
        """Return what to say when no step runs."""
        return "all steps done" if self.done == self.total else "no step running"

    def time_left(self, now: float) -> float | None:
        """Return the seconds that the remaining steps take at the pace of this process, None when nobody knows."""
        ran = self.done - self.inherited
        return (self.total - self.done) * (now - self.started) / ran if ran > 0 else None


class View:
    """What shows the numbers; this one shows nothing. Each method may be called thousands of times a second."""

    def stepped(self) -> None:
        """Take note that a step begins."""

    def opened(self, task: "ProgressTask") -> None:
        """Take note of a new nested bar."""

    def changed(self, task: "ProgressTask") -> None:
        """Take note that a bar grew."""

    def closed(self, task: "ProgressTask") -> None:
        """Take note that a bar is over."""

    def begun(self, attempt: Attempt) -> None:
        """Take note that a worker shall do a step."""

    def ended(self, attempt: Attempt, done: bool) -> None:
        """Take note that an attempt at a step is over, and whether the step is done."""

    def looked(self) -> None:
        """Take note that there may be news of workers; is called about once a second."""

    def stop(self) -> None:
        """Show the last state and end."""


class ProgressTask:
    """One bar: something that is counted.

    Attributes:
        description: what is counted, e.g. `"epoch"`.
        completed: the count; a fraction is the part done of the next unit.
        total: where the count ends, or None when nobody knows.
        info: free text beside the bar, e.g. `"loss 0.31"`.
        unit: what the rate counts, e.g. `"images"`; no rate is shown when empty.
        scale: how many of these a count stands for, e.g. the images per batch.
    """

    def __init__(self, view: View, description: str, total: float | None, unit: str = "it", scale: float = 1.0) -> None:
        self.description, self.total, self.unit, self.scale = description, total, unit, scale
        self.completed: float = 0
        self.info = ""
        self.depth = 0
        self.started = time.monotonic()
        self.speed = Speed(0, self.started)
        self.line_at = 0.0
        self.line_count = 0
        self._view = view

    def advance(self, n: float = 1) -> None:
        """Count `n` more."""
        self.completed += n
        self._view.changed(self)

    def set(self, *, completed: float | None = None, total: float | None = None, info: str | None = None) -> None:
        """Set the count, its end or the text beside the bar; what is left out stays as it is."""
        if total is not None:
            self.total = total
        if info is not None:
            self.info = info
        if completed is not None:
            self.completed = completed
        self._view.changed(self)

    def count(self) -> str:
        """Return e.g. `3/10`."""
        return count_text(self.completed, self.total)

    def rate(self) -> str:
        """Return e.g. `1,234 images/s`, or nothing as long as it is not known."""
        speed = self.speed.per_second()
        if speed is None or not self.unit:
            return ""
        return rate_text(speed * self.scale, self.unit)

    def time_left(self) -> float | None:
        """Return the seconds that remain at the present speed, or None when nobody knows."""
        speed = self.speed.per_second()
        return None if speed is None or self.total is None else max(0.0, self.total - self.completed) / speed

    def line(self) -> str:
        """Return e.g. `epoch 3/10  loss 0.213  1,234 images/s`."""
        return "  ".join(part for part in (f"{self.description} {self.count()}", self.info, self.rate()) if part)


class PlainView(View):
    """Says in single lines, few enough for a log file, where the run is.

    Args:
        console: where the lines go.
        steps: the count of steps.
        attempts: the steps that run in workers.
    """

    def __init__(self, console: "Console", steps: StepCount, attempts: Attempts | None = None) -> None:
        self._console, self._steps, self._attempts = console, steps, Attempts() if attempts is None else attempts
        self._told_at = time.monotonic()
        self._missed = False
        self._allowance: float = BURST
        self._looked = time.monotonic()

    def stepped(self) -> None:
        """Print a line, if there were not too many of late."""
        self._missed = not self._allowed(time.monotonic())
        if not self._missed:
            self._print(self._steps.line())

    def opened(self, task: ProgressTask) -> None:
        """Wait with the first line until there is something to tell."""
        task.line_at = task.started
        if self._missed:
            self.stepped()

    def changed(self, task: ProgressTask) -> None:
        """Print a line when one is due: of every unit that takes a second, and ever fewer of what flies by."""
        now = time.monotonic()
        finished = task.depth == 0 and task.completed == task.total
        if (now - task.line_at < _pause(task, now) and not finished) or int(task.completed) == task.line_count:
            return
        if self._allowed(now):
            task.speed.observe(task.completed, now)
            task.line_count, task.line_at = int(task.completed), now
            self._print(task.line())

    def begun(self, attempt: Attempt) -> None:
        """Print a line, if there were not too many of late."""
        if self._allowed(time.monotonic()):
            self._print(f"step {attempt.number:,}/{self._steps.total:,} {attempt.name}")

    def ended(self, attempt: Attempt, done: bool) -> None:
        """Print a line, if there were not too many of late; the last step is always told."""
        now, steps = time.monotonic(), self._steps
        if self._allowed(now) or steps.done == steps.total:
            what = "is done" if done else "is not done"
            where = f" on {attempt.worker}" if attempt.worker else ""
            took = clock(now - attempt.begun)
            self._print(f"step {attempt.number:,} {what}{where}, {took}; {steps.done:,}/{steps.total:,} steps done")

    def looked(self) -> None:
        """Print now and then how far the running steps are; the longer the run, the more seldom."""
        now = time.monotonic()
        pause = max(RUNNING_SECONDS, (now - self._steps.started) / 20)
        if not len(self._attempts) or now - self._told_at < pause or not self._allowed(now):
            return
        self._told_at, found = now, states(self._attempts, now)
        texts = [_running_text(state) for state in some(found, RUNNING_TOLD)]
        texts += [f"{len(found) - RUNNING_TOLD:,} more"] * (len(found) > RUNNING_TOLD)
        self._print(f"{self._steps.done:,}/{self._steps.total:,} steps done; running: {', '.join(texts)}")

    def _allowed(self, now: float) -> bool:
        """Take one line off the allowance, which grows by one per second; tell whether there was one."""
        allowance = min(BURST, self._allowance + now - self._looked)
        self._looked = now
        self._allowance = allowance - 1 if allowance >= 1 else allowance
        return allowance >= 1

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _running_text(state: LiveStep) -> str:
    """Return e.g. `step 3 on w1 (0:42, epoch 2/5)`."""
    bars = [f"{bar.description} {count_text(bar.completed, bar.total)}" for bar in state.bars[:1]]
    where = f" on {state.worker}" if state.worker else " waiting"
    return f"step {state.number:,}{where} ({', '.join([clock(state.elapsed), *bars])})"


def _pause(task: ProgressTask, now: float) -> float:
    """Return the least seconds between two lines about a task."""
    elapsed = now - task.started
    pause = 1.0 if task.completed < elapsed else max(FLYING_SECONDS, elapsed / 10)
    return max(pause, NESTED_SECONDS) if task.depth else pause


def count_text(completed: float, total: float | None) -> str:
    """Return e.g. `3/10`."""
    return f"{int(completed):,}" + (f"/{int(total):,}" if total is not None else "")


def rate_text(rate: float, unit: str) -> str:
    """Return e.g. `1,234 images/s`."""
    return f"{rate:,.0f} {unit}/s" if rate >= 100 else f"{rate:.2g} {unit}/s"


def clock(seconds: float | None) -> str:
    """Return a time as people read it: `0:07`, `12:30`, `1:02:03`; nothing of a time that nobody knows."""
    if seconds is None:
        return ""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
