"""One step in this process: what it changed is found, and undone when it fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.exceptions import MMLError, PlanError
from mml.core.scripts.run_steps import begin_hook, call_hooks, execute_step
from mml.core.scripts.schedule import step_seed
from tests.support.toy_scheduler import toy_config

Act = Callable[["One"], Any]


class One(AbstractBaseScheduler):
    """A scheduler with one step, which is a function given by a test."""

    def __init__(self, root: Path, act: Act) -> None:
        super().__init__(toy_config(root), ["work"])
        self.does = act
        self.got: list[Any] = []

    def create_routine(self) -> None:
        self.add_step(self.act, {"numbers": [1]})

    def act(self, options: dict[str, Any]) -> None:
        self.got.append(options)
        self.does(self)

    def more(self) -> None:
        """Be added by the step."""


def foreign() -> None:
    pass


def test_step_without_a_change_has_no_outcome_but_its_time(tmp_path: Path) -> None:
    scheduler = One(tmp_path, lambda _: None)
    outcome = execute_step(scheduler, scheduler.plan()[0])
    assert (outcome.tasks, outcome.value, outcome.grown) == ({}, msgspec.UNSET, [])
    assert outcome.seconds >= 0


def test_value_and_growth_of_a_step_are_its_outcome(tmp_path: Path) -> None:
    def grow(scheduler: One) -> None:
        scheduler.return_value = (1, 2)
        scheduler.add_step(scheduler.more, after=())

    scheduler = One(tmp_path, grow)
    outcome = execute_step(scheduler, scheduler.plan()[0])
    assert outcome.value == [1, 2]
    assert [(step.command, step.after) for step in outcome.grown] == [("more", [])]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda s: s.more(1), TypeError),
        (lambda s: setattr(s, "return_value", object()), MMLError),
        (lambda s: s.add_step(foreign), PlanError),
    ],
    ids=["error", "value", "growth"],
)
def test_whatever_fails_all_is_undone(tmp_path: Path, spoil: Act, error: type[Exception]) -> None:
    def change_and_fail(scheduler: One) -> None:
        scheduler.return_value["kept"].append(2)
        scheduler.add_step(scheduler.more, after=(0,))
        scheduler.got[-1]["numbers"].clear()
        spoil(scheduler)

    scheduler = One(tmp_path, change_and_fail)
    step = scheduler.plan()[0]
    scheduler.return_value = {"kept": [1]}
    for _ in range(2):
        with pytest.raises(error):
            execute_step(scheduler, step)
    assert scheduler.return_value == {"kept": [1]}
    assert (len(scheduler.commands), len(scheduler.params), scheduler.details) == (1, 1, {})
    assert step.params == [{"numbers": [1]}]


def test_hooks_are_seeded_by_their_name(tmp_path: Path) -> None:
    scheduler = One(tmp_path, lambda _: None)
    begin_hook(scheduler, "preparation")
    assert scheduler.step_seed == step_seed(scheduler.seed, "preparation")


def test_hooks_of_plugins_get_the_scheduler(tmp_path: Path) -> None:
    scheduler, called = One(tmp_path, lambda _: None), []
    call_hooks([called.append, called.append], scheduler)
    assert called == [scheduler, scheduler]
