"""`mml runs log`: the end of the log, and what comes while the run goes on."""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from mml.core.scripts.journal import Stopped
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.runs import DETACHED
from mml.core.scripts.worker_tails import LogTails
from mml.runs_log import last_line, tail_start
from tests.cli.conftest import Mml
from tests.support.runs import LONG_AGO, NAME, events_of, make_run, write_journal


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the log of a run, of 100 lines."""
    path = make_run(tmp_path / "results") / "exp.log"
    path.write_text("".join(f"line {number}\n" for number in range(100)))
    return path


@pytest.mark.parametrize(
    ("words", "first"),
    [([], "line 60"), (["-n", "3"], "line 97"), (["--lines", "0"], "line 0"), (["-n", "500"], "line 0")],
)
def test_the_last_lines_are_shown(mml: Mml, log: Path, words: list[str], first: str) -> None:
    lines = mml("runs", "log", NAME, *words).out.splitlines()
    assert (lines[0], lines[-1]) == (first, "line 99")


@pytest.mark.parametrize(
    ("text", "lines", "tail"),
    [
        ("", 3, ""),
        ("a", 1, "a"),
        ("a\n", 1, "a\n"),
        ("a\nb", 1, "b"),
        ("a\nb\n", 1, "b\n"),
        ("a\n\n", 1, "\n"),
        ("a\nb\nc\n", 2, "b\nc\n"),
        ("a\n" * 100_000, 3, "a\na\na\n"),
        ("x" * 200_000 + "\nb\n", 2, "x" * 200_000 + "\nb\n"),
        ("a\rb\n", 1, "a\rb\n"),
    ],
)
def test_a_tail_begins_at_a_line(tmp_path: Path, text: str, lines: int, tail: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(text.encode())
    assert path.read_bytes()[tail_start(path, lines) :] == tail.encode()
    assert tail_start(path, 0) == 0


def test_without_a_log_it_says_so(mml: Mml, log: Path) -> None:
    log.unlink()
    said = mml("runs", "log", NAME)
    assert (said.code, said.out) == (0, f"Run {NAME} has no log: nothing was logged, or it was killed before.\n")
    assert tail_start(log, 3) == 0


def test_bytes_that_are_no_text_do_not_stop_it(mml: Mml, log: Path) -> None:
    log.write_bytes(b"a\xffb\n")
    assert mml("runs", "log", NAME).out == "a�b\n"


def test_following_a_run_that_is_over_ends_at_once(mml: Mml, log: Path) -> None:
    assert mml("runs", "log", NAME, "-n", "1", "--follow").out == "line 99\n"
    log.unlink()
    assert mml("runs", "log", NAME, "--follow").out == ""


def test_following_shows_what_comes_until_the_run_ends(log: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mml", "runs", "log", NAME, "-n", "1", "-f"]
    with RunLock(log.parent):
        follower = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        assert follower.stdout is not None
        assert follower.stdout.readline() == "line 99\n"
        with log.open("a") as file:
            file.write("more é\n")
        assert follower.stdout.readline() == "more é\n"
        with log.open("a") as file:
            file.write("the end\n")
    assert follower.communicate(timeout=60)[0] == "the end\n"
    assert follower.returncode == 0


def test_ctrl_c_leaves_and_is_no_failure(log: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mml", "runs", "log", NAME, "-n", "1", "-f"]
    with RunLock(log.parent):
        follower = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        assert follower.stdout is not None
        follower.stdout.readline()
        os.kill(follower.pid, 2)
        assert follower.communicate(timeout=60) == ("", "")
    assert follower.returncode == 0


@pytest.mark.parametrize(
    ("text", "line"), [("a\nb\n", "b"), ("a\n\n  \n", "a"), ("", ""), ("\n", ""), ("a\nhalf", "half")]
)
def test_the_last_line_is_one_that_says_something(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "log").write_text(text)
    assert last_line(tmp_path / "log") == line
    assert last_line(tmp_path / "nowhere") == ""


HEAD = "2026-11-20 13:05:06,789 INFO     mml.a: "
STEP = "2026-11-20 13:05:06,000 INFO     mml.worker: step 3 begins: work\n"


@pytest.fixture
def worker(log: Path) -> Path:
    """Return the log of a worker of the run."""
    folder = log.parent / "workers" / "box-7"
    folder.mkdir(parents=True)
    (folder / "exp.log").write_text(f"{STEP}{HEAD}one\ntwo\n")
    return folder / "exp.log"


def test_the_log_of_one_worker_is_shown(mml: Mml, worker: Path) -> None:
    assert mml("runs", "log", NAME, "--worker", "box-7").out == f"{STEP}{HEAD}one\ntwo\n"
    assert mml("runs", "log", NAME, "--worker", "box-7", "-n", "1", "--follow").out == "two\n"


def test_a_worker_that_there_is_not_is_refused(mml: Mml, worker: Path) -> None:
    said = mml("runs", "log", NAME, "--worker", "box-8")
    assert said.code == 2
    assert f"Unknown worker of run {NAME} 'box-8'. Did you mean 'box-7'?" in said.err


def test_a_run_without_workers_says_so(mml: Mml, log: Path) -> None:
    said = mml("runs", "log", NAME, "--worker", "box-8")
    assert said.code == 2
    assert f"Run {NAME} has no workers" in said.err


def test_what_workers_said_after_their_driver_is_shown(mml: Mml, log: Path, worker: Path) -> None:
    rest = [f"{HEAD}[box-7 step 3] one", "[box-7 step 3] two"]
    assert mml("runs", "log", NAME, "-n", "4").out.splitlines() == ["line 98", "line 99", *rest]
    assert mml("runs", "log", NAME, "-n", "1").out.splitlines() == rest[1:]
    assert mml("runs", "log", NAME, "-n", "2").out.splitlines() == rest
    for everything in ("0", "-3"):
        assert len(mml("runs", "log", NAME, "-n", everything).out.splitlines()) == 102
    with RunLock(log.parent):  # its driver will bring it
        assert mml("runs", "log", NAME, "-n", "1").out == "line 99\n"
    log.unlink()
    assert mml("runs", "log", NAME).out.splitlines() == rest


def test_what_the_driver_took_over_is_not_shown_twice(mml: Mml, log: Path, worker: Path) -> None:
    tails = LogTails(log.parent)
    tails.read(1)
    tails.store()
    assert mml("runs", "log", NAME, "-n", "1").out == "line 99\n"


def test_following_one_worker_ends_with_it(worker: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mml", "runs", "log", NAME, "-n", "1", "-f", "--worker", "box-7"]
    with RunLock(worker.parent):
        follower = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        assert follower.stdout is not None
        assert follower.stdout.readline() == "two\n"
        with worker.open("a") as file:
            file.write("the end\n")
    assert follower.communicate(timeout=60)[0] == "the end\n"


def test_following_a_detached_run_shows_what_its_workers_say(log: Path, worker: Path, tmp_path: Path) -> None:
    detached = Stopped(time=LONG_AGO + 5, step=None, signal=DETACHED)
    write_journal(log.parent, [*events_of("crashed"), detached])
    command = [sys.executable, "-m", "mml", "runs", "log", NAME, "-n", "1", "-f"]
    follower = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert follower.stdout is not None
    assert follower.stdout.readline() == "[box-7 step 3] two\n"
    while follower.poll() is None:  # it looks for what is new from some moment on
        with worker.open("a") as file:
            file.write("three\n")
        if select.select([follower.stdout], [], [], 0.2)[0]:
            assert follower.stdout.readline() == "[box-7 step 3] three\n"
            break
    write_journal(log.parent, events_of("finished"))
    assert set(follower.communicate(timeout=60)[0].splitlines()) <= {"[box-7 step 3] three"}
    assert follower.returncode == 0
