"""A worker without a scheduler, to test runners with: its commands sleep, fail, die and tell of their process."""

import os
import time
from pathlib import Path
from typing import Any

from mml.core.scripts.exceptions import Interrupted
from mml.core.scripts.resources import NOTHING, Resources
from mml.core.scripts.schedule import StepRecord
from mml.core.scripts.signals import SignalGuard, guarded_signals
from mml.runners.base import Report, RunSetup, StepOutcome, Work, WorkerSetup
from mml.runners.hosting import hosted
from mml.runners.transport import failed_report, report_of


class ToyWorker:
    """Does work whose command is one of its methods; the value of a step is what the method returns."""

    def __init__(self, setup: WorkerSetup, name: str) -> None:
        self.setup = setup
        self.name = name
        self._hosted = hosted(setup, name)
        self._hosted.__enter__()
        if misfit := setup.config.get("misfit"):
            raise RuntimeError(misfit)

    def execute(self, work: Work) -> Report:
        with guarded_signals() as guard:
            try:
                value = getattr(self, work.record.command)(guard, *work.record.params)
                return report_of(work, StepOutcome(seconds=0.0, value=value), self.name)
            except (Exception, Interrupted) as error:  # noqa: BLE001 - every error is a report
                return failed_report(work, error, self.name)

    def close(self) -> None:
        self._hosted.__exit__(None, None, None)

    def nothing(self, _: SignalGuard) -> None:
        """Do nothing."""

    def add(self, _: SignalGuard, *numbers: float) -> float:
        return sum(numbers)

    def process(self, _: SignalGuard) -> dict[str, Any]:
        names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
        return {"pid": os.getpid(), **{name: os.environ.get(name) for name in names}}

    def sleep(self, guard: SignalGuard, seconds: float) -> None:
        guard.pause(seconds)

    def deaf(self, guard: SignalGuard, seconds: float) -> None:
        """Sleep, whatever signal comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                time.sleep(0.05)
            except Interrupted:
                continue

    def mark(self, guard: SignalGuard, path: str, seconds: float) -> None:
        """Write begin and end into a file, one line each."""
        with Path(path).open("a") as file:
            file.write(f"begin {os.getpid()}\n")
        guard.pause(seconds)
        with Path(path).open("a") as file:
            file.write(f"end {os.getpid()}\n")

    def meet(self, guard: SignalGuard, folder: str, number: int) -> int:
        """Wait until another step with the same folder runs as well."""
        Path(folder, f"{os.getpid()}.here").touch()
        while len(list(Path(folder).glob("*.here"))) < 2:
            guard.pause(0.02)
        return number

    def fail(self, _: SignalGuard, text: str) -> None:
        raise ValueError(text)

    def kill(self, _: SignalGuard, signum: int, text: str) -> None:
        print(text, flush=True)
        os.kill(os.getpid(), signum)
        time.sleep(30)

    def leave(self, _: SignalGuard, code: int) -> None:
        os._exit(code)


def work(step: int, command: str, *params: Any, attempt: str = "1.1", resources: Resources = NOTHING) -> Work:
    """Return work for a `ToyWorker`."""
    return Work(step, StepRecord(command, list(params)), attempt, resources=resources)


def toy_run(folder: Path, **config: Any) -> RunSetup:
    """Return the setup of a run whose workers are toys; the folder becomes a run folder."""
    import sys

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "journal.jsonl").touch()
    setup = WorkerSetup(str(folder), config, search_path=[*sys.path, str(Path(__file__).parents[2])])

    def here(_: Work) -> StepOutcome:
        raise AssertionError("a runner of other processes runs nothing here")

    return RunSetup(folder, ToyWorker, setup, here, lambda *_: None)
