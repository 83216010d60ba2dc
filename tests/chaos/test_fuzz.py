"""A seeded part of the fuzzing, and that it would find something."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos import fuzz
from mml.core.data_loading.task_attributes import TaskType
from mml.core.scripts.exceptions import MMLError

# Seeded, and in seconds; `python -m chaos fuzz` tries 10,000 of each.
SHORT = settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def description_user(tmp_path_factory: pytest.TempPathFactory) -> fuzz.DescriptionUser:
    return fuzz.DescriptionUser(fuzz.make_world(tmp_path_factory.mktemp("fuzz") / "descriptions"))


@pytest.fixture(scope="module")
def journal_user(tmp_path_factory: pytest.TempPathFactory) -> fuzz.JournalUser:
    return fuzz.JournalUser(fuzz.make_world(tmp_path_factory.mktemp("fuzz") / "journals"))


@pytest.mark.parametrize("kind", sorted(TaskType)[:1] + [TaskType.CLASSIFICATION, TaskType.REGRESSION])
def test_an_untouched_description_is_used_without_an_error(
    description_user: fuzz.DescriptionUser, kind: TaskType
) -> None:
    if kind in fuzz._KINDS:
        description_user.use(json.dumps(fuzz.base_description(kind)).encode())


def test_an_untouched_journal_is_used_without_an_error(journal_user: fuzz.JournalUser) -> None:
    journal_user.use(b"".join(map(fuzz.journal_line, journal_user.lines)))
    journal_user.use(b"")


def test_no_description_makes_mml_stumble(description_user: fuzz.DescriptionUser) -> None:
    @SHORT
    @given(fuzz.descriptions())
    def attempt(data: bytes) -> None:
        assert fuzz.fault_of(description_user.use, data, description_user.world.root) is None

    attempt()


def test_no_journal_makes_mml_stumble(journal_user: fuzz.JournalUser) -> None:
    @SHORT
    @given(fuzz.journals(journal_user.lines))
    def attempt(data: bytes) -> None:
        assert fuzz.fault_of(journal_user.use, data, journal_user.world.root) is None

    attempt()


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (MMLError("what, and the fix"), None),
        (MMLError(""), "an error without a word"),
        (KeyError("deep"), "KeyError: 'deep'"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
)
def test_only_an_error_for_the_user_is_right(tmp_path: Path, error: Exception, fault: str | None) -> None:
    def use(_: bytes) -> None:
        raise error

    assert fuzz.fault_of(use, b"", tmp_path) == fault


def test_a_hang_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "_SECONDS", 1)

    def use(_: bytes) -> None:
        while True:
            pass

    assert fuzz.fault_of(use, b"", tmp_path) == "hangs for more than 1 s"


def test_a_file_that_is_touched_outside_of_its_place_is_found(tmp_path: Path) -> None:
    world = fuzz.make_world(tmp_path / "world")
    assert fuzz.fault_of(lambda _: (world.results / "x").write_text("fine") and None, b"", world.root) is None
    for place in (world.root, world.results, world.results / "default", world.data):
        (place / "precious").write_text("precious")
        touched = fuzz.fault_of(lambda _, place=place: (place / "precious").unlink(), b"", world.root)
        assert touched == "files outside were touched"
    touched = fuzz.fault_of(lambda _: (world.root / "escaped").touch(), b"", world.root)
    assert touched == "files outside were touched"


def test_all_inputs_are_tried_and_those_that_lose_are_kept(tmp_path: Path) -> None:
    world = fuzz.make_world(tmp_path / "world")
    seen: list[bytes] = []

    def use(data: bytes) -> None:
        seen.append(data)
        if data == b"\0":
            raise KeyError(data)

    losses = fuzz.try_inputs(st.binary(max_size=1), use, world, 600, 3)
    assert len(seen) >= 600
    assert {loss.data for loss in losses} == {b"\0"}


@given(st.data())
@settings(derandomize=True, deadline=None, max_examples=50)
def test_a_mutated_value_is_json_and_leaves_the_first_as_it_was(data: Any) -> None:
    value = fuzz.base_description(TaskType.CLASSIFICATION)
    before = json.dumps(value)
    json.dumps(fuzz.mutated(data.draw, value, 3))
    assert json.dumps(value) == before


def test_a_sample_is_as_large_as_asked_for() -> None:
    sample = fuzz._Sample(5, 1)
    for number in range(100):
        assert sample.take(b"%d" % number) == b"%d" % number
    assert len(sample.kept) == 5
    assert sample.kept != [b"%d" % number for number in range(5)]
