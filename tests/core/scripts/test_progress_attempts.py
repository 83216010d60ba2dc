"""Several steps at once: which run, in which places, and what their workers say of them."""

import os
import time
from pathlib import Path

import pytest

from mml.core.scripts import progress_attempts
from mml.core.scripts.progress_attempts import Attempts, some, states
from mml.core.scripts.progress_state import Live, LiveBar, encode_live


def say(folder: Path, worker: str, step: int, name: str = "", completed: float = 0.0, elapsed: float = 1.0) -> Path:
    """Write what a worker of a run folder says."""
    (folder / "workers" / worker).mkdir(parents=True, exist_ok=True)
    bars = [LiveBar("epoch", completed, 5, left=10.0, elapsed=elapsed)]
    beside = folder / "workers" / worker / "beside"
    beside.write_bytes(encode_live(Live(time.time(), 1, step, 9, name, bars=bars, elapsed=elapsed)))
    return beside.replace(folder / "workers" / worker / "live.json")


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    attempts = Attempts()
    attempts.follow(tmp_path)
    return attempts


def workers_of(attempts: Attempts) -> dict[int, str]:
    return {state.number: state.worker for state in states(attempts, time.monotonic())}


def test_a_place_is_used_again_and_the_others_stay_in_theirs() -> None:
    attempts = Attempts()
    for number in (1, 2, 3):
        attempts.begin(number, "a")
    attempts.end(2)
    attempts.begin(4, "a")
    attempts.begin(5, "a")
    assert [attempt.number for attempt in attempts.running()] == [1, 4, 3, 5]
    for number in (1, 4, 3, 5):
        attempts.end(number)
    attempts.begin(6, "a")
    attempts.begin(7, "a")
    assert [(attempt.number, attempt.slot) for attempt in attempts.running()] == [(6, 0), (7, 1)]


def test_another_attempt_at_a_step_takes_the_place_of_the_first() -> None:
    attempts = Attempts()
    first = attempts.begin(1, "a")
    second = attempts.begin(1, "a")
    assert attempts.running() == [second]
    assert attempts.end(1) is second is not first
    assert attempts.end(1) is None


def test_what_workers_say_belongs_to_their_steps(attempts: Attempts, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        attempts.begin(number, f"train({number})")
    say(tmp_path, "w1", 2, "train(2)", completed=3)
    say(tmp_path, "w2", 1, "train(1)", completed=1)
    say(tmp_path, "w3", 7)
    attempts.look()
    assert workers_of(attempts) == {1: "w2", 2: "w1", 3: ""}
    first, _, last = states(attempts, time.monotonic() + 4)
    assert (first.number, first.bars[0].completed) == (1, 1)
    assert first.elapsed == pytest.approx(5, abs=0.9)
    assert first.bars[0].left == pytest.approx(6, abs=0.9)
    assert first.bars[0].elapsed == pytest.approx(5, abs=0.9)
    assert last.elapsed == pytest.approx(4, abs=0.9)


def test_news_are_read_and_what_is_known_is_not_read_again(attempts: Attempts, tmp_path: Path) -> None:
    attempts.begin(1, "a")
    path = say(tmp_path, "w1", 1, completed=1)
    attempts.look()
    seen = attempts.running()[0].seen
    attempts.look()
    assert attempts.running()[0].seen == seen
    say(tmp_path, "w1", 1, completed=2)
    attempts.look()
    assert states(attempts, 0)[0].bars[0].completed == 2
    path.write_bytes(b"{")
    attempts.look()
    path.unlink()
    attempts.look()
    assert states(attempts, 0)[0].bars[0].completed == 2


def test_what_a_dead_worker_left_is_not_taken_for_the_next_attempt(attempts: Attempts, tmp_path: Path) -> None:
    attempts.begin(1, "a")
    say(tmp_path, "w1", 1)
    attempts.look()
    attempts.begin(1, "a")
    attempts.look()
    assert workers_of(attempts) == {1: ""}
    say(tmp_path, "w2", 1)
    attempts.look()
    assert workers_of(attempts) == {1: "w2"}


def test_a_step_of_another_name_is_that_of_another_plan(attempts: Attempts, tmp_path: Path) -> None:
    attempts.begin(1, "train(1)")
    say(tmp_path, "w1", 1, "train(2)")
    attempts.look()
    assert workers_of(attempts) == {1: ""}


def test_a_worker_is_known_before_it_says_anything(attempts: Attempts, tmp_path: Path) -> None:
    attempts.begin(1, "a")
    attempts.assign("w1", 1)
    attempts.assign("w1", 2)
    assert workers_of(attempts) == {1: "w1"}
    say(tmp_path, "w1", 1, completed=2)
    attempts.look()
    attempts.assign("w1", 1)
    assert states(attempts, 0)[0].bars
    attempts.assign("w2", 1)
    assert (workers_of(attempts), states(attempts, 0)[0].bars) == ({1: "w2"}, [])


def test_of_many_those_that_a_worker_does_are_told(attempts: Attempts) -> None:
    for number in range(1, 7):
        attempts.begin(number, "a")
    for number in (2, 5):
        attempts.assign("w1", number)
    found = states(attempts, 0)
    assert [[step.number for step in some(found, count)] for count in (0, 1, 3, 6, 9)] == [
        [],
        [2],
        [1, 2, 5],
        [1, 2, 3, 4, 5, 6],
        [1, 2, 3, 4, 5, 6],
    ]


def test_a_look_takes_no_longer_than_it_may_and_goes_on_the_next_time(
    attempts: Attempts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_attempts, "LOOK_SECONDS", 0)
    for number in (1, 2, 3):
        attempts.begin(number, "a")
        say(tmp_path, f"w{number}", number)
    for known in (1, 2, 3):
        attempts.look()
        assert sum(worker != "" for worker in workers_of(attempts).values()) == known


def test_without_workers_there_is_nothing_to_look_at(attempts: Attempts) -> None:
    Attempts().look()
    attempts.begin(1, "a")
    attempts.look()
    assert workers_of(attempts) == {1: ""}


def test_files_among_the_folders_of_workers_do_no_harm(attempts: Attempts, tmp_path: Path) -> None:
    attempts.begin(1, "a")
    say(tmp_path, "w1", 1)
    (tmp_path / "workers" / "followed.json").touch()
    os.mkfifo(tmp_path / "workers" / "w0")
    attempts.look()
    assert workers_of(attempts) == {1: "w1"}
