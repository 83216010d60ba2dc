"""The schedules that runners are tested with, each under the name that `mode.plan` gives it."""

from collections.abc import Callable
from typing import ClassVar

from mml.testing.contract_steps import ContractSteps


class ContractScheduler(ContractSteps):
    """Plans one of several schedules."""

    def create_routine(self) -> None:
        """Plan the schedule that `mode.plan` names."""
        self.PLANS[self.cfg.mode.plan](self)

    def plan_folds(self) -> None:
        """Plan independent folds, a test after each, and a step after all."""
        self._folds()

    def plan_chain(self) -> None:
        """Plan steps that say nothing of what they need: each comes after the one before it."""
        for name in "abcd":
            self.add_step(self.count, f"chain_{name}")

    def plan_diamond(self) -> None:
        """Plan a step, two that need it, and one that needs these."""
        self._diamond()

    def plan_growing(self) -> None:
        """Plan steps that add steps while the run goes on."""
        self._growing()

    def plan_values(self) -> None:
        """Plan independent steps that set the return value: that of the last one in the plan stays."""
        for name in "abcd":
            self.add_step(self.state, f"value_{name}", after=())

    def plan_everything(self) -> None:
        """Plan all of these, beside one another, and a step after all."""
        ends = [self._folds(), self._diamond(), self._growing()]
        first = self.add_step(self.count, "chain_a", after=())
        second = self.add_step(self.count, "chain_b")
        self.add_step(self.params_of, "params", ["ü", 1.5, None, {"a": [True, -3]}], self.fm.data_path / "x", after=())
        last = self.add_step(self.join, "all", ["end", "diamond_d", "grow"], after=[first, second, *ends])
        self.add_step(self.count, "last", after=[last])

    def plan_failing(self) -> None:
        """Plan a step that fails while it is told to, steps that need it, and others that do not."""
        self.add_step(self.make, "fine_a", after=())
        bad = self.add_step(self.fail, "bad", after=())
        after = self.add_step(self.join, "after_bad", ["bad"], after=[bad])
        self.add_step(self.join, "after_that", ["after_bad"], after=[after])
        fine = self.add_step(self.make, "fine_b", after=())
        self.add_step(self.join, "after_fine", ["fine_b"], after=[fine])

    def plan_flaky(self) -> None:
        """Plan steps of which one fails once."""
        self.add_step(self.make, "steady", after=())
        flaky = self.add_step(self.flaky, "flaky", after=())
        self.add_step(self.join, "after_flaky", ["flaky"], after=[flaky])

    def plan_held(self) -> None:
        """Plan steps that wait for a file, a step after each, and one after all."""
        done = self.add_step(self.make, "before", after=())
        held = [self.add_step(self.hold, name, after=[done]) for name in ("held_a", "held_b")]
        ends = [self.add_step(self.join, f"after_{name}", [name], after=[at]) for name, at in _named(held)]
        self.add_step(self.join, "end", [f"after_{name}" for name, _ in _named(held)], after=ends)

    def plan_deadly(self) -> None:
        """Plan a step that kills its worker while it is told to, and one after it."""
        self.add_step(self.make, "before", after=())
        deadly = self.add_step(self.die, "deadly", after=())
        self.add_step(self.join, "after_deadly", ["deadly"], after=[deadly])

    def plan_odd(self) -> None:
        """Plan steps whose value, error or further steps can't be sent to another process, and one that can."""
        for command in (self.odd_value, self.odd_error, self.odd_growth, self.make):
            self.add_step(command, f"odd_{command.__name__}", after=())

    def plan_unsendable(self) -> None:
        """Plan a step whose param is no JSON, which is refused."""
        self.add_step(self.make, object)

    PLANS: ClassVar[dict[str, Callable[["ContractScheduler"], None]]] = {
        "everything": plan_everything,
        "folds": plan_folds,
        "chain": plan_chain,
        "diamond": plan_diamond,
        "growing": plan_growing,
        "values": plan_values,
        "failing": plan_failing,
        "flaky": plan_flaky,
        "held": plan_held,
        "deadly": plan_deadly,
        "odd": plan_odd,
        "unsendable": plan_unsendable,
    }

    def _folds(self) -> int:
        names = [f"fold_{number}" for number in range(4)]
        made = [self.add_step(self.make, name, after=()) for name in names]
        tests = [
            self.add_step(self.join, f"test_{name}", [name], after=[at]) for name, at in zip(names, made, strict=True)
        ]
        return self.add_step(self.join, "end", [f"test_{name}" for name in names], after=tests)

    def _diamond(self) -> int:
        top = self.add_step(self.make, "diamond_a", after=())
        left = self.add_step(self.join, "diamond_b", ["diamond_a"], after=[top])
        right = self.add_step(self.join, "diamond_c", ["diamond_a"], after=[top])
        return self.add_step(self.join, "diamond_d", ["diamond_b", "diamond_c"], after=[left, right])

    def _growing(self) -> int:
        return self.add_step(self.grow, "grow", 2, after=())


def _named(held: list[int]) -> list[tuple[str, int]]:
    return list(zip(("held_a", "held_b"), held, strict=True))
