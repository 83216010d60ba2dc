"""The part of a worker of Ray that is mml's: every attempt has a report, whatever happens in it."""

import os
import pickle
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mml.core.scripts.signals import SignalGuard
from mml.runners.base import Report, WorkerSetup
from mml.runners.ray_session import Hello, Session
from mml.runners.transport import decode_report, encode
from tests.support.toy_worker import ToyWorker, toy_run, work


class OddWorker(ToyWorker):
    """Does odd things."""

    def unsendable(self, _: SignalGuard) -> Any:
        return object()

    def ask(self, _: SignalGuard) -> str:
        """Be asked to stop."""
        os.kill(os.getpid(), signal.SIGUSR1)
        return "went on"

    def late(self, guard: SignalGuard) -> str:
        """Be asked to stop when all is done."""
        guard._seen = signal.SIGUSR1
        return "done"

    def execute(self, work: Any) -> Report:
        if work.record.command == "broken":
            raise SystemExit(3)
        return super().execute(work)


class Starting(OddWorker):
    """Is asked to stop while it starts."""

    def __init__(self, setup: WorkerSetup, name: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        super().__init__(setup, name)


Make = Callable[..., Session]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    opened: list[Session] = []

    def session(maker: bytes = pickle.dumps(OddWorker), **config: Any) -> Session:
        hello = Hello(toy_run(tmp_path / "run", **config).setup, maker)
        opened.append(Session(msgspec.msgpack.encode(hello), "host-1"))
        return opened[-1]

    yield session
    while opened:
        opened.pop().close()


@pytest.fixture
def odd(make: Make) -> Session:
    return make()


def done(where: Session, command: str, *params: Any) -> Report:
    return decode_report(where.execute(encode(work(3, command, *params))))


def test_worker_is_made_for_the_first_attempt_and_kept(odd: Session, tmp_path: Path) -> None:
    assert not (tmp_path / "run" / "workers").exists()
    for numbers in ((1, 2), (3, 4)):
        report = done(odd, "add", *numbers)
        assert report.outcome is not None
        assert (report.step, report.worker, report.outcome.value) == (3, "host-1", sum(numbers))
    assert [folder.name for folder in (tmp_path / "run" / "workers").iterdir()] == ["host-1"]


@pytest.mark.parametrize(
    ("command", "text"),
    [("fail", "ValueError: oh"), ("unsendable", "Encoding objects of type object"), ("broken", "SystemExit: 3")],
)
def test_failure_is_a_report(odd: Session, command: str, text: str) -> None:
    report = done(odd, command, *(["oh"] if command == "fail" else []))
    assert report.error is not None
    assert text in report.error.text
    assert not report.error.misfit
    assert done(odd, "add", 1, 1).outcome is not None


def test_worker_that_can_not_be_made_is_a_misfit(make: Make) -> None:
    report = done(make(misfit="another version"), "nothing")
    assert report.error is not None
    assert (report.error.misfit, report.error.text) == (True, "RuntimeError: another version")


def test_maker_that_can_not_be_found_is_a_misfit(make: Make) -> None:
    report = done(make(pickle.dumps(OddWorker).replace(b"OddWorker", b"AddWorker")), "nothing")
    assert report.error is not None
    assert report.error.misfit
    assert "AddWorker" in report.error.text


def test_signal_while_the_worker_is_made_is_no_misfit(make: Make) -> None:
    report = done(make(pickle.dumps(Starting)), "nothing")
    assert report.error is not None
    assert (report.error.interrupted, report.error.misfit) == (signal.SIGTERM, False)


@pytest.mark.parametrize("command", ["ask", "late"])
def test_after_a_signal_every_attempt_ends_with_it(odd: Session, command: str) -> None:
    first = done(odd, command)
    if command == "ask":
        assert first.error is not None
        assert first.error.interrupted == signal.SIGUSR1
    after = done(odd, "add", 1, 1)
    assert after.error is not None
    assert after.error.interrupted == signal.SIGUSR1


def test_signal_between_attempts_stops_the_next_one(odd: Session) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)
    report = done(odd, "add", 1, 1)
    assert report.error is not None
    assert report.error.interrupted == signal.SIGUSR1


def test_handlers_of_signals_are_put_back(make: Make) -> None:
    before = [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    opened = make()
    done(opened, "nothing")
    assert [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)] == before[:2]
    opened.close()
    assert signal.getsignal(signal.SIGUSR1) == before[2]
