"""How the status of a run looks, in every state and at every width."""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from mml.core.scripts.journal import Planned, Started
from mml.core.scripts.progress_state import Live, LiveBar, LiveStep
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.runs import read_run
from mml.core.scripts.schedule import StepRecord
from mml.runners.slurm_queue import QueuedJob
from mml.status_queue import Queue
from mml.status_reading import Status, read_again, read_status
from mml.status_view import Layouts, _goes_on, _line, draw
from tests.support.runs import NAME, events_of, make_damaged, make_run, write_journal
from tests.support.terminal import mml_in_terminal

NOW = 1_000_100.0


def shown(folder: Path, width: int = 120, now: float = NOW, out_dir: str | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(draw([read_again(folder)], now, out_dir))
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def write_live(folder: Path, at: float = NOW - 2) -> None:
    bars = [
        LiveBar("epoch", 3.5, 10, None, "", "val/accuracy 0.9 train/loss 0.1", 60.0, 30.0),
        LiveBar("train", 250, 500, 1234.0, "images", "loss 0.25", 5.0, 5.0),
        LiveBar("reading", 7, None, 0.5, "files"),
    ]
    live = Live(time=at, pid=1, step=2, steps=3, name="work(1)", left=90.0, bars=bars)
    (folder / "live.json").write_bytes(msgspec.json.encode(live))
    os.utime(folder / "live.json", (at, at))


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """Return a run that began 100 s before now and wrote last 10 s before now."""
    folder = make_run(tmp_path / "results", state="crashed", created=NOW - 100)
    os.utime(folder / "journal.jsonl", (NOW - 10, NOW - 10))
    return folder


def test_a_running_run_shows_steps_epochs_and_batches(crashed: Path) -> None:
    write_live(crashed)
    (crashed / "exp.log").write_text("all is well\n")
    os.utime(crashed / "exp.log", (NOW - 1, NOW - 1))
    with RunLock(crashed):
        lines = shown(crashed)
    assert lines[0] == f"Run {NAME} of project default: running"
    assert lines[1:3] == ["what toy of digits", lines[2]]
    assert lines[2].endswith("1 min ago")
    assert lines[3].startswith(f"process {os.getpid()} of")
    assert lines[4].split()[:3] == ["step", "2", "work(1)"]
    assert "1/3 1:36 1:28 left" in lines[4]
    assert lines[5].startswith("epoch")
    assert "3/10 0:32 0:58 left val/accuracy 0.9 train/loss 0.1" in lines[5]
    assert "250/500 1,234 images/s 0:07 0:03 left loss 0.25" in lines[6]
    assert "7 0.5 files/s 0:02" in lines[7]
    assert lines[8] == "log all is well"


def test_one_that_has_been_silent_for_long_is_said_so(crashed: Path) -> None:
    with RunLock(crashed):
        assert "silent its last sign of life was 1 h ago" in shown(crashed, now=NOW + 3600)
        assert not any("silent" in line for line in shown(crashed))


def test_between_two_steps_it_says_so(crashed: Path) -> None:
    write_journal(crashed, events_of("crashed")[:-1])
    with RunLock(crashed):
        assert any(line.startswith("between steps") for line in shown(crashed))


def test_a_crashed_run_says_when_it_died_where_and_how_to_go_on(crashed: Path) -> None:
    write_live(crashed, NOW - 20)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(NOW - 10))
    lines = shown(crashed, out_dir="here")
    assert lines[0] == f"Run {NAME} of project default: crashed"
    assert f"ended killed after {when}, 10 s ago, its last sign of life" in lines
    assert "in step 2 work(1), epoch 3/10, train 250/500, reading 7" in lines
    assert "done 1/3 steps in 1.00 s" in lines
    assert lines[-1] == f"Continue with: mml continue {NAME} out_dir=here"


def test_other_ends_say_why(tmp_path: Path) -> None:
    interrupted = shown(make_run(tmp_path, "a", state="interrupted"), now=time.time())
    assert any(line.startswith("ended ") and line.endswith("ago, by SIGTERM") for line in interrupted)
    failed = shown(make_run(tmp_path, "b", state="failed"), now=time.time())
    assert "ValueError: boom" in failed
    finished = shown(make_run(tmp_path, "c"), now=time.time())
    assert "value 0.5" in finished
    assert not any("Continue" in line for line in finished)
    damaged = shown(make_damaged(tmp_path, "d"), now=time.time())
    assert any("line 1, is damaged" in line for line in damaged)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(crashed: Path, width: int) -> None:
    write_live(crashed)
    (crashed / "exp.log").write_text("x" * 500)
    console = Console(file=io.StringIO(), width=width)
    with RunLock(crashed):
        console.print(draw([read_again(crashed), read_again(crashed)], NOW))
    assert isinstance(console.file, io.StringIO)
    assert max(len(line) for line in console.file.getvalue().splitlines()) <= width


def test_watching_ends_with_the_run(crashed: Path, tmp_path: Path) -> None:
    lock = RunLock(crashed)
    lock.acquire()
    with mml_in_terminal(["status", "--watch"], tmp_path) as terminal:
        terminal.wait_for("q or Ctrl-C leaves")
        write_journal(crashed, events_of("finished"))
        terminal.wait_for("3/3")
        lock.release()
        assert terminal.finish() == 0
    assert "finished" in terminal.text[-800:]


@pytest.mark.parametrize("key", ["q", "\x03", "\x1b"])
def test_watching_can_be_left_and_the_run_goes_on(crashed: Path, tmp_path: Path, key: str) -> None:
    with RunLock(crashed), mml_in_terminal(["status", NAME, "-w"], tmp_path) as terminal:
        terminal.wait_for("leaves; the run goes on.")
        terminal.press("x")
        terminal.wait_for("leaves; the run goes on.")
        terminal.press(key)
        assert terminal.finish() == 0


def test_without_a_terminal_watching_prints_a_line_per_step(crashed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mml", "status", "--watch"]
    with RunLock(crashed):
        watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        assert watcher.stdout is not None
        first = watcher.stdout.readline()
        write_journal(crashed, events_of("finished"))
        second = watcher.stdout.readline()
    assert watcher.communicate(timeout=60)[0] == f"default/{NAME}: finished, 3/3 steps done\n"
    assert watcher.returncode == 0
    assert first == f"default/{NAME}: running, 1/3 steps done, step 2 work(1)\n"
    assert second == f"default/{NAME}: running, 3/3 steps done\n"


def test_ctrl_c_leaves_without_a_terminal_too(crashed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mml", "status", "--watch"]
    with RunLock(crashed):
        watcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        assert watcher.stdout is not None
        watcher.stdout.readline()
        os.kill(watcher.pid, 2)
        assert watcher.communicate(timeout=60) == ("", "")
    assert watcher.returncode == 0


def write_running(folder: Path, count: int = 2, more: int = 0) -> None:
    """Write what a driver says of steps in workers; the last waits."""
    bars = [LiveBar("epoch", 3.5, 10, None, "", "val 0.9", 60.0, 30.0), LiveBar("train", 250, 500, 1234.0, "images")]
    steps = [LiveStep(n, f"work({n - 1})", f"w{n}", 40.0 + n, bars) for n in range(2, count + 1)]
    steps.append(LiveStep(count + 1, f"work({count})", "", 3.0))
    live = Live(time=NOW - 2, pid=1, steps=3, left=90.0, running=steps, more=more)
    (folder / "live.json").write_bytes(msgspec.json.encode(live))
    os.utime(folder / "live.json", (NOW - 2, NOW - 2))


def test_steps_that_run_at_once_are_shown_with_their_workers(crashed: Path) -> None:
    write_running(crashed)
    with RunLock(crashed):
        lines = shown(crashed)
    assert lines[4].startswith("1 step running, 1 waiting ━")
    assert lines[4].endswith("1/3 1:28 left")
    assert lines[5].startswith("step 2 work(1) ━")
    assert lines[5].endswith("epoch 3/10 0:44 0:58 left on w2 val 0.9")
    assert lines[6].startswith("train ━")
    assert lines[7] == "step 3 work(2) 0:05 waits for a worker"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_of_many_steps_is_wider_than_the_terminal(crashed: Path, width: int) -> None:
    write_running(crashed, 8, more=3)
    console = Console(file=io.StringIO(), width=width)
    with RunLock(crashed):
        console.print(draw([read_again(crashed)], NOW))
    assert isinstance(console.file, io.StringIO)
    assert max(len(line) for line in console.file.getvalue().splitlines()) <= width
    assert "and 3 more" in console.file.getvalue()


def test_many_steps_are_folded_to_the_room_there_is(crashed: Path) -> None:
    write_running(crashed, 30)
    layouts = Layouts()
    layouts.room = 5
    console = Console(file=io.StringIO(), width=100)
    with RunLock(crashed):
        console.print(draw([read_again(crashed)], NOW, layouts=layouts))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert sum("step " in line and "work" in line for line in lines) == 4
    assert any("and 26 more steps" in line for line in lines)


def test_a_crashed_run_names_all_steps_it_was_in(crashed: Path) -> None:
    write_journal(crashed, [*events_of("crashed"), Started(time=NOW - 11, step=2)])
    assert "in steps 2 work(1), 3 work(2)" in shown(crashed)


def test_of_many_steps_that_a_crashed_run_was_in_some_are_named(crashed: Path) -> None:
    steps = [StepRecord("work", [number]) for number in range(9)]
    planned = Planned(time=NOW - 99, steps=steps)
    write_journal(crashed, [events_of("crashed")[0], planned, *(Started(time=NOW - 11, step=n) for n in range(8))])
    assert "in steps 1 work(0), 2 work(1), 3 work(2), 4 work(3), 5 work(4), 3 more" in shown(crashed)


def of_queue(folder: Path, state: str, queue: Queue | None) -> Status:
    info = read_run(folder)._replace(state=state)
    return read_status(info, lambda _: queue)


def test_a_detached_run_shows_its_jobs(crashed: Path) -> None:
    job = QueuedJob("step 2, work(1)", "12_1", "PENDING", "Priority", "", "2026-11-20T13:30:32")
    console = Console(file=io.StringIO(), width=120)
    console.print(draw([of_queue(crashed, "detached", Queue([job]))], NOW))
    assert isinstance(console.file, io.StringIO)
    text = " ".join(console.file.getvalue().split())
    assert f"Run {NAME} of project default: detached" in text
    assert "queue 1 job: 1 PENDING 12_1 PENDING step 2, work(1) (Priority) 2026-11-20 13:30:32" in text
    assert "its steps go on as jobs" in text
    assert "in step" not in text


@pytest.mark.parametrize(
    ("state", "queue", "goes_on"),
    [
        ("crashed", Queue((), "away"), False),
        ("running", None, True),
        ("detached", None, False),
        ("detached", Queue([QueuedJob("a", "1", "PENDING")]), True),
        ("detached", Queue([QueuedJob("a", "1", "REPORTED")]), False),
    ],
)
def test_watching_goes_on_while_there_may_be_news(
    crashed: Path, state: str, queue: Queue | None, goes_on: bool
) -> None:
    assert _goes_on(of_queue(crashed, state, queue)) == goes_on


def test_a_line_names_the_steps_that_run_at_once(crashed: Path) -> None:
    write_running(crashed, 8, more=3)
    with RunLock(crashed):
        line = _line(read_again(crashed))
    assert line.endswith(
        "1/3 steps done, step 2 work(1), step 3 work(2), step 4 work(3), step 5 work(4), step 6 work(5), 6 more"
    )
