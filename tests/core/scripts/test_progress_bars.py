import io
import os
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from mml.core.scripts import progress_bars
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.progress_attempts import Attempts
from mml.core.scripts.progress_bars import Columns, LiveView, Row, draw
from mml.core.scripts.progress_state import Live, LiveBar
from mml.core.scripts.progress_views import ProgressTask, StepCount

PATIENCE = 30  # seconds after which a test that waits has failed


class Screen(io.StringIO):
    """A terminal's text that says when it has shown something."""

    def __init__(self) -> None:
        super().__init__()
        self._news = threading.Condition()

    def write(self, text: str) -> int:
        with self._news:
            length = super().write(text)
            self._news.notify_all()
        return length

    def wait_for(self, text: str) -> bool:
        with self._news:
            return self._news.wait_for(lambda: text in self.getvalue(), timeout=PATIENCE)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setattr(progress_bars, "SHOW_AFTER_SECONDS", 0)
    monkeypatch.setattr(progress_bars, "REFRESH_SECONDS", 0.005)
    return Screen()


def console_of(screen: Screen) -> Console:
    return Console(file=screen, force_terminal=True, width=110, color_system=None, _environ={"TERM": "xterm"})


def rendered(rows: list[Row], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(draw(rows, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


ROW = Row(("train digits fold 1", "3/10", "1,234 images/s", "0:12", "0:30", "loss 0.213  val/accuracy 0.91"), 3, 10)


def test_a_wide_terminal_shows_everything_in_one_line() -> None:
    (line,) = rendered([ROW], 120)
    assert [part for part in line.split("  ") if part.strip()][0].startswith("train digits fold 1 ━")
    assert all(text in line for text in ROW.texts)


@pytest.mark.parametrize("width", [100, 80, 60])
def test_a_narrow_terminal_loses_free_text_and_never_numbers(width: int) -> None:
    (line,) = rendered([ROW], width)
    assert len(line) <= width
    assert all(text in line for text in ROW.texts[1:5])


def test_rows_stand_in_columns() -> None:
    lines = rendered([ROW, ROW._replace(texts=("  epoch", "30/100", "", "0:01", "", ""))], 120)
    assert lines[0].index("━") == lines[1].index("━")


def test_nested_bars_are_indented_below_the_steps() -> None:
    view = LiveView(Console(file=io.StringIO()), StepCount(total=4, done=1, number=2, name="train"))
    epochs, batches = ProgressTask(view, "epoch", 3), ProgressTask(view, "batch", 10)
    batches.depth = 1
    view._tasks = [epochs, batches]
    assert [row.texts[0] for row in view.rows(0)] == ["step 2/4 train", "  epoch", "    batch"]


def test_without_steps_the_first_bar_is_not_indented() -> None:
    view = LiveView(Console(file=io.StringIO()), StepCount())
    view._tasks = [ProgressTask(view, "image", 3)]
    assert [row.texts[0] for row in view.rows(0)] == ["image"]


def test_the_time_left_of_the_steps_counts_the_steps_of_this_process_alone() -> None:
    view = LiveView(Console(file=io.StringIO()), StepCount(total=10, done=6, inherited=4, number=7, started=100))
    assert view.rows(120)[0].texts[3:5] == ("0:20", "0:40")


def test_no_time_left_is_told_before_a_step_is_done() -> None:
    view = LiveView(Console(file=io.StringIO()), StepCount(total=10, done=4, inherited=4, number=5, started=100))
    assert view.rows(120)[0].texts[4] == ""


def test_steps_epochs_and_batches_show_in_one_display(screen: Screen) -> None:
    with RunProgress(console=console_of(screen)) as progress:
        progress.start_steps(2)
        progress.begin_step(1, "train digits fold 0")
        assert screen.wait_for("step 1/2 train digits fold 0")
        with progress.task("epoch", 5) as epochs, progress.task("batch", 100, unit="images") as batches:
            epochs.advance()
            batches.set(completed=33, info="loss 0.31")
            assert screen.wait_for("33/100")
            assert screen.wait_for("loss 0.31")


def test_what_is_printed_meanwhile_comes_through_whole(screen: Screen) -> None:
    console = console_of(screen)
    with RunProgress(console=console) as progress, progress.task("epoch", 5):
        assert screen.wait_for("epoch")
        console.print("a message from the log")
        assert screen.wait_for("a message from the log\n")


def test_the_terminal_gets_its_cursor_back_when_an_error_flies_through(screen: Screen) -> None:
    with pytest.raises(RuntimeError), RunProgress(console=console_of(screen)) as progress, progress.task("epoch", 5):
        assert screen.wait_for("\x1b[?25l")
        raise RuntimeError
    assert screen.getvalue().rindex("\x1b[?25h") > screen.getvalue().rindex("\x1b[?25l")


def test_what_is_quick_draws_nothing() -> None:
    screen = Screen()
    with RunProgress(console=console_of(screen)) as progress:
        progress.start_steps(100)
        for number in range(100):
            progress.begin_step(number + 1, "quick")
            progress.end_step()
    assert screen.getvalue() == ""


def test_a_redirected_stream_is_left_alone(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    with RunProgress(console=console_of(screen)) as progress, progress.task("epoch", 5):
        assert screen.wait_for("epoch")
        print("a result for a pipe")
    assert stdout.getvalue() == "a result for a pipe\n"


def test_a_row_without_a_bar_has_none() -> None:
    lines = rendered([ROW, Row(("  step 4 work", "", "", "0:01", "", "on w1"), bar=False)], 120)
    assert "━" in lines[0]
    assert "━" not in lines[1]
    assert lines[1].rstrip().endswith("on w1")


def test_columns_keep_their_places_when_texts_get_shorter() -> None:
    columns = Columns()
    short = Row(("a", "1/2", "", "0:01", "", "on w1"), 1, 2)

    def line(row: Row) -> str:
        console = Console(file=io.StringIO(), width=120)
        console.print(draw([row], 120, columns))
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    before, after = line(ROW._replace(texts=(*ROW.texts[:5], "on w1"))), line(short)
    assert before.index("━") == after.index("━") > line(ROW).index("━") - 1
    assert before.index("on w1") == after.index("on w1")
    assert line(short).index("━") > rendered([short], 120)[0].index("━")


def test_where_columns_keep_their_places_free_text_gives_way_before_the_bars() -> None:
    console = Console(file=io.StringIO(), width=90)
    console.print(draw([ROW], 90, Columns()))
    assert isinstance(console.file, io.StringIO)
    (line,) = console.file.getvalue().splitlines()
    assert sum(char in "━╸╺" for char in line) > sum(char in "━╸╺" for char in rendered([ROW], 90)[0])
    assert len(line) <= 90
    assert all(text in line for text in ROW.texts[:5])


@pytest.mark.parametrize(
    ("width", "free"),
    [(120, "on w1  val 0.9  loss 0.3"), (104, "on w1  val 0.9"), (97, "on w1"), (66, "on w1")],
)
def test_free_text_beside_steady_columns_ends_with_a_whole_part(width: int, free: str) -> None:
    console = Console(file=io.StringIO(), width=width)
    texts = ("  step 3 train_fold('digits', 0)", "epoch 3/10", "1 image/s", "0:12", "0:31", "on w1  val 0.9  loss 0.3")
    console.print(draw([Row(texts, 3, 10)], width, Columns()))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().split("0:31 ")[1].strip() == free


@pytest.mark.parametrize(("width", "rate", "left"), [(90, True, True), (60, False, True), (46, False, False)])
def test_where_there_is_no_room_numbers_are_left_out_as_a_whole(width: int, rate: bool, left: bool) -> None:
    console = Console(file=io.StringIO(), width=width)
    row = Row(
        ("  step 3 train_fold('fashion_mnist', 0)", "epoch 3/10", "1,234 images/s", "0:12", "0:31", "on w1"), 3, 10
    )
    console.print(draw([row], width, Columns()))
    assert isinstance(console.file, io.StringIO)
    (line,) = console.file.getvalue().splitlines()
    assert ("1,234 images/s" in line, "0:31" in line) == (rate, left)
    assert ("1," in line, "0:3" in line) == (rate, left)
    assert line.startswith("  step 3 train_")
    assert "epoch 3/10" in line
    assert "0:12" in line


def running_view(lines: int = 20) -> LiveView:
    """Return a view of three steps in workers, of which the second trains and the last waits."""
    attempts, steps = Attempts(), StepCount(total=10, done=2, inherited=1, number=5, started=100)
    for number in (3, 4, 5):
        attempts.begin(number, f"work({number})").begun = 110
    attempts.assign("w1", 3)
    attempts.assign("w2", 4)
    second = attempts.running()[1]
    second.live = Live(0, 1, 4, bars=[LiveBar("epoch", 1, 5), LiveBar("train", 3, 9)], elapsed=5)
    second.seen = 118
    return LiveView(Console(file=io.StringIO(), height=lines), steps, attempts)


def test_steps_in_workers_stand_below_a_row_of_all_steps() -> None:
    rows = [row.texts for row in running_view().rows(120)]
    assert rows[0] == ("2 steps running, 1 waiting", "2/10", "", "0:20", "2:40", "")
    assert [(text[0], text[1], text[3], text[5]) for text in rows[1:]] == [
        ("  step 3 work(3)", "", "0:10", "on w1"),
        ("  step 4 work(4)", "epoch 1/5", "0:07", "on w2"),
        ("    train", "3/9", "0:02", ""),
        ("  step 5 work(5)", "", "0:10", "waits for a worker"),
    ]


@pytest.mark.parametrize("lines", [3, 4, 5, 6])
def test_steps_in_workers_fit_the_terminal(lines: int) -> None:
    view = running_view(lines)
    view._tasks = [ProgressTask(view, "reading", 3)] * (lines > 4)
    assert len(view.rows(120)) < lines


def test_steps_in_workers_show_while_they_run(screen: Screen) -> None:
    with RunProgress(console=console_of(screen)) as progress:
        progress.start_steps(2)
        progress.begin_attempt(1, "work(1)")
        assert screen.wait_for("0 steps running, 1 waiting")
        progress.assign_attempt("w1", 1)
        assert screen.wait_for("on w1")
        progress.end_attempt(1, done=True)
        assert screen.wait_for("no step running ")
        assert screen.wait_for("1/2")
        progress.end_attempt(2, done=True)
        progress.start_steps(1, done=1)
        assert screen.wait_for("all steps done ")


FORK = """
import io, os, sys
from rich.console import Console
from mml.core.scripts import progress_bars
from mml.core.scripts.progress import RunProgress

progress_bars.SHOW_AFTER_SECONDS, progress_bars.REFRESH_SECONDS = 0, 0.001
console = Console(force_terminal=True, color_system=None, width=100, file=sys.stderr, _environ={"TERM": "xterm"})
with RunProgress(console=console) as progress, progress.task("epoch", 5) as task:
    while progress._view._live is None:
        pass
    for number in range(200):
        task.advance(0.01)
        child = os.fork()
        if child == 0:
            console.file = io.StringIO()
            console.print("child")
            with progress.task("in the child", 3) as inner:
                inner.advance()
            os._exit(0 if console.file.getvalue() == "child\\n" else 1)
        assert os.waitpid(child, 0)[1] == 0
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_prints_without_waiting_or_touching_the_bars() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr[-2000:]
