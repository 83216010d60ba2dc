import io
import os
import pty
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pyte
import pytest
from rich.console import Console

from mml.core.scripts.progress import ProgressTask, RunProgress
from mml.core.scripts.progress_bars import LiveView
from mml.core.scripts.progress_views import PlainView


def plain_console() -> Console:
    return Console(file=io.StringIO(), width=100)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_steps_are_told_in_plain_lines_where_there_is_no_terminal() -> None:
    console = plain_console()
    with RunProgress(console=console) as progress:
        progress.start_steps(2)
        progress.begin_step(1, "train digits fold 0")
        progress.end_step()
        progress.begin_step(2, "train [digits] fold 1")
        progress.end_step()
    assert text_of(console).splitlines() == ["step 1/2 train digits fold 0", "step 2/2 train [digits] fold 1"]


def test_steps_that_fly_by_print_a_handful_of_lines() -> None:
    console = plain_console()
    with RunProgress(console=console) as progress:
        progress.start_steps(5000)
        for number in range(1, 5001):
            progress.begin_step(number, "nothing")
            progress.end_step()
    assert 1 <= len(text_of(console).splitlines()) < 100


def test_disabled_progress_shows_nothing_and_still_counts() -> None:
    console = plain_console()
    with RunProgress(enabled=False, console=console) as progress:
        progress.start_steps(1)
        progress.begin_step(1, "a")
        with progress.task("epoch", 2) as task:
            task.advance()
            task.set(completed=2, info="loss 1")
        progress.end_step()
    assert text_of(console) == ""
    assert task.count() == "2/2"


def test_nothing_is_shown_outside_the_block() -> None:
    console = plain_console()
    progress = RunProgress(console=console)
    progress.start_steps(1)
    progress.begin_step(1, "before")
    with progress:
        pass
    progress.begin_step(1, "after")
    assert text_of(console) == ""


def test_the_end_of_a_count_is_told_even_if_it_came_at_once() -> None:
    console = plain_console()
    with RunProgress(console=console) as progress, progress.task("epoch", 3, unit="") as epochs:
        epochs.advance()
        epochs.set(completed=3, info="loss 0.213  val/accuracy 0.91  1,234 images/s")
    assert text_of(console).splitlines() == ["epoch 3/3  loss 0.213  val/accuracy 0.91  1,234 images/s"]


def test_what_happens_inside_an_epoch_stays_out_of_a_short_log() -> None:
    console = plain_console()
    with RunProgress(console=console) as progress, progress.task("epoch", 2, unit="") as epochs:
        with progress.task("batch", 2) as batches:
            batches.advance(2)
        epochs.advance(2)
    assert text_of(console).splitlines() == ["epoch 2/2"]


def test_a_count_without_a_known_end_is_told_without_one() -> None:
    with RunProgress(enabled=False) as progress, progress.task("reading", None) as task:
        task.advance(1500)
        assert task.line() == "reading 1,500"
        task.set(total=2000)
        assert task.line() == "reading 1,500/2,000"


def test_the_default_console_writes_to_standard_error() -> None:
    assert RunProgress().console.stderr


def test_one_console_serves_the_view_and_all_others() -> None:
    progress = RunProgress()
    assert progress.console is progress.console


def test_a_terminal_gets_bars_and_a_pipe_gets_lines() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True)
    with RunProgress(console=terminal) as progress:
        assert isinstance(progress._view, LiveView)
    with RunProgress(console=plain_console()) as progress:
        assert isinstance(progress._view, PlainView)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_no_thread_is_left_behind_when_an_error_flies_through(error: type[BaseException]) -> None:
    before = set(threading.enumerate())
    with pytest.raises(error), RunProgress(console=Console(file=io.StringIO(), force_terminal=True)) as progress:
        progress.start_steps(3)
        progress.begin_step(1, "a")
        with progress.task("epoch", 2):
            raise error
    assert set(threading.enumerate()) == before
    assert progress._open == []


def test_no_thread_is_started_where_there_is_no_terminal() -> None:
    before = set(threading.enumerate())
    with RunProgress(console=plain_console()) as progress:
        progress.start_steps(1)
        progress.begin_step(1, "a")
        assert set(threading.enumerate()) == before


def test_a_schedule_that_grows_keeps_what_earlier_processes_did() -> None:
    progress = RunProgress(enabled=False)
    progress.start_steps(5, done=2)
    progress.begin_step(3, "c")
    progress.end_step()
    progress.start_steps(7, done=3)
    assert (progress._steps.total, progress._steps.done, progress._steps.inherited) == (7, 3, 2)


def test_nested_bars_know_their_depth() -> None:
    progress = RunProgress(enabled=False)
    with progress.task("epoch", 2) as epochs, progress.task("batch", 3) as batches:
        assert isinstance(epochs, ProgressTask)
        assert (epochs.depth, batches.depth) == (0, 1)


def test_importing_the_module_imports_neither_rich_nor_torch() -> None:
    code = "import sys, mml.core.scripts.progress; print([m for m in ('rich', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


WORKERS = """
import sys, time
from pathlib import Path
from mml.core.scripts import progress_bars
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.progress_state import Live, LiveBar, encode_live
from mml.core.scripts.run_watch import WorkerWatch

progress_bars.SHOW_AFTER_SECONDS, progress_bars.REFRESH_SECONDS = 0, 0.004
run = Path(sys.argv[1])
workers = [run / "workers" / f"w{number}" for number in (1, 2)]
for worker in workers:
    worker.mkdir(parents=True)
with RunProgress() as progress:
    progress.start_steps(40)
    watch = WorkerWatch(run, progress)
    for number in range(1, 41):
        worker, name = workers[number % 2], f"train({number})"
        progress.begin_attempt(number, name)
        bars = [LiveBar("epoch", 1, 5), LiveBar("train", number, 50, info="x" * number)][: number % 3]
        live = Live(time.time(), 1, number, 40, name, bars=bars, elapsed=1.0)
        (worker / "live.json").write_bytes(encode_live(live))
        with (worker / "exp.log").open("a") as file:
            file.write(f"2026-11-20 13:05:06,789 WARNING  lab: line {number} {'y' * (number * 5)} end {number}.\\n")
        watch._due = 0.0
        watch.look()
        time.sleep(0.01)
        if number > 2:
            progress.end_attempt(number - 2, done=True)
    progress.end_attempt(39, done=True)
    progress.end_attempt(40, done=True)
    watch.close()
print("the end")
"""


def test_log_lines_and_the_bars_of_many_steps_leave_one_another_whole(tmp_path: Path) -> None:
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    screen = pyte.HistoryScreen(100, 24, history=5000, ratio=1)
    stream = pyte.ByteStream(screen)
    main, child = pty.openpty()
    env = {**os.environ, "COLUMNS": "100", "LINES": "24", "TERM": "xterm-256color"}
    command = [sys.executable, str(script), str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=env):
        os.close(child)
        with suppress(OSError):  # Linux says so when the last program has left the terminal
            while data := os.read(main, 65536):
                stream.feed(data)
        os.close(main)
    scrolled = ["".join(line[column].data for column in range(100)) for line in screen.history.top]
    lines = [line.rstrip() for line in (*scrolled, *screen.display)]
    text = "".join("".join(lines).split())  # long lines are wrapped
    for number in range(1, 41):
        assert text.count(f"line{number}{'y' * (number * 5)}end{number}.") == 1
    assert sum("all steps done" in line for line in lines) == 1
    assert sum(line.strip().startswith(("step ", "train ", "1 step", "2 steps")) for line in lines) == 0
    assert [line for line in lines if line][-1] == "the end"
