"""What a process says of itself while it works, as records in a small file that other processes read."""

from pathlib import Path
from typing import Any

import msgspec

from mml.core.scripts.run_files import LIVE_FILE


class LiveBar(msgspec.Struct, frozen=True):
    """One bar, as of the time of writing.

    Attributes:
        description: what is counted, e.g. `"epoch"`.
        completed: the count; a fraction is the part done of the next unit.
        total: where the count ends, None when nobody knows.
        rate: how many `unit`s a second, None when unknown.
        unit: what the rate counts, e.g. `"images"`.
        info: free text, e.g. `"loss 0.31"`.
        left: seconds that remain at this rate, None when unknown.
        elapsed: seconds since the bar began.
    """

    description: str
    completed: float
    total: float | None = None
    rate: float | None = None
    unit: str = ""
    info: str = ""
    left: float | None = None
    elapsed: float = 0.0

    def later(self, seconds: float) -> "LiveBar":
        """Return the bar as it is some seconds later, as far as anybody can know."""
        left = None if self.left is None else max(0.0, self.left - seconds)
        return msgspec.structs.replace(self, left=left, elapsed=self.elapsed + seconds)


class LiveStep(msgspec.Struct, frozen=True):
    """One of several steps that run at once, as of the time of writing.

    Attributes:
        number: from 1.
        name: command and params.
        worker: that does it, "" when none has begun yet.
        elapsed: seconds since it began, or since it waits for a worker.
        bars: from the outermost to the innermost.
    """

    number: int
    name: str
    worker: str = ""
    elapsed: float = 0.0
    bars: list[LiveBar] = []

    def later(self, seconds: float) -> "LiveStep":
        """Return the step as it is some seconds later, as far as anybody can know."""
        bars = [bar.later(seconds) for bar in self.bars]
        return msgspec.structs.replace(self, elapsed=self.elapsed + seconds, bars=bars)


class Live(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a process is: the one of a run, or a worker of it.

    Attributes:
        time: of writing, seconds since the epoch.
        pid: of the process.
        step: number of the running step, from 1; 0 before the first.
        steps: of the whole schedule, as far as it is known.
        name: of the running step.
        left: seconds that the remaining steps take at the pace of this process, None when unknown.
        bars: from the outermost to the innermost.
        elapsed: seconds since the running step began, None when several run.
        running: the steps that run at once in workers, each in a place that it keeps; no more than some 200 of them.
        more: how many others run.
    """

    time: float
    pid: int
    step: int = 0
    steps: int = 0
    name: str = ""
    left: float | None = None
    bars: list[LiveBar] = []
    elapsed: float | None = None
    running: list[LiveStep] = []
    more: int = 0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Live)


def encode_live(live: Live) -> bytes:
    """Return what a process says of itself as bytes of its file."""
    return _encoder.encode(live)


def read_live(folder: Path) -> Live | None:
    """Return what the process of a folder (of a run or of a worker) says of itself, None when nothing can be read."""
    try:
        return _decoder.decode((folder / LIVE_FILE).read_bytes())
    except (OSError, ValueError):
        return None


def as_dict(record: LiveBar | LiveStep) -> dict[str, Any]:
    """Return a record as plain JSON values."""
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return plain
