"""The live state of a run: a small file that tells other processes where it is, written while the run counts.

It is a courtesy: replaced atomically at most about once a second, never synced, removed at the end, and whatever goes
wrong with it is of no concern to the run.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from mml.core.scripts.progress_attempts import TOLD, Attempt, Attempts, some, states
from mml.core.scripts.progress_state import Live as Live
from mml.core.scripts.progress_state import LiveBar as LiveBar
from mml.core.scripts.progress_state import LiveStep, encode_live
from mml.core.scripts.progress_state import read_live as read_live
from mml.core.scripts.progress_views import ProgressTask, StepCount, View
from mml.core.scripts.run_files import LIVE_FILE

FIRST_SECONDS = 0.5  # what is over by then needs no file
PAUSE_SECONDS = 1.0  # between two writes while something is merely counted
BURST = 3.0  # writes that may follow one another at once, when bars come and go; they grow by one per second


class LiveFile(View):
    """Keeps the live state of a run in a file, beside what another view shows.

    Args:
        inner: the view that people look at.
        folder: the run folder.
        steps: the count of steps.
        bars: those that are open; the list is changed by its owner.
        attempts: the steps that run in workers.
    """

    def __init__(
        self,
        inner: View,
        folder: Path,
        steps: StepCount,
        bars: Sequence[ProgressTask],
        attempts: Attempts | None = None,
    ) -> None:
        self._inner, self._steps, self._bars = inner, steps, bars
        self._attempts = Attempts() if attempts is None else attempts
        self._path, self._beside = folder / LIVE_FILE, folder / ".live.tmp.json"
        self._pid = os.getpid()
        self._due = self._looked = time.monotonic() + FIRST_SECONDS
        self._allowance = BURST
        self._stepped: float | None = None

    def stepped(self) -> None:
        """Pass it on, and write it down soon."""
        self._inner.stepped()
        self._stepped = time.monotonic()
        self._moved()

    def begun(self, attempt: Attempt) -> None:
        """Pass it on, and write it down soon."""
        self._inner.begun(attempt)
        self._moved()

    def ended(self, attempt: Attempt, done: bool) -> None:
        """Pass it on, and write it down soon."""
        self._inner.ended(attempt, done)
        self._moved()

    def looked(self) -> None:
        """Pass it on, and write down what workers do when the last time is a while ago."""
        self._inner.looked()
        if (now := time.monotonic()) >= self._due:
            self._write(now)

    def opened(self, task: ProgressTask) -> None:
        """Pass it on, and write it down soon."""
        self._inner.opened(task)
        self._moved()

    def changed(self, task: ProgressTask) -> None:
        """Pass it on, and write it down when the last time is a while ago."""
        self._inner.changed(task)
        if (now := time.monotonic()) >= self._due:
            self._write(now)

    def closed(self, task: ProgressTask) -> None:
        """Pass it on, and write it down soon."""
        self._inner.closed(task)
        self._moved()

    def stop(self) -> None:
        """Remove the file."""
        try:
            self._inner.stop()
        finally:
            if os.getpid() == self._pid:
                _remove(self._path)
                _remove(self._beside)

    def _moved(self) -> None:
        """Write at once what only happens now and then: nothing may be counted for a long time after it."""
        now = time.monotonic()
        if now >= self._looked and self._allowance + now - self._looked >= 1:
            self._write(now)

    def _write(self, now: float) -> None:
        """Write the state; a child that was forked has no say in it."""
        if os.getpid() != self._pid:
            return
        self._allowance = min(BURST, self._allowance + now - self._looked) - 1
        self._looked, self._due = now, now + PAUSE_SECONDS
        try:
            _replace(self._path, self._beside, encode_live(self._state(now)))
        except Exception:  # noqa: BLE001 - e.g. the disk is full, or a plugin counts what is no number: not worth a run
            self._due = self._looked = now + 10 * PAUSE_SECONDS

    def _state(self, now: float) -> Live:
        steps, running = self._steps, states(self._attempts, now)
        state = Live(
            time=round(time.time(), 3),
            pid=self._pid,
            step=steps.number,
            steps=steps.total,
            name=steps.name,
            left=steps.time_left(now),
            bars=[_bar(task, now) for task in self._bars],
            elapsed=None if self._stepped is None else round(now - self._stepped, 3),
        )
        if not self._attempts.used:
            return state
        (first,) = some(running, 1) or [LiveStep(0, "")]
        told, more = some(running, TOLD), max(0, len(running) - TOLD)
        return msgspec.structs.replace(
            state, step=first.number, name=first.name, bars=first.bars or state.bars, running=told, more=more
        )


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _bar(task: ProgressTask, now: float) -> LiveBar:
    task.speed.observe(task.completed, now)
    speed = task.speed.per_second()
    return LiveBar(
        description=task.description,
        completed=float(task.completed),
        total=None if task.total is None else float(task.total),
        rate=None if speed is None or not task.unit else speed * task.scale,
        unit=task.unit,
        info=task.info,
        left=task.time_left(),
        elapsed=round(now - task.started, 3),
    )


def _replace(path: Path, beside: Path, data: bytes) -> None:
    """Write a file beside another and put it in its place; one that the disk took only a part of stays beside.

    Raises:
        OSError: nothing was replaced.
    """
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        whole = os.write(handle, data) == len(data)
    finally:
        os.close(handle)
    if whole:
        beside.replace(path)
