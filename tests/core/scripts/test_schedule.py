"""Steps are values: compared, recorded and restored without loss, and refused when that is not possible."""

import math
import re
from enum import Enum, IntEnum, StrEnum
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mml.core.scripts.exceptions import PlanError
from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.resources import Resources
from mml.core.scripts.schedule import (
    Step,
    StepDetails,
    StepRecord,
    check_same_plan,
    checked_after,
    make_step,
    planned_details,
    refuse_cycles,
    remaining,
    restore_step,
    step_seed,
)

ROOTS = PathRoots(Path("/home/me/results"), Path("/home/me/data"))


class Color(StrEnum):
    RED = "red"


class OldColor(str, Enum):  # noqa: UP042 # as older code has them
    RED = "red"


class Rank(IntEnum):
    FIRST = 1


def step(*params: Any, position: int = 0, command: str = "train", roots: PathRoots = ROOTS) -> Step:
    return make_step(position, command, params, roots)


PARAMS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
    | st.sampled_from([Path("/home/me/results/p/x"), Path("/home/me/data/y"), Path("/etc/z")]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(PARAMS, max_size=4))
def test_any_step_comes_back_from_the_journal_with_its_key(params: list[Any]) -> None:
    planned = step(*params)
    record = msgspec.json.decode(msgspec.json.encode(planned.record), type=StepRecord)
    restored = restore_step(0, record, ROOTS)
    assert restored == planned
    assert repr(restored.params) == repr(planned.params) == repr(params)
    assert record.key == planned.key


# --- keys


def test_equal_steps_have_equal_keys_wherever_they_stand() -> None:
    assert step({"a": 1, "b": [2]}).key == step({"b": [2], "a": 1}, position=7).key


@pytest.mark.parametrize(
    "other",
    [
        step("a", 2),
        step("a", 1, command="test"),
        step("a"),
        step("a", "1"),
        step("a", 1.0),
        step("a", True),
        step(["a", 1]),
    ],
    ids=str,
)
def test_other_steps_have_other_keys(other: Step) -> None:
    assert step("a", 1).key != other.key


def test_key_is_short_and_the_same_in_every_process() -> None:
    assert step("a", 1).key == "6172854496923d00"


def test_key_of_a_path_is_the_same_in_a_moved_folder() -> None:
    moved = PathRoots(Path("/mnt/results"), Path("/mnt/data"))
    here = step(Path("/home/me/results/p/x"), [Path("/home/me/data/y")])
    there = step(Path("/mnt/results/p/x"), [Path("/mnt/data/y")], roots=moved)
    assert here.key == there.key
    assert restore_step(0, here.record, moved).params == there.params


def test_text_and_path_differ() -> None:
    assert step("/etc/x").key != step(Path("/etc/x")).key


# --- params


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (Color.RED, "red"),
        (OldColor.RED, "red"),
        (Rank.FIRST, 1),
        (np.float64(0.5), 0.5),
        (OmegaConf.create([1, {"a": "${b}", "b": 2}]), None),
        (OmegaConf.create({"a": [1, "${c}"], "c": 3}), {"a": [1, 3], "c": 3}),
        ([OmegaConf.create([1])], [[1]]),
        ({Color.RED: {Color.RED: None}}, {"red": {"red": None}}),
    ],
)
def test_relatives_of_json_values_become_plain(given: Any, plain: Any) -> None:
    if plain is None:  # an interpolation is resolved where it stands
        given, plain = OmegaConf.create({"b": 2, "x": [1, {"a": "${b}"}]}).x, [1, {"a": 2}]
    found = step(given).params[0]
    assert found == plain
    assert type(found) is type(plain)
    assert "Enum" not in repr(found)


def test_command_gets_copies_of_lists_and_dicts() -> None:
    given = [{"a": [1]}]
    planned = step(given)
    planned.params[0][0]["a"].append(2)
    assert given == [{"a": [1]}]
    assert planned.record.params == [[{"a": [1]}]]


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ((1, 2), r"\(1, 2\) of type tuple"),
        ({1}, r"\{1\} of type set"),
        (math.nan, "nan of type float"),
        (math.inf, "inf of type float"),
        (object(), "<object object .* of type object"),
        (np.int64(3), "3.* of type int64"),
        (np.float32(3), "3.* of type float32"),
        (np.zeros(1), "array.* of type ndarray"),
        ({1: "a"}, r"\{1: 'a'\} of type dict"),
        ({None: 1}, r"\{None: 1\} of type dict"),
        ({"$path": "x"}, r"\{'\$path': 'x'\} of type dict"),
        (b"a", "b'a' of type bytes"),
        (1j, "1j of type complex"),
        (2**64, f"{2**64} of type int"),
        (-(2**63) - 1, f"{-(2**63) - 1} of type int"),
        (PurePosixPath("a"), r"PurePosixPath\('a'\) of type PurePosixPath"),
        (len, "<built-in function len> of type builtin_function_or_method"),
        ([{"a": [{1}]}], r"\{1\} of type set"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "says",
)
def test_param_that_can_not_be_journaled_is_refused_by_step_and_value(value: Any, named: str) -> None:
    with pytest.raises(PlanError, match=f"^Value .*{named}, param 1 of step 4, train, can't be journaled. Params have"):
        step("fine", value, position=3)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("\udce9", "surrogates not allowed"),
        ({"\udce9": 1}, "surrogates"),
        (ENDLESS, "recursion"),
        (Path("\udce9"), "surr"),
    ],
    ids=repr,
)
def test_param_that_json_can_not_hold_is_refused_by_step(value: Any, reason: str) -> None:
    with pytest.raises(PlanError, match=f"^Step 4, train, can't be journaled: .*{reason}"):
        step(value, position=3)


@pytest.mark.parametrize("params", ["abc", {"a": 1}, None, 3, {1}])
def test_params_that_are_no_list_are_refused(params: Any) -> None:
    with pytest.raises(PlanError, match=r"Params of step 1, train, have to be a list with a value per argument, not"):
        make_step(0, "train", params, ROOTS)


def test_params_may_come_from_the_config() -> None:
    assert make_step(0, "train", OmegaConf.create(["a", [1]]), ROOTS).params == ["a", [1]]


def test_step_shows_what_it_calls() -> None:
    assert str(step("a", 1, Path("/home/me/results/x"), None).record) == "train('a', 1, 'x', None)"


# --- plans


@pytest.mark.parametrize(
    ("position", "after", "needs"), [(0, None, []), (3, None, [2]), (3, [], []), (3, [0, 2], [0, 2])]
)
def test_step_needs_the_one_before_it_unless_it_says_otherwise(
    position: int, after: list[int] | None, needs: list[int]
) -> None:
    assert make_step(position, "work", [], ROOTS, StepDetails(after)).needs == needs


def test_what_a_step_comes_after_survives_the_journal_and_is_no_part_of_its_key() -> None:
    first, second = make_step(3, "work", [], ROOTS, StepDetails([1])), make_step(3, "work", [], ROOTS)
    assert first.key == second.key
    read = msgspec.json.decode(msgspec.json.encode(first.record), type=StepRecord)
    assert restore_step(3, read, ROOTS).needs == [1]


@pytest.mark.parametrize(("given", "kept"), [(None, None), ((), []), ((2, 0, 2), [0, 2]), (iter([1]), [1])])
def test_positions_are_sorted_each_once(given: Any, kept: list[int] | None) -> None:
    assert checked_after(given, 3, "work") == kept


@pytest.mark.parametrize("after", [[3], [-1], [4], [True], [""], [1.0], 1, "0", [0, 3]])
def test_positions_that_are_not_those_of_earlier_steps_are_refused(after: Any) -> None:
    named = rf"Step 4, work, can't come after {re.escape(repr(after))}\..*earlier steps \(from 0 to 2\)"
    with pytest.raises(PlanError, match=named):
        checked_after(after, 3, "work")


def test_names_are_kept_behind_positions_each_once() -> None:
    assert checked_after(["b", 2, "a", "b", 0], 3, "work") == [0, 2, "b", "a"]


def planned(*details: StepDetails) -> list[Step]:
    resolved = planned_details(dict(enumerate(details)), range(len(details)))
    return [make_step(number, "work", [number], ROOTS, resolved[number]) for number in range(len(details))]


def test_names_become_positions_also_those_of_later_steps() -> None:
    steps = planned(
        StepDetails(["end", "mid"]), StepDetails([0], "tail"), StepDetails([], "mid"), StepDetails([2], "end")
    )
    assert [step.needs for step in steps] == [[2, 3], [0], [], [2]]
    assert [step.record.name for step in steps] == ["", "tail", "mid", "end"]
    refuse_cycles(steps)


def test_name_that_no_step_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(PlanError, match=r"Step 2 comes after 'trian', but no step .*Did you mean 'train'\?"):
        planned(StepDetails([], "train"), StepDetails(["trian"]))


def test_name_of_two_steps_is_refused() -> None:
    with pytest.raises(PlanError, match=r"name 'a': step 1 and step 3\."):
        planned(StepDetails([], "a"), StepDetails([], "b"), StepDetails([], "a"))


def test_details_without_names_are_found_at_no_cost() -> None:
    assert planned_details({}, range(3)) == {}
    assert planned_details({1: StepDetails([0]), 7: StepDetails([], "x")}, range(3)) == {1: StepDetails([0])}


def chained(after: list[list[int | str]]) -> list[Step]:
    return planned(*(StepDetails(needs, name) for needs, name in zip(after, "abc", strict=False)))


@pytest.mark.parametrize("after", [[[], ["a"]], [["b"], []], [["c"], ["a"], []]])
def test_steps_that_can_have_their_turn_are_accepted(after: list[list[int | str]]) -> None:
    refuse_cycles(chained(after))


@pytest.mark.parametrize(
    ("after", "circle"),
    [([["a"]], {1}), ([["b"], ["a"]], {1, 2}), ([["c"], ["a"], ["b"]], {1, 2, 3}), ([[], ["c", "a"], ["b"]], {2, 3})],
)
def test_steps_that_wait_for_one_another_are_refused(after: list[list[int | str]], circle: set[int]) -> None:
    with pytest.raises(PlanError, match="steps wait for one another: step") as caught:
        refuse_cycles(chained(after))
    numbers = [int(number) for number in re.findall(r"step (\d+)", str(caught.value))]
    assert {*numbers} == circle
    assert numbers[0] == numbers[-1]
    for step, needed in pairwise(numbers):
        assert needed - 1 in chained(after)[step - 1].needs


def test_name_and_resources_survive_the_journal_and_are_no_part_of_the_key() -> None:
    details = StepDetails([], "first", Resources(cpus=2, memory=10))
    first = make_step(0, "work", [], ROOTS, details)
    read = msgspec.json.decode(msgspec.json.encode(first.record), type=StepRecord)
    assert (read.name, read.resources) == ("first", Resources(cpus=2, memory=10))
    assert first.key == make_step(0, "work", [], ROOTS).key


def test_records_without_names_are_read_as_they_were_written_before() -> None:
    assert msgspec.json.decode(b'["work",[1]]', type=StepRecord) == StepRecord("work", [1])


def test_first_step_can_come_after_nothing() -> None:
    with pytest.raises(PlanError, match="of which there are none yet"):
        checked_after([0], 0, "work")


def plan(*names: str) -> list[Step]:
    return [make_step(position, name, [position], ROOTS) for position, name in enumerate(names)]


@pytest.mark.parametrize(
    ("done", "left"),
    [([], [0, 1, 2]), ([0], [1, 2]), ([2, 0], [1]), ([0, 1, 2], []), ([7], [0, 1, 2]), ([0, 0], [1, 2])],
)
def test_what_is_not_done_remains_in_order(done: list[int], left: list[int]) -> None:
    assert [item.position for item in remaining(plan("a", "b", "c"), done)] == left


def test_thousands_of_steps_are_planned_and_compared() -> None:
    steps = plan(*["work"] * 5000)
    check_same_plan([item.record for item in steps], [item.record for item in steps])
    assert len({item.key for item in steps}) == 5000
    assert [item.position for item in remaining(steps, range(4999))] == [4999]


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ([], [], None),
        (["a", "b"], ["a", "b"], None),
        (["a", "b"], ["a", "c"], r"step 2 was b\(1\), now it is c\(1\)"),
        (["a"], ["a", "b"], "it had 1 steps, now it has 2"),
        (["a", "b"], [], "it had 2 steps, now it has 0"),
        (["a", "b", "c"], ["b"], r"step 1 was a\(0\), now it is b\(0\)"),
    ],
)
def test_other_plan_is_refused_with_the_first_difference(
    old: list[str], new: list[str], difference: str | None
) -> None:
    records = [[item.record for item in plan(*names)] for names in (old, new)]
    if difference is None:
        check_same_plan(*records)
        return
    with pytest.raises(PlanError, match=f"^The plan is not the one .*: {difference}. Continue with the code"):
        check_same_plan(*records)


def test_plan_whose_steps_come_after_others_is_the_same_plan() -> None:
    was, now = make_step(1, "work", [], ROOTS), make_step(1, "work", [], ROOTS, [])
    check_same_plan([was.record], [now.record])


def test_plan_with_an_equal_but_other_param_is_refused() -> None:
    with pytest.raises(PlanError, match=r"step 1 was train\(1\), now it is train\(True\)"):
        check_same_plan([step(1).record], [step(True).record])


# --- seeds


def test_seed_of_a_step_depends_on_the_seed_of_the_run_and_its_key_alone() -> None:
    key, other = step("a", 1).key, step("a", 2).key
    assert step_seed(42, key) == step_seed(42, key)
    assert len({step_seed(42, key), step_seed(43, key), step_seed(42, other)}) == 3


@given(st.integers(), st.text(st.characters(codec="utf-8")))
def test_seed_of_a_step_has_32_bits(seed: int, key: str) -> None:
    assert 0 <= step_seed(seed, key) < 2**32


@pytest.mark.parametrize("text", ["../up", 5, "data:../up", "a\0"])
def test_a_recorded_path_that_leads_elsewhere_is_refused(text: Any) -> None:
    with pytest.raises(PlanError, match="Step 3 of the recorded plan, train, can't be restored"):
        restore_step(2, StepRecord("train", [[{"$path": text}]]), ROOTS)
