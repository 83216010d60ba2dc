"""The lines of a worker's log can be shown whatever is in it, and tell their level and step."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mml.core.scripts.run_log import FORMAT
from mml.core.scripts.worker_lines import LONGEST, LineReader, LogLine, clean, last_lines

HEAD = "2026-11-20 13:05:06,789 {:<8} mml.a.b: "


def read(*texts: str) -> list[LogLine]:
    return list(LineReader("w1").lines("".join(f"{text}\n" for text in texts).encode()))


def test_a_record_brings_its_level_and_keeps_its_head() -> None:
    (line,) = read(HEAD.format("WARNING") + "low: on [memory]")
    assert line == ("w1", None, logging.WARNING, HEAD.format("WARNING"), "low: on [memory]")
    assert str(line) == HEAD.format("WARNING") + "[w1] low: on [memory]"


def test_records_of_the_logging_module_are_understood() -> None:
    record = logging.LogRecord("mml.x", logging.ERROR, "f", 1, "it %s", ("broke",), None)
    (line,) = read(logging.Formatter(FORMAT).format(record))
    assert (line.level, line.text) == (logging.ERROR, "it broke")
    assert line.head.endswith(" ERROR    mml.x: ")


def test_lines_between_records_belong_to_the_one_before() -> None:
    lines = read("printed first", HEAD.format("DEBUG") + "detail", "more of it", HEAD.format("ERROR") + "x", "Trace")
    assert [line.level for line in lines] == [20, 10, 10, 40, 40]
    assert [line.head != "" for line in lines] == [False, True, False, True, False]
    assert str(lines[0]) == "[w1] printed first"


def test_what_only_looks_like_a_record_is_text() -> None:
    texts = [HEAD.format("SHOUTING") + "x", "2026-11-20 INFO mml: x", "13:05 INFO a: b"]
    assert [(line.head, line.text) for line in read(*texts)] == [("", text) for text in texts]


def test_empty_lines_are_left_out() -> None:
    assert [line.text for line in read("", "a", " ", "", "b")] == ["a", "b"]


MARK = """
import sys
from mml.core.scripts.worker_lines import mark_step
sys.stdout.write("before ")
mark_step(3, "train('digits', 0)")
print("after")
mark_step(12, "odd \\udc80 text")
"""


def test_steps_are_marked_between_what_is_printed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MARK], capture_output=True, check=True)
    first, last = done.stdout.split(b"\n", 1)
    assert first.startswith(b"before 2")  # a print without a newline is not lost, nor out of order
    lines = list(LineReader("w1").lines(b"2" + done.stdout.split(b"before 2", 1)[1] + b"then\n"))
    assert [(line.mark, line.text) for line in lines] == [("[w1 step 3]", "after"), ("[w1 step 12]", "then")]
    assert last.count(b"mml.worker: step 12 begins: odd ? text") == 1


def test_marking_without_a_place_to_write_is_no_error() -> None:
    code = "import os, mml.core.scripts.worker_lines as w; os.close(1); w.mark_step(1, 'a'); os._exit(7)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain \xc3\xa9\t|", "plain é\t|"),
        (b"dos\r", "dos"),
        (b" 10%\r 50%\r100%", "100%"),
        (b" 10%\r 50%\r\r", " 50%"),
        (b"\x1b[1;31mred\x1b[0m \x1b[2Kx\x1b]0;title\x07y\x1b", "red xy"),
        (b"\xff\xfe\x00bell\x07\x7f", "\\xff\\xfe\\x00bell\\x07\\x7f"),
        (b"\x1b[31m\x1b[0m  ", ""),
    ],
)
def test_text_is_cleaned_as_a_terminal_would_show_it(raw: bytes, text: str) -> None:
    assert clean(raw) == text


def test_long_lines_are_cut_and_say_so() -> None:
    assert clean(b"x" * LONGEST) == "x" * LONGEST
    assert clean(b"x" * 10_000_000) == "x" * LONGEST + " ... (10,000,000 bytes)"
    assert len(clean(os.urandom(100_000).replace(b"\r", b"r"))) < LONGEST + 50


def test_last_lines_are_those_that_say_something(tmp_path: Path) -> None:
    folder = tmp_path / "workers" / "w1"
    folder.mkdir(parents=True)
    mark = HEAD.format("INFO").replace("mml.a.b", "mml.worker") + "step 3 begins: x\n"
    (folder / "exp.log").write_text("x" * 100_000 + "\n\n" + mark + HEAD.format("INFO") + "one\ntwo\n\n\nthr\x1b[1mee")
    assert last_lines(tmp_path, "w1", 2) == ["two", "three"]
    assert last_lines(tmp_path, "w1", 3)[0] == HEAD.format("INFO") + "one"
    assert last_lines(tmp_path, "w1", 0) == []
    assert len(last_lines(tmp_path, "w1", 50)) == 4


def test_a_worker_without_a_log_has_no_last_lines(tmp_path: Path) -> None:
    assert last_lines(tmp_path, "w1", 5) == []
