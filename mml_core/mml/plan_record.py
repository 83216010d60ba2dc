"""What `mml plan` knows of a plan, as plain values: every picture, table and file that it makes is told from these."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mml.core.scripts.resources import NOTHING, Resources
from mml.core.scripts.schedule import Step, StepRecord
from mml.runners.base import Room

DONE, TAKEN, TO_DO, FAILED = "done", "taken over", "would run", "would run again"
# Of each state: its sign, which says the same as its colour.
SIGNS = {DONE: "✓", TAKEN: "↷", TO_DO: "○", FAILED: "↻"}


class Estimate(NamedTuple):
    """What a step is expected to need, told from earlier runs.

    Attributes:
        seconds: None where no earlier run tells it.
        size: bytes on disk that stay, None where no earlier run tells it.
        source: what was compared, e.g. `same step`; empty where nothing was found.
        runs: number of earlier runs that it is the median of.
    """

    seconds: float | None = None
    size: int | None = None
    source: str = ""
    runs: int = 0

    def __str__(self) -> str:
        return f"{self.source}, {self.runs} run{'s' * (self.runs != 1)}" if self.source else ""


UNKNOWN = Estimate()


class PlannedStep(NamedTuple):
    """One step of a plan, with what is known of it before it runs.

    Attributes:
        position: from 0.
        record: command, params, name.
        key: digest of command and params.
        needs: positions of the steps that have to be done before.
        resources: what it needs, configuration and plan put together.
        state: one of `SIGNS`.
        reason: why it is in this state, empty where nothing is to be said.
        tasks: those of the run that its params name.
        seconds: that it took, None for a step that is not done.
        estimate: of a step that is not done.
    """

    position: int
    record: StepRecord
    key: str
    needs: Sequence[int]
    resources: Resources = NOTHING
    state: str = TO_DO
    reason: str = ""
    tasks: tuple[str, ...] = ()
    seconds: float | None = None
    estimate: Estimate = UNKNOWN

    @property
    def number(self) -> int:
        """Place in the plan, from 1."""
        return self.position + 1

    @property
    def remains(self) -> bool:
        """Whether it would be carried out."""
        return self.state in (TO_DO, FAILED)


class State(NamedTuple):
    """What would become of a step.

    Attributes:
        name: one of `SIGNS`.
        reason: why, empty where nothing is to be said.
        seconds: that it took, None for a step that is not done.
    """

    name: str = TO_DO
    reason: str = ""
    seconds: float | None = None


class Foreseen(NamedTuple):
    """The steps of a run and what would become of them.

    Attributes:
        steps: the whole plan, as far as it is known.
        states: position -> state, of steps about which more is known than that they would run.
        run: name of the run that would go on, empty for a new one.
    """

    steps: list[Step]
    states: Mapping[int, State] = {}
    run: str = ""


class Plan(NamedTuple):
    """A plan and where it would run.

    Attributes:
        title: of what, e.g. `mml train task=digits`.
        steps: in the order of the plan.
        runner: name of the runner.
        room: that the runner has.
        folder: that results go to.
        free: bytes that are free there, None when nobody can tell.
        notes: what else a user should know.
        run: name of the run that would go on; empty for a new one.
        recorded: whether the mode makes a run, which a record is kept of.
    """

    title: str
    steps: list[PlannedStep]
    runner: str
    room: Room
    folder: str
    free: int | None = None
    notes: tuple[str, ...] = ()
    run: str = ""
    recorded: bool = True


class Totals(NamedTuple):
    """The sums of a plan over the steps that would be carried out.

    Attributes:
        steps: of the whole plan.
        done: that need not be carried out, because they are done or taken over.
        serial: seconds, one step after the other; None when nothing is known of any.
        span: seconds on the runner, None when nothing is known of any.
        untimed: number of steps whose time is not known.
        size: bytes on disk, None when nothing is known of any.
        unsized: number of steps whose size is not known.
    """

    steps: int
    done: int
    serial: float | None
    span: float | None
    untimed: int
    size: int | None
    unsized: int

    @property
    def remaining(self) -> int:
        """Number of steps that would be carried out."""
        return self.steps - self.done
