"""A worker process does what comes over its pipe, and tears no message whatever signal comes."""

import json
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from mml.runners import local_worker
from mml.runners.base import Report, Work
from mml.runners.local_frames import Ends, both_ends, read_frame, send_frame
from mml.runners.local_serving import READY, Hello, serve
from mml.runners.transport import decode_report, encode
from tests.support.local_runs import hang_up
from tests.support.toy_worker import ToyWorker, toy_run, work


@pytest.fixture
def ends() -> Iterator[tuple[Ends, Ends]]:
    """Return the driver's side, and the worker's."""
    ours, theirs = both_ends()
    yield ours, theirs
    ours.close()
    theirs.close()


def hello(folder: Path, **config: str) -> bytes:
    return msgspec.msgpack.encode(Hello(toy_run(folder, **config).setup, pickle.dumps(ToyWorker), "here-1"))


def reports_of(ends: tuple[Ends, Ends], first: bytes, *works: Work) -> tuple[int, list[Report]]:
    """Serve in this process what a driver sends at once; return the exit code and the reports."""
    ours, theirs = ends
    for data in (first, *map(encode, works)):
        send_frame(ours.writer, data)
    hang_up(ours.writer)
    code = serve(theirs)
    hang_up(*theirs)
    found = []
    while (data := read_frame(ours.reader)) is not None:
        found += [] if data == READY else [decode_report(data)]
    return code, found


def test_work_is_done_in_order_until_no_more_comes(ends: tuple[Ends, Ends], tmp_path: Path) -> None:
    code, reports = reports_of(ends, hello(tmp_path / "run"), work(0, "add", 1), work(1, "fail", "x"), work(2, "add"))
    assert (code, [report.step for report in reports]) == (0, [0, 1, 2])
    assert [report.error is None for report in reports] == [True, False, True]
    assert {report.worker for report in reports} == {"here-1"}


def test_worker_that_can_not_be_made_says_so_of_the_first_work(ends: tuple[Ends, Ends], tmp_path: Path) -> None:
    code, reports = reports_of(ends, hello(tmp_path / "run", misfit="no plugin"), work(0, "add"))
    assert code == 1
    (error,) = [report.error for report in reports]
    assert error is not None
    assert (error.misfit, error.text) == (True, "RuntimeError: no plugin")


def test_signal_before_the_first_work_ends_that(
    ends: tuple[Ends, Ends], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyWorker, "close", lambda self: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr(ToyWorker, "__init__", lambda self, *_: os.kill(os.getpid(), signal.SIGTERM))
    code, reports = reports_of(ends, hello(tmp_path / "run"), work(0, "add"))
    assert code == 1
    assert [report.error and (report.error.interrupted, report.error.misfit) for report in reports] == [(15, False)]


def test_signal_ends_the_work_that_is_done_and_the_worker_after_it(ends: tuple[Ends, Ends], tmp_path: Path) -> None:
    code, reports = reports_of(ends, hello(tmp_path / "run"), work(0, "kill", int(signal.SIGTERM), ""))
    assert code == 0
    assert [report.error and report.error.interrupted for report in reports] == [15]


def test_result_that_can_not_be_sent_becomes_an_error(
    ends: tuple[Ends, Ends], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyWorker, "add", lambda self, *_: {1, 2, object()})
    _, (report,) = reports_of(ends, hello(tmp_path / "run"), work(0, "add"))
    assert report.error is not None
    assert "TypeError" in report.error.text


def test_worker_that_raises_instead_of_reporting_is_reported(
    ends: tuple[Ends, Ends], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute(self: ToyWorker, _: Work) -> Report:
        raise SystemExit(3)

    monkeypatch.setattr(ToyWorker, "execute", execute)
    _, (report,) = reports_of(ends, hello(tmp_path / "run"), work(0, "add"))
    assert report.error is not None
    assert report.error.text == "SystemExit: 3"


def test_driver_that_is_gone_ends_the_worker(ends: tuple[Ends, Ends], tmp_path: Path) -> None:
    ours, theirs = ends
    send_frame(ours.writer, hello(tmp_path / "run"))
    send_frame(ours.writer, encode(work(0, "add", 1)))
    hang_up(*ours)
    assert serve(theirs) == 1


def test_driver_that_says_nothing_at_all_ends_the_worker(ends: tuple[Ends, Ends]) -> None:
    ours, theirs = ends
    hang_up(*ours)
    assert serve(theirs) == 0


def test_script_of_the_worker_ends_when_the_driver_is_gone_at_once(ends: tuple[Ends, Ends]) -> None:
    ours, theirs = ends
    hang_up(*ours)
    read, write = os.pipe()
    assert local_worker.main(*theirs, read, os.getppid()) == 1
    os.close(read)
    os.close(write)


def test_script_of_the_worker_imports_from_where_the_driver_does(
    ends: tuple[Ends, Ends], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = ends
    path = [*sys.path, str(tmp_path)]
    followed: list[tuple[int, int]] = []
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("mml.runners.local_lifeline.follow", lambda *arguments: followed.append(arguments))
    send_frame(ours.writer, json.dumps(path).encode())
    send_frame(ours.writer, hello(tmp_path / "run"))
    hang_up(ours.writer)
    read, write = os.pipe()
    assert local_worker.main(*theirs, read, 42) == 0
    assert followed == [(42, read)]
    assert sys.path[: len(path)] == path
    os.close(read)
    os.close(write)


def test_signal_while_there_is_no_work_ends_the_worker(ends: tuple[Ends, Ends], tmp_path: Path) -> None:
    ours, theirs = ends
    send_frame(ours.writer, hello(tmp_path / "run"))
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    timer.start()
    assert serve(theirs) == -signal.SIGTERM
    timer.join()
    hang_up(*theirs)
    assert read_frame(ours.reader) == READY
    assert read_frame(ours.reader) is None
