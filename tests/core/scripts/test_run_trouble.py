"""A step that fails is tried again or gone without, as the policy says, and what is lost is counted apart."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mml.core.scripts.exceptions import MMLMisconfigurationException, WorkerLostError
from mml.core.scripts.journal import Failed, Skipped, read_events
from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.run_book import RunBook
from mml.core.scripts.run_policy import RunPolicy
from mml.core.scripts.run_trouble import Trouble
from mml.core.scripts.schedule import Step, make_step
from mml.core.scripts.signals import SignalGuard

STEPS = [make_step(number, "work", [number], PathRoots(Path("/r"), Path("/d"))) for number in range(3)]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[RunBook]:
    made = RunBook(tmp_path, SignalGuard())
    made.open()
    yield made
    made.close()


def failed(book: RunBook) -> list[tuple[int | None, int, bool]]:
    events = read_events(book.folder / "journal.jsonl")[0]
    return [(event.step, event.attempt, event.goes_on) for event in events if isinstance(event, Failed)]


def test_failure_ends_the_run_unless_the_policy_says_otherwise(book: RunBook) -> None:
    removed: list[Step] = []
    trouble = Trouble(book, RunPolicy(), removed.append)
    error = ValueError("boom")
    with pytest.raises(ValueError, match="boom") as caught:
        trouble.fail(STEPS[1], error, 1)
    assert caught.value is error
    assert (book.step, failed(book), removed) == (1, [], [])


def test_step_is_tried_again_after_ever_longer_pauses(book: RunBook) -> None:
    removed: list[Step] = []
    trouble = Trouble(book, RunPolicy(retries=2, pause=3.0), removed.append)
    assert trouble.fail(STEPS[0], ValueError("a"), 1) == 3.0
    assert trouble.fail(STEPS[0], ValueError("b"), 2) == 6.0
    with pytest.raises(ValueError, match="c"):
        trouble.fail(STEPS[0], ValueError("c"), 3)
    assert failed(book) == [(0, 1, True), (0, 2, True)]
    assert removed == [STEPS[0]] * 2


def test_lost_attempts_are_counted_apart_from_failures(book: RunBook) -> None:
    trouble = Trouble(book, RunPolicy(retries=1, retries_lost=2, pause=0.0), lambda _: None)
    assert trouble.fail(STEPS[0], WorkerLostError("lost"), 1) == 0.0
    assert trouble.fail(STEPS[0], ValueError("boom"), 2) == 0.0
    assert trouble.fail(STEPS[0], WorkerLostError("lost"), 3) == 0.0
    with pytest.raises(WorkerLostError):
        trouble.fail(STEPS[0], WorkerLostError("lost"), 4)


def test_without_a_step_the_others_go_on_and_those_that_need_it_are_skipped(book: RunBook) -> None:
    trouble = Trouble(book, RunPolicy(on_error="continue", retries=3), lambda _: None)
    assert trouble.fail(STEPS[0], MMLMisconfigurationException("wrong"), 1) is None
    trouble.skip(STEPS[1], 0)
    trouble.skip(STEPS[2], 1)
    assert [account.what for account in trouble.missing.values()] == ["failed", "skipped", "skipped"]
    assert trouble.missing[2].reason == "needs step 2, work(1), which was skipped"
    events = read_events(book.folder / "journal.jsonl")[0]
    assert [(event.step, event.needs) for event in events if isinstance(event, Skipped)] == [(1, 0), (2, 1)]
    traceback = trouble.missing[0].traceback
    assert traceback is not None
    assert "wrong" in traceback.read_text()


def test_journal_that_could_not_be_written_ends_the_run_whatever_the_step_says(book: RunBook) -> None:
    trouble = Trouble(book, RunPolicy(on_error="continue"), lambda _: None)
    trouble.refuse_fault()
    book.fault = OSError("disk is full")
    with pytest.raises(OSError, match="disk is full"):
        trouble.refuse_fault()
    with pytest.raises(OSError, match="disk is full"):
        trouble.fail(STEPS[0], ValueError("boom"), 1)
