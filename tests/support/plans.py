"""Plans made by hand, as `mml plan` has them when the scheduler has planned."""

from collections.abc import Iterable, Sequence
from typing import Any

from mml.core.scripts.resources import NOTHING, Resources
from mml.core.scripts.schedule import StepRecord
from mml.plan_record import TO_DO, Estimate, Plan, PlannedStep
from mml.runners.base import Room

SERIAL = Room(slots=1, text="one step after the other")


def planned(position: int, command: str = "work", params: Sequence[Any] = (), **known: Any) -> PlannedStep:
    """Return a step; `needs` is `[]` by default, `seconds` and `size` are its estimate."""
    record = StepRecord(command, list(params), list(known.get("needs", ())), known.get("name", ""))
    seconds, size = known.get("seconds"), known.get("size")
    estimate = Estimate(seconds, size, "same step" if (seconds, size) != (None, None) else "", 1)
    return PlannedStep(
        position,
        record,
        record.key,
        list(known.get("needs", ())),
        resources=known.get("resources", NOTHING),
        state=known.get("state", TO_DO),
        reason=known.get("reason", ""),
        tasks=tuple(known.get("tasks", ())),
        seconds=known.get("took"),
        estimate=estimate,
    )


def chain(length: int, seconds: float | None = 1.0) -> list[PlannedStep]:
    """Return steps one after the other."""
    return [planned(n, params=[n], needs=[n - 1] if n else [], seconds=seconds) for n in range(length)]


def diamond() -> list[PlannedStep]:
    """Return a beginning, two ways, and an end."""
    needs: list[list[int]] = [[], [0], [0], [1, 2]]
    return [planned(n, "abcd"[n], needs=needed, seconds=1.0) for n, needed in enumerate(needs)]


def folds(tasks: Iterable[str] = ("digits",), count: int = 5, finish: bool = False) -> list[PlannedStep]:
    """Return a training of folds, each with a test and predictions, and a last step after all of them."""
    steps: list[PlannedStep] = []
    for task in tasks:
        for fold in range(count):
            first = len(steps)
            for number, command in enumerate(("train_fold", "test_fold", "predict_fold")):
                needs = [first] if number else []
                steps.append(planned(first + number, command, [task, fold], needs=needs, tasks=[task], seconds=1.0))
    if finish:
        steps.append(planned(len(steps), "finish", needs=range(len(steps)), seconds=1.0))
    return steps


def fan(count: int) -> list[PlannedStep]:
    """Return steps side by side, and one after all of them."""
    return [*(planned(n, params=[n], seconds=1.0) for n in range(count)), planned(count, "finish", needs=range(count))]


def plan_of(steps: Sequence[PlannedStep], room: Room = SERIAL, **known: Any) -> Plan:
    """Return a plan of steps, by default in series on a disk with 1 GB left."""
    free = known.pop("free", 10**9)
    return Plan("mml toy", list(steps), "serial", room, "/results", free, **known)


def cores(count: float) -> Resources:
    """Return resources of so many cores."""
    return Resources(cpus=count)
