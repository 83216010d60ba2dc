"""Running one step in this process: what the driver knows of a scheduler, and how it finds out what a step changed."""

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import msgspec
from omegaconf import DictConfig

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.exceptions import PlanError
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.resources import NOTHING
from mml.core.scripts.run_policy import RunPolicy
from mml.core.scripts.schedule import Step, StepDetails, StepRecord, checked_after, restore_step, step_seed
from mml.core.scripts.seeding import seed_everything
from mml.core.scripts.signals import SignalGuard
from mml.core.scripts.struct_tracker import StructTracker
from mml.core.scripts.values import plain_value, restored_value
from mml.runners.base import StepOutcome


class Scheduler(Protocol):
    """What the driver knows of a scheduler; `AbstractBaseScheduler` says what each means."""

    cfg: DictConfig
    fm: MMLFileManager
    structs: StructTracker
    progress: RunProgress
    commands: list[Callable[..., Any]]
    params: list[Sequence[Any]]
    details: dict[int, StepDetails]
    guard: SignalGuard | None
    policy: RunPolicy
    task_list: list[str]
    return_value: Any
    seed: int
    step_seed: int
    seconds: float
    continue_status: bool
    needs_tasks: ClassVar[bool]

    def begin_step(self, step: Step) -> None:
        """Prepare for a step."""

    def step_recorded(self, step: Step) -> None:
        """Be called when a step is done and can't be lost any more."""

    def step_config(self, command: str) -> Sequence[str] | None:
        """Return the keys of the config that the result of a command depends on, None for all."""
        ...

    def step_fault(self, command: str, params: Sequence[Any]) -> str:
        """Return why a step that another run has done can't be taken over, empty if it can."""
        ...

    def plan(self) -> list[Step]:
        """Make the plan afresh and return its steps."""
        ...

    def steps_from(self, position: int) -> list[Step]:
        """Return the planned steps from a position on."""
        ...

    def after_preparation_hook(self) -> None:
        """Be called before the first step."""

    def before_finishing_hook(self) -> None:
        """Be called after the last step."""

    def report(self) -> None:
        """Print the outcome."""


def execute_step(scheduler: Scheduler, step: Step) -> StepOutcome:
    """Run one step in this process and return what it changed.

    Raises:
        MMLError: the step left a return value that can't be journaled.
        Exception: whatever the step raises. What it changed up to then is undone.
    """
    scheduler.begin_step(step)
    seed_everything(scheduler.step_seed)
    # By value: a step may also change a list or dict in place.
    before, planned = plain_value(scheduler.return_value, "return_value before a step"), len(scheduler.commands)
    with _undone_on_error(scheduler, before, planned):
        start = time.perf_counter()
        # Copies: a step that fails may have changed what it would be called with once more.
        scheduler.commands[step.position](*copy.deepcopy(step.params))
        seconds = time.perf_counter() - start
        value = plain_value(scheduler.return_value, f"return_value of step {step.record}")
        grown = _grown(scheduler, planned)
        tasks = scheduler.structs.end_step()
    changed = msgspec.UNSET if value == before else value
    return StepOutcome(seconds=round(seconds, 6), tasks=tasks, value=changed, grown=grown)


@contextmanager
def _undone_on_error(scheduler: Scheduler, value: Any, planned: int) -> Iterator[None]:
    """Watch a step; when it fails, bring structs, return value and plan back to what they were before it.

    Args:
        scheduler: that of the step.
        value: the return value before the step, as JSON.
        planned: length of the plan before the step.
    """
    scheduler.structs.begin_step()
    try:
        yield
    except BaseException:
        scheduler.structs.abandon_step()
        scheduler.return_value = restored_value(value)
        cut_plan(scheduler, planned)
        raise


def cut_plan(scheduler: Scheduler, planned: int) -> None:
    """Take the steps away that were added to a plan of so many."""
    if len(scheduler.commands) <= planned:
        return
    del scheduler.commands[planned:], scheduler.params[planned:]
    for position in [position for position in scheduler.details if position >= planned]:
        del scheduler.details[position]


def _grown(scheduler: Scheduler, planned: int) -> list[StepRecord]:
    """Return the steps that were added to the plan, which a continued run has to find by name."""
    steps = scheduler.steps_from(planned)
    for step in steps:
        if not callable(getattr(scheduler, step.record.command, None)):
            name = type(scheduler).__name__
            msg = f"Step {step.record}, added while running: '{step.record.command}' is no method of {name}."
            raise PlanError(msg)
    return [step.record for step in steps]


def extend_plan(scheduler: Scheduler, grown: Iterable[StepRecord]) -> None:
    """Append steps that were added to the plan while running, as their records say.

    Raises:
        PlanError: the scheduler has no such step.
    """
    for record in grown:
        position = len(scheduler.commands)
        scheduler.commands.append(named_command(scheduler, record))
        scheduler.params.append(restore_step(position, record, scheduler.fm.roots).params)
        after = checked_after(record.after, position, record.command)
        if after is not None or record.name or record.resources != NOTHING:
            scheduler.details[position] = StepDetails(after, record.name, record.resources)


def named_command(scheduler: Scheduler, record: StepRecord) -> Callable[..., Any]:
    """Return the method of a step that was added to the plan while running.

    Raises:
        PlanError: there is none.
    """
    command: Callable[..., Any] | None = getattr(scheduler, record.command, None)
    if callable(command):
        return command
    name = type(scheduler).__name__
    msg = f"The recorded plan has a step {record}, but '{record.command}' is no method of {name}. Was its code changed?"
    raise PlanError(msg)


def begin_hook(scheduler: Scheduler, name: str) -> None:
    """Seed what runs outside of steps, by its name."""
    scheduler.step_seed = step_seed(scheduler.seed, name)
    seed_everything(scheduler.step_seed)


def call_hooks(hooks: list[Any], scheduler: Scheduler) -> None:
    """Call what plugins registered."""
    for hook in hooks:
        hook(scheduler)
