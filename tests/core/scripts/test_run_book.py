"""The book of a run: what is written, what it says so far, and what is remembered when it can't be written."""

import os
import signal
from pathlib import Path

import pytest

from mml.core.scripts import journal
from mml.core.scripts.exceptions import Interrupted
from mml.core.scripts.journal import Done, PathAnnounced, Started, encode_line, read_events
from mml.core.scripts.run_book import RunBook
from mml.core.scripts.signals import SignalGuard, guarded_signals


def opened(folder: Path, guard: SignalGuard | None = None) -> RunBook:
    book = RunBook(folder, guard or SignalGuard())
    book.open()
    return book


def test_what_is_written_is_in_the_record_after_catching_up(tmp_path: Path) -> None:
    book = opened(tmp_path)
    book.append(Done(time=1.0, step=0, seconds=2.0))
    assert book.record.done == {}
    assert list(book.catch_up().done) == [0]
    book.append(Done(time=1.0, step=1, seconds=2.0))
    assert list(book.catch_up().done) == [0, 1]
    assert book.record.seconds == 4.0
    book.close()


def test_what_others_wrote_is_in_the_record_too(tmp_path: Path) -> None:
    book = opened(tmp_path)
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(encode_line(Done(time=1.0, step=3, seconds=0.0)))
    assert list(book.catch_up().done) == [3]
    book.close()


def test_book_of_an_earlier_part_of_the_run_is_read_at_once(tmp_path: Path) -> None:
    line = encode_line(Done(time=1.0, step=0, seconds=0.0))
    (tmp_path / "journal.jsonl").write_bytes(line + b'{"event":"done"')
    book = RunBook(tmp_path, SignalGuard())
    assert list(book.record.done) == [0]
    assert (tmp_path / "journal.jsonl").read_bytes() != line, "only writing cuts the torn line off"
    book.open()
    assert (tmp_path / "journal.jsonl").read_bytes() == line
    book.close()
    book.close()


def test_files_are_announced_for_the_step_or_the_hook_that_makes_them(tmp_path: Path) -> None:
    book = opened(tmp_path)
    book.hook = "preparation"
    book.announce("a", "temp")
    book.step = 4
    book.announce("b", "temp")
    book.close()
    first, second = read_events(tmp_path / "journal.jsonl")[0]
    assert isinstance(first, PathAnnounced)
    assert isinstance(second, PathAnnounced)
    assert (first.path, first.step, first.hook) == ("a", None, "preparation")
    assert (second.path, second.step, second.hook) == ("b", 4, "")


def test_signal_waits_until_a_line_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = journal._sync

    def sync_and_be_stopped(handle: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        sync(handle)

    monkeypatch.setattr(journal, "_sync", sync_and_be_stopped)
    with pytest.raises(Interrupted), guarded_signals() as guard:
        opened(tmp_path, guard).append(Started(time=1.0, step=0))
    assert len(read_events(tmp_path / "journal.jsonl")[0]) == 1


def test_fault_of_the_disk_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    book = opened(tmp_path)
    assert book.fault is None
    monkeypatch.setattr(journal, "_sync", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        book.append(Started(time=1.0, step=0))
    assert book.fault is caught.value
    assert read_events(tmp_path / "journal.jsonl")[0] == []


def test_book_that_was_never_opened_can_be_closed(tmp_path: Path) -> None:
    RunBook(tmp_path, SignalGuard()).close()
    assert list(tmp_path.iterdir()) == []
