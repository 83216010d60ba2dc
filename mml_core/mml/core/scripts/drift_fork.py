"""Which finished steps of a run another one takes over: those whose result would be the same, told from records alone.

A step is taken over when it was done, no key of the config that it depends on differs, its task is as it was, and all
steps that it comes after are taken over, too. In doubt it is not: it costs time then, never truth.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from mml.core.scripts.drift_config import concerning, differences
from mml.core.scripts.drift_structs import (
    CannotTransferError,
    applied,
    change_between,
    files_of,
    initial_states,
    nothing,
    transferred,
)
from mml.core.scripts.journal import Done, RunRecord
from mml.core.scripts.schedule import Step, StepRecord

COMES_AFTER = "comes after "
_SHOWN_KEYS = 3


class OldRun(NamedTuple):
    """The run whose steps may be taken over.

    Attributes:
        name: as the new run refers to it.
        record: of its journal.
        config: as it was started with.
    """

    name: str
    record: RunRecord
    config: Mapping[str, Any]


class NewRun(NamedTuple):
    """The run that takes over.

    Attributes:
        record: of its journal, with the plan.
        config: its own.
        step_config: command -> dotted keys and groups that its result depends on, None for all.
        unusable: files, as portable paths -> why a step that made them can't be taken over, empty if it can.
        fault: command and params -> why a step can't be taken over for a reason of its scheduler, empty if it can.
    """

    record: RunRecord
    config: Mapping[str, Any]
    step_config: Callable[[str], Sequence[str] | None]
    unusable: Callable[[Iterable[str]], str]
    fault: Callable[[str, Sequence[Any]], str] = lambda *_: ""


class Verdict(NamedTuple):
    """What becomes of a step of the new run.

    Attributes:
        step: in the new plan.
        done: the event that makes it done in the new run, None if it is carried out.
        reason: why it is carried out, empty for a step that is taken over.
    """

    step: Step
    done: Done | None
    reason: str = ""


class Takeover:
    """Decides, step by step in the order of the plan; a step that is taken over brings the steps that it had added."""

    def __init__(self, old: OldRun, new: NewRun, steps: Sequence[Step]) -> None:
        self._old, self._new = old, new
        self._changes = differences(old.config, new.config)
        self._before, self._first_grown = _history(old.record)
        _, self._accepted_grown = _history(new.record)
        self._target = initial_states(new.record.initial)
        self._old_of = _matches(old.record, steps)
        self._taken: set[int] = set()
        # The first step that is carried out; numbers of the steps that set the return value, and how many are taken.
        self._first_anew: int | None = None
        valued = [position for position, done in old.record.done.items() if done.value is not msgspec.UNSET]
        self._value_number = {position: number for number, position in enumerate(valued)}
        self._values_taken = 0

    def decide(self, step: Step, length: int) -> Verdict:
        """Decide on the next step of the plan.

        Args:
            step: the step after the one decided on before.
            length: of the new plan, with all steps added so far.
        """
        reason = self._reason(step)
        try:
            done = None if reason else self._carried(step, length)
        except CannotTransferError as error:
            done, reason = None, str(error) or "altered what steps made that are not taken over"
        if done is None:
            self._first_anew = step.position if self._first_anew is None else self._first_anew
        else:
            self._note(step, done, length)
        return Verdict(step, done, reason)

    def accept(self, step: Step) -> Verdict:
        """Take note of a step that is taken over already, as the journal of the new run says."""
        done = self._new.record.done[step.position]
        self._note(step, done, self._accepted_grown[step.position])
        return Verdict(step, done)

    def _reason(self, step: Step) -> str:
        """Return why a step has to be carried out, empty if nothing speaks for it."""
        old = self._old_of.get(step.position)
        if old is None:
            return f"is no step of {self._old.name}"
        if old not in self._old.record.done:
            return "was not finished"
        found = (check(step, old) for check in (self._config, self._order, self._tasks, self._files, self._value))
        return next((reason for reason in found if reason), "")

    def _config(self, step: Step, _: int) -> str:
        keys = [change.key for change in concerning(self._changes, self._new.step_config(step.record.command))]
        more = f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
        return f"depends on {', '.join(keys[:_SHOWN_KEYS])}{more}" if keys else ""

    def _order(self, step: Step, old: int) -> str:
        plan, old_plan = self._plan(self._new.record), self._plan(self._old.record)
        for needed in step.needs:
            if needed not in self._taken:
                return f"{COMES_AFTER}{plan[needed]}"
        if step.record.after is not None:
            return ""
        # Without a word on what it needs, it may need all that came before: that has to be the same, step by step.
        before = self._old_of.get(step.position - 1, -1)
        return "" if before == old - 1 else f"came after {old_plan[old - 1]} there"

    def _tasks(self, step: Step, _: int) -> str:
        then, now = self._old.record, self._new.record
        tasks = {*then.data, *now.data, *then.initial, *now.initial}
        named = tasks & {*_texts(step.record.params)} or tasks
        for task in sorted(named):
            if task in then.data and task in now.data and then.data[task] != now.data[task]:
                return f"depends on the data of {task}, which changed"
            if then.initial.get(task) != now.initial.get(task):
                return f"depends on what reuse found for {task}, which is something else now"
        return "" if then.reused == now.reused else "depends on what reuse found, which is something else now"

    def _files(self, step: Step, old: int) -> str:
        found: set[str] = set()
        for task, change in self._old.record.done[old].tasks.items():
            before = self._before[old][task]
            found |= files_of(before, applied(before, change))
        return self._new.unusable(sorted(found)) or self._new.fault(step.record.command, step.params)

    def _value(self, _: Step, old: int) -> str:
        done = self._old.record.done[old]
        valued = done.value is not msgspec.UNSET
        if not valued and not done.grown:
            return ""
        # The value is that of all steps up to this one; steps are added behind those added before.
        if self._first_anew is not None:
            what = "its return value builds on" if valued else "it adds steps behind those of"
            return f"{what} {self._plan(self._new.record)[self._first_anew]}, which runs anew"
        if valued and self._value_number[old] != self._values_taken:
            return "its return value builds on steps that this run does not have before it"
        return ""

    def _carried(self, step: Step, length: int) -> Done:
        old = self._old_of[step.position]
        done = self._old.record.done[old]
        tasks = {}
        for task, change in done.tasks.items():
            target = self._target.get(task, nothing())
            if made := change_between(target, transferred(self._before[old][task], change, target)):
                tasks[task] = made
        grown = [self._moved(record, self._first_grown[old], length) for record in done.grown]
        return Done(
            time=time.time(),
            step=step.position,
            seconds=0.0,
            tasks=tasks,
            value=done.value,
            grown=grown,
            source=self._source(done),
        )

    def _source(self, done: Done) -> str:
        """Return the run that did a step, in the words of the new run."""
        if not done.source:
            return self._old.name
        project, slash, _ = self._old.name.rpartition("/")
        return done.source if "/" in done.source else f"{project}{slash}{done.source}"

    def _moved(self, record: StepRecord, first: int, length: int) -> StepRecord:
        """Return an added step with the positions that the steps it needs have in the new plan."""
        if record.after is None:
            return record
        new_of = {old: new for new, old in self._old_of.items()}
        after = [needed - first + length if needed >= first else new_of.get(needed) for needed in record.after]
        known = [position for position in after if position is not None]
        if len(known) < len(after):
            msg = "added steps that need others, which this run does not have"
            raise CannotTransferError(msg)
        return msgspec.structs.replace(record, after=sorted(known))

    def _note(self, step: Step, done: Done, length: int) -> None:
        self._taken.add(step.position)
        self._values_taken += done.value is not msgspec.UNSET
        for task, change in done.tasks.items():
            self._target[task] = applied(self._target.get(task, nothing()), change)
        first = self._first_grown.get(self._old_of.get(step.position, -1), 0)
        self._old_of |= {length + number: first + number for number in range(len(done.grown))}

    @staticmethod
    def _plan(record: RunRecord) -> list[StepRecord]:
        return record.plan or []


def _history(record: RunRecord) -> tuple[dict[int, dict[str, Any]], dict[int, int]]:
    """Return position -> task -> state before that step, and position -> that of the first step it added."""
    states, before, first_grown = initial_states(record.initial), {}, {}
    length = record.base_plan
    for position, done in record.done.items():
        before[position] = {task: states.get(task, nothing()) for task in done.tasks}
        first_grown[position] = length
        length += len(done.grown)
        states |= {task: applied(before[position][task], change) for task, change in done.tasks.items()}
    return before, first_grown


def _matches(record: RunRecord, steps: Sequence[Step]) -> dict[int, int]:
    """Return new position -> old position of equal steps of the plans at the start, first with first and so on."""
    waiting: dict[str, list[int]] = defaultdict(list)
    for position, planned in enumerate((record.plan or [])[: record.base_plan]):
        waiting[planned.key].append(position)
    return {step.position: waiting[step.key].pop(0) for step in steps if waiting[step.key]}


def _texts(value: Any) -> Iterable[str]:
    """Yield all texts in params."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
