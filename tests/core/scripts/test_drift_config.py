from typing import Any

import pytest

from mml.core.scripts.drift_config import MISSING, Difference, concerning, differences, flatten, is_where, value_text


@pytest.mark.parametrize(
    ("key", "may"),
    [
        ("trainer.checkpoint_minutes", True),
        ("on_error", True),
        ("retries", True),
        ("retry_pause", True),
        ("retries_lost", True),
        ("notify.urls", True),
        ("runner._target_", True),
        ("sys.num_workers", True),
        ("proj", True),
        ("on_errors", False),
        ("trainer", False),
        ("optimizer.retries", False),
    ],
)
def test_keys_that_say_how_a_run_goes_on_do_not_say_what_it_is(key: str, may: bool) -> None:
    assert is_where(key) is may


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, True), ("1", 1), ([1], [1.0]), ([[1]], [[True]]), ([{"a": 0}], [{"a": False}]), ([], {}), ([1], [])],
)
def test_values_of_other_types_differ(one: Any, other: Any) -> None:
    assert differences({"key": one}, {"key": other}) == [Difference("key", one, other)]


@pytest.mark.parametrize("value", [1, float("nan"), [float("nan"), {"a": None}], {}, [], None, "text"])
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert differences({"key": value}, {"key": value}) == []


def test_a_group_that_comes_or_goes_differs_in_itself_and_in_its_keys() -> None:
    changes = differences({"tune": None, "arch": {"width": 1}}, {"tune": {"lr": True}, "arch": None})
    assert set(changes) == {
        Difference("tune", None, MISSING),
        Difference("tune.lr", MISSING, True),
        Difference("arch.width", 1, MISSING),
        Difference("arch", MISSING, None),
    }


def changed(*keys: str) -> list[Difference]:
    return [Difference(key, 1, 2) for key in keys]


@pytest.mark.parametrize(
    ("keys", "concerned"),
    [
        (None, ["optimizer.lr", "optimizers.lr", "mode.keep", "trainer.max_epochs", "task_list", "seed"]),
        ([], ["seed"]),
        (["optimizer"], ["optimizer.lr", "seed"]),
        (["optimizer.lr", "mode.keep"], ["optimizer.lr", "mode.keep", "seed"]),
        (["mode", "~mode.keep"], ["seed"]),
        (["trainer", "~trainer"], ["seed"]),
    ],
)
def test_a_step_is_concerned_by_its_keys_and_never_by_where_it_runs(
    keys: list[str] | None, concerned: list[str]
) -> None:
    where = changed("logging.level", "trainer.devices", "data_dir", "fork", "continue", "on_error")
    what = changed("optimizer.lr", "optimizers.lr", "mode.keep", "trainer.max_epochs", "task_list", "seed")
    assert [change.key for change in concerning([*where, *what], keys)] == concerned


def test_another_class_of_scheduler_concerns_every_step() -> None:
    assert concerning(changed("mode.scheduler._target_"), []) == changed("mode.scheduler._target_")


def test_lists_and_empty_groups_are_leaves() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": [1], "e": {}}) == {"a.b.c": 1, "d": [1], "e": {}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0.1, "0.1"),
        (MISSING, "<nothing>"),
        ([1, "a"], "[1, 'a']"),
        ("x" * 61, "x" * 57 + "..."),
    ],
)
def test_values_are_said_as_they_are_typed(value: Any, text: str) -> None:
    assert value_text(value) == text
