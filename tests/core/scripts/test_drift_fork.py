"""Decisions on steps, from records alone: no run, no disk."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mml.core.data_loading.task_struct import StructState
from mml.core.scripts.drift_fork import NewRun, OldRun, Takeover, Verdict
from mml.core.scripts.drift_structs import change_between, nothing
from mml.core.scripts.journal import Done, Planned, RunRecord
from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.schedule import StepRecord, restore_step

Plan = Sequence[tuple[str, list[int] | None]]
DONE: dict[str, Any] = {}


def record(plan: Plan, done: dict[int, dict[str, Any]], **planned: Any) -> RunRecord:
    """Return the record of a run: its plan, each step a command and what it comes after, and what was done in order."""
    steps = [StepRecord(command, [], after) for command, after in plan]
    events = [Done(time=0.0, step=position, seconds=1.0, **fields) for position, fields in done.items()]
    return RunRecord([Planned(time=0.0, steps=steps, **planned), *events])


def decided(old: RunRecord, new: RunRecord, unusable: Iterable[str] = ()) -> list[Verdict]:
    """Return what becomes of all steps; commands that begin with `x` depend on a key that differs."""
    roots = PathRoots(Path("/results"), Path("/data"))
    names = set(unusable)

    def step_config(command: str) -> list[str]:
        return ["key"] if command.startswith("x") else []

    def fault(files: Iterable[str]) -> str:
        return next((f"made {name}, which is gone" for name in files if name in names), "")

    run = NewRun(new, {"key": 2}, step_config, fault)
    steps = [restore_step(position, planned, roots) for position, planned in enumerate(new.plan or [])]
    takeover = Takeover(OldRun("p/old", old, {"key": 1}), run, steps[: new.base_plan])
    verdicts: list[Verdict] = []
    while len(verdicts) < len(steps):
        step = steps[len(verdicts)]
        if step.position in new.done:
            verdicts.append(takeover.accept(step))
            continue
        verdicts.append(takeover.decide(step, len(steps)))
        if done := verdicts[-1].done:
            new.apply(done)
            steps += [restore_step(len(steps) + number, grown, roots) for number, grown in enumerate(done.grown)]
    return verdicts


def reasons(verdicts: list[Verdict]) -> list[str]:
    return [verdict.reason for verdict in verdicts]


def state(*folds: int, paths: dict[str, str] | None = None, **fields: Any) -> StructState:
    return StructState(paths or {}, [{"task": "t", "fold": fold, "parameters": f"w{fold}", **fields} for fold in folds])


def change(before: StructState, after: StructState) -> dict[str, Any]:
    return {"tasks": {"t": change_between(before, after)}}


SEQUENCE: Plan = [("a", None), ("b", None), ("c", None)]
APART: Plan = [("a", []), ("b", []), ("c", [0])]
ALL = {0: DONE, 1: DONE, 2: DONE}


@pytest.mark.parametrize(
    ("old", "done", "new", "expected"),
    [
        (SEQUENCE, ALL, SEQUENCE, ["", "", ""]),
        (SEQUENCE, {0: DONE}, SEQUENCE, ["", "was not finished", "was not finished"]),
        (SEQUENCE, ALL, [("a", None), ("c", None)], ["", "came after b() there"]),
        (SEQUENCE, ALL, [("b", None)], ["came after a() there"]),
        (SEQUENCE, ALL, [("b", [])], [""]),
        (SEQUENCE, ALL, [("a", None), ("n", None), ("b", None)], ["", "is no step of p/old", "comes after n()"]),
        (
            [("x", None), ("b", None)],
            {0: DONE, 1: DONE},
            [("x", None), ("b", None)],
            ["depends on key", "comes after x()"],
        ),
        (APART, {1: DONE, 2: DONE}, APART, ["was not finished", "", "comes after a()"]),
        (APART, ALL, [("b", []), ("a", []), ("c", [1])], ["", "", ""]),
        (
            [("a", []), ("a", [])],
            {0: DONE},
            [("a", []), ("a", []), ("a", [])],
            ["", "was not finished", "is no step of p/old"],
        ),
    ],
)
def test_a_step_is_taken_over_with_all_that_it_comes_after(
    old: Plan, done: dict[int, dict[str, Any]], new: Plan, expected: list[str]
) -> None:
    assert reasons(decided(record(old, done), record(new, {}))) == expected


def test_many_keys_are_cut() -> None:
    old = OldRun("old", record([("a", None)], {0: DONE}), {f"key{number}": 1 for number in range(9)})
    new = NewRun(record([("a", None)], {}), {}, lambda _: None, lambda _: "")
    (step,) = [verdict.step for verdict in decided(old.record, record([("a", None)], {}))]
    verdict = Takeover(old, new, [step]).decide(step, 1)
    assert verdict.reason == "depends on key0, key1, key2 and 6 more"


def test_what_was_reused_has_to_be_the_same() -> None:
    found, other = {"t": {"paths": {"a": "1"}}}, {"t": {"paths": {"a": "2"}}}
    plan: Plan = [("a", None)]
    what = "depends on what reuse found for t, which is something else now"
    assert reasons(decided(record(plan, {0: DONE}, tasks=found), record(plan, {}, tasks=found))) == [""]
    assert reasons(decided(record(plan, {0: DONE}, tasks=found), record(plan, {}, tasks=other))) == [what]
    assert reasons(decided(record(plan, {0: DONE}, tasks=found), record(plan, {}))) == [what]
    here = decided(record(plan, {0: DONE}, reused={"all": "1"}), record(plan, {}, reused={"all": "2"}))
    assert reasons(here) == ["depends on what reuse found, which is something else now"]


def test_only_the_tasks_that_a_step_names_count_for_it() -> None:
    steps = [
        StepRecord("a", ["t"]),
        StepRecord("a", ["u"], []),
        StepRecord("a", [["u", {"k": "t"}]], []),
        StepRecord("a", [1], []),
    ]
    done = [Done(time=0.0, step=position, seconds=0.0) for position in range(4)]
    old = RunRecord([Planned(time=0.0, steps=steps, data={"t": "1", "u": "1"}), *done])
    new = RunRecord([Planned(time=0.0, steps=steps, data={"t": "2", "u": "1"})])
    what = "depends on the data of t, which changed"
    assert reasons(decided(old, new)) == [what, "", what, what]


def test_a_task_that_one_of_the_runs_does_not_have_changed_for_neither() -> None:
    old = record([("a", None)], {0: DONE}, data={"t": "1"})
    assert reasons(decided(old, record([("a", None)], {}, data={"u": "1"}))) == [""]


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        ({0: {"value": 1}, 1: {"value": 2}, 2: {"value": 3}}, ["", "", ""]),
        ({1: {"value": 1}, 2: DONE}, ["was not finished", "its return value builds on a(), which runs anew", ""]),
        ({0: {"value": 2}, 2: DONE, 1: {"value": 1}}, ["", "", ""]),
        # done in another order: the value of `a` has that of `b` in it
        (
            {1: {"value": 1}, 0: {"value": 2}, 2: DONE},
            [
                "its return value builds on steps that this run does not have before it",
                "its return value builds on a(), which runs anew",
                "",
            ],
        ),
    ],
)
def test_a_return_value_is_that_of_all_steps_up_to_it(done: dict[int, dict[str, Any]], expected: list[str]) -> None:
    plan: Plan = [("a", []), ("b", []), ("c", [])]
    assert reasons(decided(record(plan, done), record(plan, {}))) == expected


def test_a_value_that_a_step_left_out_had_added_to_is_not_taken_over() -> None:
    old = record([("n", []), ("a", [])], {0: {"value": [1]}, 1: {"value": [1, 2]}})
    assert reasons(decided(old, record([("a", [])], {}))) == [
        "its return value builds on steps that this run does not have before it"
    ]


def test_steps_that_were_added_keep_what_they_need_wherever_they_come_to_stand() -> None:
    grown = [StepRecord("g", [1], [0]), StepRecord("g", [2], [1, 2])]
    old = record([("a", []), ("n", [])], {0: {"grown": grown}, 1: DONE, 2: DONE, 3: DONE})
    new = record([("a", []), ("n", []), ("more", [])], {})
    verdicts = decided(old, new)
    assert reasons(verdicts) == ["", "", "is no step of p/old", "", ""]
    assert verdicts[0].done is not None
    assert [added.after for added in verdicts[0].done.grown] == [[0], [1, 3]]
    # without one of the steps that they need, those that add them are done again
    assert reasons(decided(old, record([("a", [])], {}))) == [
        "added steps that need others, which this run does not have"
    ]


def test_steps_are_not_added_before_those_of_a_step_that_runs_anew() -> None:
    old = record([("a", []), ("b", [])], {1: {"grown": [StepRecord("g", [])]}})
    assert (
        reasons(decided(old, record([("a", []), ("b", [])], {})))[1]
        == "it adds steps behind those of a(), which runs anew"
    )


def test_what_a_step_did_to_structs_is_made_again_without_that_of_others() -> None:
    done = {
        0: change(nothing(), state(0)),
        1: change(state(0), state(0, metrics=["test"])),
        2: change(
            state(0, metrics=["test"]),
            StructState({"p": "file"}, [*state(0, metrics=["test"]).models, *state(1).models]),
        ),
    }
    plan: Plan = [("a", []), ("x", [0]), ("c", [])]
    verdicts = decided(record(plan, done), record(plan, {}))
    assert reasons(verdicts) == ["", "depends on key", ""]
    last = verdicts[2].done
    assert last is not None
    assert last.tasks["t"] == {"paths": {"p": "file"}, "keep": 1, "models": state(1).models}
    assert last.source == "p/old"


def test_a_step_that_altered_what_is_not_there_is_done_again() -> None:
    done = {0: change(nothing(), state(0)), 1: change(state(0), state(0, metrics=["test"]))}
    plan: Plan = [("x", []), ("b", [])]
    expected = ["depends on key", "altered what steps made that are not taken over"]
    assert reasons(decided(record(plan, done), record(plan, {}))) == expected


def test_a_step_whose_files_can_not_be_used_is_done_again() -> None:
    done = {0: change(nothing(), state(0)), 1: change(state(0), state(0, 1))}
    plan: Plan = [("a", []), ("b", [])]
    assert reasons(decided(record(plan, done), record(plan, {}), ["w1"])) == ["", "made w1, which is gone"]


def test_half_taken_over_it_goes_on_as_if_it_had_not_been_stopped() -> None:
    grown = [StepRecord("g", [], [0])]
    done = {0: {"grown": grown, **change(nothing(), state(0))}, 1: change(state(0), state(0, 1)), 2: DONE}
    plan: Plan = [("a", []), ("b", [])]
    whole = decided(record(plan, done), record(plan, {}))
    assert reasons(whole) == ["", "", ""]
    for stopped in range(3):
        new = record(plan, {})
        for verdict in whole[:stopped]:
            assert verdict.done is not None
            new.apply(verdict.done)
        again = decided(record(plan, done), new)
        assert [(v.step, v.done and v.done.tasks, v.done and v.done.grown) for v in again] == [
            (v.step, v.done and v.done.tasks, v.done and v.done.grown) for v in whole
        ]


@pytest.mark.parametrize(("source", "said"), [("", "p/old"), ("first", "p/first"), ("q/first", "q/first")])
def test_the_run_that_did_a_step_is_named_in_the_words_of_the_new_one(source: str, said: str) -> None:
    (verdict,) = decided(record([("a", None)], {0: {"source": source}}), record([("a", None)], {}))
    assert verdict.done is not None
    assert (verdict.done.source, verdict.done.seconds) == (said, 0.0)
