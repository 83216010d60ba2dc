"""Attempts wait at a worker of Ray only where they take no time."""

import time
from typing import Any

import pytest

from mml.runners.ray_slots import SETTLED, Pace, Slot, total, with_more
from tests.support.toy_worker import work


class Actor:
    """Takes work as a handle of Ray's does."""

    class execute:  # noqa: N801 - a method of an actor has a method `remote`
        @staticmethod
        def remote(data: bytes) -> Any:
            return object()


def ready() -> Slot:
    slot = Slot(Actor(), {"CPU": 1.0}, object())
    slot.name = "host-1"
    return slot


@pytest.mark.parametrize(
    ("seconds", "depth"),
    [([], 1), ([10.0], 1), ([0.05], 1), ([0.01], 5), ([0.0], 16), ([0.0, 10.0], 1), ([10.0, *[0.0] * 20], 5)],
    ids=["unknown", "slow", "limit", "quick", "no time", "became slow", "became quick"],
)
def test_only_quick_commands_wait_behind_one_another(seconds: list[float], depth: int) -> None:
    pace = Pace()
    for each in seconds:
        pace.note("work", each)
    assert pace.depth("work") == pytest.approx(depth, abs=11 if depth == 5 and len(seconds) > 9 else 0)
    assert pace.depth("other") == 1


def test_latest_command_tells_what_may_come() -> None:
    pace = Pace()
    assert pace.recent == 1
    pace.note("quick", 0.0)
    assert pace.recent == 16
    pace.note("slow", 9.0)
    assert pace.recent == 1


def test_nothing_waits_behind_what_killed_a_worker() -> None:
    pace = Pace()
    pace.note("work", 0.0)
    pace.note_death("work")
    assert pace.depth("work") == 1


def test_worker_is_idle_when_it_has_started_and_has_no_work() -> None:
    slot = Slot(Actor(), {}, object())
    assert not slot.ready
    assert not slot.idle
    slot.name = "host-1"
    assert slot.idle
    ref = slot.start(work(0, "nothing"), b"")
    assert not slot.idle
    slot.finish(ref)
    assert slot.idle


def test_time_of_an_attempt_counts_from_the_end_of_the_one_before() -> None:
    slot = ready()
    first, second = slot.start(work(0, "nothing"), b""), slot.start(work(1, "nothing"), b"")
    slot.since -= 100
    assert slot.finish(first) >= 100
    assert slot.finish(second) < 100


def test_attempt_is_written_down_once_and_only_if_it_goes_on() -> None:
    slot = ready()
    ref = slot.start(work(0, "sleep", 9), b"")
    assert slot.settled() == []
    slot.since = time.monotonic() - SETTLED
    assert slot.settled() == [work(0, "sleep", 9)]
    assert slot.settled() == []
    slot.finish(ref)
    assert slot.settled() == []


def test_amounts_are_added_and_taken_away() -> None:
    assert total([]) == {}
    assert total([{"CPU": 1.0}, {"CPU": 2.0, "GPU": 0.5}]) == {"CPU": 3.0, "GPU": 0.5}
    assert with_more({"CPU": 4.0}, {"GPU": 1.0}) == {"CPU": 4.0, "GPU": 1.0}
    assert with_more({"CPU": 4.0}, {"CPU": 1.0}, -1) == {"CPU": 3.0}
