"""The logs of workers are read on, a little at a time, whatever happens to the files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from mml.core.scripts import worker_tails
from mml.core.scripts.worker_lines import LONGEST
from mml.core.scripts.worker_tails import LogTail, LogTails, TimedLine

HEAD = "2026-11-20 13:05:{:02d},000 INFO     mml.a: "


def texts(lines: list[TimedLine] | None) -> list[str] | None:
    return None if lines is None else [line.text for _, line in lines]


class Written:
    """The log of a worker, which tests write."""

    def __init__(self, run: Path, name: str = "w1") -> None:
        self.folder = run / "workers" / name
        self.folder.mkdir(parents=True)
        self.path = self.folder / "exp.log"

    def add(self, data: bytes | str) -> None:
        with self.path.open("ab") as file:
            file.write(data if isinstance(data, bytes) else data.encode())


@pytest.fixture
def log(tmp_path: Path) -> Written:
    return Written(tmp_path)


def test_new_lines_are_read_once(log: Written) -> None:
    tail = LogTail(log.folder)
    assert tail.read() is None
    log.add("one\ntwo\n")
    assert texts(tail.read()) == ["one", "two"]
    assert tail.read() is None
    log.add("three\n")
    assert texts(tail.read()) == ["three"]


def test_a_torn_line_waits_for_its_end(log: Written) -> None:
    tail = LogTail(log.folder)
    log.add("one\ntw")
    assert texts(tail.read()) == ["one"]
    assert texts(tail.read()) == []
    assert tail.read() is None
    log.add("o")
    assert texts(tail.read()) == []
    log.add("\n")
    assert texts(tail.read()) == ["two"]


def test_the_torn_line_of_a_dead_worker_is_a_line(log: Written) -> None:
    tail = LogTail(log.folder)
    log.add("one\nla")
    assert texts(tail.read(whole=True)) == ["one", "la"]
    assert tail.read(whole=True) is None


def test_a_file_that_was_cut_off_or_replaced_is_read_from_its_beginning(log: Written) -> None:
    tail = LogTail(log.folder)
    log.add("one\ntwo\n")
    tail.read()
    log.path.write_text("cut\n")
    assert texts(tail.read()) == ["cut"]
    log.path.rename(log.folder / "exp.log.1")
    assert tail.read() is None
    log.add("another file, longer than the one before it\n")
    assert texts(tail.read()) == ["another file, longer than the one before it"]


def test_a_huge_line_is_cut_and_what_follows_is_read(log: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_tails, "CHUNK", 10_000)
    tail = LogTail(log.folder)
    log.add(b"x" * 35_000)
    read = [texts(tail.read()) for _ in range(4)]
    assert read == [["x" * LONGEST + " ... (10,000 bytes)"], [], [], []]
    assert tail.read() is None
    log.add(b"yyy\nnext\n")
    assert texts(tail.read()) == ["next"]


def test_more_than_a_chunk_is_read_with_the_next_call(log: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_tails, "CHUNK", 10)
    tail = LogTail(log.folder)
    log.add("one\ntwo\nthree\nfou")
    assert [texts(tail.read(whole=True)) for _ in range(3)] == [["one", "two"], ["three", "fou"], None]


def test_bytes_of_any_kind_are_text(log: Written) -> None:
    log.add(b"\x00\xff\n" + os.urandom(5000) + b"\nend\n")
    lines = texts(LogTail(log.folder).read())
    assert lines is not None
    assert (lines[0], lines[-1]) == ("\\x00\\xff", "end")


def test_reading_goes_on_in_another_process(log: Written) -> None:
    tail = LogTail(log.folder)
    log.add(f"{HEAD.format(1)}x\n2026-11-20 13:05:02,000 DEBUG    mml.worker: step 4 begins: a\nmore\n")
    tail.read()
    log.add("and more\n")
    lines = LogTail(log.folder, tail.place).read()
    assert lines is not None
    assert [(line.text, line.step, line.level) for _, line in lines] == [("and more", 4, 10)]


def test_what_can_not_be_read_is_nothing_new(log: Written) -> None:
    log.path.mkdir()
    assert LogTail(log.folder).read() is None
    assert LogTail(log.folder.parent / "gone").skip_to_last(0) == 0


def test_lines_of_several_workers_are_in_the_order_of_their_times(tmp_path: Path) -> None:
    first, second = Written(tmp_path, "w1"), Written(tmp_path, "w2")
    first.add(f"{HEAD.format(1)}a\nmore of a\n{HEAD.format(3)}c\n")
    second.add(f"{HEAD.format(2)}b\n{HEAD.format(4)}d\nmore of d\n")
    lines = LogTails(tmp_path).read(1)
    assert [line.text for line in lines] == ["a", "more of a", "b", "c", "d", "more of d"]
    assert [line.worker for line in lines] == ["w1", "w1", "w2", "w1", "w2", "w2"]


def test_every_worker_gets_its_turn_however_much_one_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_tails, "CHUNK", 10)
    Written(tmp_path, "w1").add("line\n" * 1000)
    Written(tmp_path, "w2").add("other\n" * 1000)
    tails = LogTails(tmp_path)
    for _ in range(2):
        assert {line.worker for _ in range(2) for line in tails.read(0)} == {"w1", "w2"}
    Written(tmp_path, "w3").add("new\n")
    seen = [line.worker for _ in range(4) for line in tails.read(0)]
    assert "w3" in seen


def test_with_time_all_of_it_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_tails, "CHUNK", 10)
    Written(tmp_path, "w1").add("line\n" * 100)
    assert len(LogTails(tmp_path).read(60)) == 100


def test_workers_that_begin_a_step_are_known(tmp_path: Path) -> None:
    mark = "2026-11-20 13:05:02,000 INFO     mml.worker: step {} begins: a\n"
    first = Written(tmp_path, "w1")
    first.add(mark.format(3) + mark.format(4))
    Written(tmp_path, "w2").add("nothing\n")
    tails = LogTails(tmp_path)
    assert tails.read(1)[0].text == "nothing"
    assert tails.begun == {"w1": 4}
    first.add("more\n")
    tails.read(1)
    assert tails.begun == {}
    first.add(mark.format(4))
    tails.read(1)
    assert tails.begun == {"w1": 4}


def test_without_workers_nothing_is_read(tmp_path: Path) -> None:
    assert LogTails(tmp_path).read(1) == []
    assert list(LogTails(tmp_path).read_rest()) == []


def test_what_was_read_is_not_read_by_the_next_process(log: Written, tmp_path: Path) -> None:
    log.add("one\n")
    tails = LogTails(tmp_path)
    tails.read(1)
    tails.store()
    log.add("two\n")
    assert [line.text for line in LogTails(tmp_path).read(1)] == ["two"]
    (tmp_path / "workers" / "followed.json").write_text("{")
    assert [line.text for line in LogTails(tmp_path).read(1)] == ["one", "two"]


def rest(run: Path) -> list[str]:
    return [line.text for lines in LogTails(run).read_rest() for line in lines]


def test_the_rest_ends_where_a_living_worker_is_writing(log: Written, tmp_path: Path) -> None:
    log.add("one\ntw")
    with FileLock(log.folder / "run.lock"):
        assert rest(tmp_path) == ["one"]
    assert rest(tmp_path) == ["one", "tw"]


def test_of_a_backlog_too_long_the_last_part_is_read(
    log: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_tails, "BACKLOG", 20)
    log.add("a line\n" * 10 + "the last\n")
    first, *others = rest(tmp_path)
    assert first == "... 59 bytes are left out here; they are in the worker's own log"
    assert others == ["a line", "the last"]


WRITER = """
import os, sys
for number in range(20_000):
    text = f"line {number} " + "x" * (number % 300) + "\\n"
    os.write(1, text[:7].encode())
    os.write(1, text[7:].encode())
"""


def test_no_line_is_lost_or_torn_while_a_process_writes(log: Written, tmp_path: Path) -> None:
    tails, seen = LogTails(tmp_path), list[str]()
    with log.path.open("wb") as file, subprocess.Popen([sys.executable, "-c", WRITER], stdout=file) as process:
        while process.poll() is None:
            seen += [line.text for line in tails.read(0.01)]
    seen += [line.text for lines in tails.read_rest() for line in lines]
    assert [text.split()[1] for text in seen] == [str(number) for number in range(20_000)]
    assert all(text.count("x") == number % 300 for number, text in enumerate(seen))
