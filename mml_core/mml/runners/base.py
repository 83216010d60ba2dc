"""What a runner is: it takes attempts at steps and reports what came of them. Only the driver writes the journal.

A runner hands attempts to an engine (processes, Ray, Slurm), which starts workers. A worker has the same scheduler as
the driver; it is made by `RunSetup.worker`, so that a runner knows nothing of schedulers.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import msgspec

from mml.core.data_loading.task_struct import StructChange
from mml.core.scripts.resources import NOTHING, Resources
from mml.core.scripts.schedule import StepRecord


class Announced(NamedTuple):
    """A file that a step was about to create.

    Attributes:
        path: portable text.
        key: kind of the file.
    """

    path: str
    key: str


class StepOutcome(msgspec.Struct, frozen=True):
    """What a step changed.

    Attributes:
        seconds: wall time of the step.
        tasks: task name -> change of its struct.
        value: the return value, `msgspec.UNSET` when the step did not set it.
        grown: steps that the step added to the plan.
        paths: files that it announced, in another process than the driver's; there, the journal has them.
    """

    seconds: float
    tasks: dict[str, StructChange] = {}
    value: Any = msgspec.UNSET
    grown: list[StepRecord] = []
    paths: list[Announced] = []


class Work(msgspec.Struct, frozen=True):
    """One attempt at a step, as a worker gets it: plain values, which can be sent anywhere.

    Attributes:
        step: position in the plan, from 0.
        record: command, params and needs.
        attempt: token of the attempt, unique among all that the run ever makes at this step, e.g. `"1.2"`.
        planned: number of steps in the plan.
        visible: positions of the steps whose changes it may see, as ranges `(start, stop)`.
        journal: bytes of the journal in which those that are done are recorded.
        pending: names of attempts at visible steps that have to end well before this one begins; in no journal yet.
        value: the return value as the steps before it left it, JSON.
        resources: what it needs.
        fenced: whether it has a right to write only as long as the folder of the attempt exists.
    """

    step: int
    record: StepRecord
    attempt: str
    planned: int = 0
    visible: list[tuple[int, int]] = []
    journal: int = 0
    pending: list[str] = []
    value: Any = None
    resources: Resources = NOTHING
    fenced: bool = False

    @property
    def name(self) -> str:
        """Name of the attempt among all of the run, e.g. `0003.1.2`; that of its folder, too."""
        return f"{self.step + 1:04d}.{self.attempt}"

    def __str__(self) -> str:
        return f"step {self.step + 1}, {self.record}"


class SentError(msgspec.Struct, frozen=True):
    """An error that can be sent to another process, whatever its class.

    Attributes:
        text: what it says, in one line.
        traceback: as Python prints it.
        pickled: the error itself, empty when it can't be sent.
        interrupted: number of the signal that stopped the attempt; 0: it failed.
        lost: the worker or its machine died: the step itself is not known to have failed.
        misfit: the worker can't do any step of this run, e.g. because it has another version of mml.
    """

    text: str
    traceback: str = ""
    pickled: bytes = b""
    interrupted: int = 0
    lost: bool = False
    misfit: bool = False


class Report(msgspec.Struct, frozen=True):
    """What came of an attempt: an outcome or an error.

    Attributes:
        step: position in the plan.
        attempt: token of the attempt.
        outcome: of a step that is done.
        error: of one that is not.
        worker: name of the worker that did it, for people.
    """

    step: int
    attempt: str
    outcome: StepOutcome | None = None
    error: SentError | None = None
    worker: str = ""


class WorkerSetup(msgspec.Struct, frozen=True):
    """What a worker has to know to have the scheduler of the driver: plain values, which can be sent anywhere.

    Attributes:
        folder: the run folder, which the worker has to see under the same path.
        config: the composed config, resolved; what may hold secrets is left out.
        hydra: Hydra's own config, None when the run was not started by Hydra.
        journal: bytes of the journal that hold the plan.
        versions: package -> version, of the driver.
        code: distribution -> version text of its code, of the driver.
        log_level: least level of log records.
        search_path: where the driver imports modules from.
        directory: the working directory of the driver.
    """

    folder: str
    config: dict[str, Any]
    hydra: dict[str, Any] | None = None
    journal: int = 0
    versions: dict[str, str] = {}
    code: dict[str, str] = {}
    log_level: str = "INFO"
    search_path: list[str] = []
    directory: str = ""


class Worker(Protocol):
    """Does attempts, one after the other, in the main thread of a process that a runner started."""

    def execute(self, work: Work) -> Report:
        """Make an attempt and return what came of it; no error of the step leaves it.

        SIGTERM stops it as soon as a training has written a checkpoint; the report then says `interrupted`.
        """
        ...

    def close(self) -> None:
        """End; called once, when no more work comes."""
        ...


class Earlier(NamedTuple):
    """An attempt of an earlier process of this run, which may still go on.

    Attributes:
        work: the attempt.
        job: what the runner wrote down of it with `RunSetup.take_down`.
    """

    work: Work
    job: dict[str, Any]


class RunSetup(NamedTuple):
    """What a runner gets of a run.

    Attributes:
        folder: the run folder.
        worker: makes a `Worker` from `(setup, name)`; a class that can be imported and pickled by its name. The name
            becomes that of a folder `workers/<name>` in the run folder, with `lock`, `exp.log` (standard output and
            error, too) and `live.json`; it has to be unique, e.g. host and process id.
        setup: for `worker`.
        execute: makes an attempt in this process; for runners that need no other. Errors leave it.
        take_down: keeps what a later process has to know of an attempt (`work, job`) to find or cancel it.
        earlier: attempts of an earlier process that this runner took down.
    """

    folder: Path
    worker: Callable[[WorkerSetup, str], Worker]
    setup: WorkerSetup
    execute: Callable[[Work], StepOutcome]
    take_down: Callable[[Work, dict[str, Any]], None]
    earlier: Sequence[Earlier] = ()


class Room(NamedTuple):
    """What a runner has for steps at the same time, as far as that can be told without starting anything.

    A runner may say so with a method `room() -> Room`, which `mml plan` calls instead of `open`; then `check` has to
    work without `open`, too.

    Attributes:
        slots: most steps at a time, None without limit.
        resources: that they share; without limit what is None.
        each: what a step takes of them where nothing is said.
        text: as a user would say it, e.g. `2 steps at a time`.
        shared: whether others use it as well, so that steps may have to wait for a place.
    """

    slots: int | None = None
    resources: Resources = NOTHING
    each: Resources = NOTHING
    text: str = ""
    shared: bool = False


class Runner(Protocol):
    """Runs attempts somewhere. Its methods are called by one thread, that of the driver.

    Attributes:
        in_process: whether steps run in the driver's own process, one after the other.
        fenced: whether an attempt may go on although the runner gave it up, e.g. on a machine that can't be reached.
        chained: whether it takes work whose needs are not done yet, and keeps it back until they are (`Work.pending`).
        detaches: whether the driver ends as soon as all work is submitted; needs `chained`.
    """

    in_process: ClassVar[bool]
    fenced: ClassVar[bool]
    chained: bool
    detaches: bool

    def open(self, run: RunSetup) -> list[Work]:
        """Get ready; return those of `run.earlier` that still go on and will be reported. The others are over: dead.

        Raises:
            MMLMisconfigurationException: the engine is not there or can't be used; says what to do, within seconds.
        """
        ...

    def check(self, resources: Resources, what: str) -> None:
        """Make sure that work with these resources can be done at all.

        Args:
            resources: of a step.
            what: the step, for the message.

        Raises:
            MMLMisconfigurationException: nobody has them; says who has what.
        """
        ...

    def has_room(self, resources: Resources) -> bool:
        """Tell whether work with these resources could be submitted now."""
        ...

    def submit(self, work: Work) -> None:
        """Take an attempt; it begins now or when the engine finds a place."""
        ...

    def wait(self, seconds: float | None) -> list[Report]:
        """Wait for attempts to end, and return their reports, each once.

        Signals are let through while waiting. A worker that died is a report with `lost`.

        Args:
            seconds: how long at most; None: until there is a report.

        Raises:
            RunnerError: the engine as a whole is lost.
        """
        ...

    def interrupt(self) -> None:
        """Ask all attempts to stop as soon as they can go on from there; their reports still come."""
        ...

    def close(self) -> None:
        """End all that still runs, and wait until it is over. Never fails; may be called twice."""
        ...
