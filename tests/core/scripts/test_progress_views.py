import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from mml.core.scripts import progress_attempts, progress_views
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.progress_state import Live, LiveBar, encode_live
from mml.core.scripts.progress_views import BURST, PlainView, ProgressTask, Speed, StepCount, View, clock


class Clock:
    """A clock that tests turn by hand, in place of the module's `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    hands = Clock()
    monkeypatch.setattr(progress_views, "time", hands)
    return hands


class Plain:
    """A plain view, the steps it tells of, and what it has said."""

    def __init__(self) -> None:
        self.steps = StepCount(total=100)
        self.file = io.StringIO()
        self.view = PlainView(Console(file=self.file, width=20), self.steps)

    def step(self, number: int) -> None:
        self.steps.number = number
        self.view.stepped()

    def open(self, total: int | None, depth: int = 0, **options: object) -> ProgressTask:
        task = ProgressTask(self.view, "epoch", total, **options)  # type: ignore[arg-type]
        task.depth = depth
        self.view.opened(task)
        return task

    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.9, "0:07"), (750, "12:30"), (3723, "1:02:03"), (None, "")]
)
def test_clock_reads_like_a_clock(seconds: float | None, text: str) -> None:
    assert clock(seconds) == text


def test_speed_is_unknown_until_something_grows() -> None:
    speed = Speed(0, 0)
    assert speed.per_second() is None
    speed.observe(0, 5)
    assert speed.per_second() is None


def test_speed_is_that_of_the_last_seconds() -> None:
    speed = Speed(0, 0)
    for second in range(1, 101):
        speed.observe(second, second)
    for second in range(101, 161):
        speed.observe(100 + (second - 100) * 10, second)
    assert speed.per_second() == pytest.approx(10)


def test_speed_starts_anew_when_the_count_does() -> None:
    speed = Speed(0, 0)
    speed.observe(100, 1)
    speed.observe(0, 2)
    speed.observe(6, 4)
    assert speed.per_second() == 3


def test_a_step_line_without_a_name_has_no_blank_end() -> None:
    assert StepCount(total=5000, number=1200).line() == "step 1,200/5,000"


@pytest.mark.parametrize(
    ("unit", "scale", "seconds", "rate"),
    [("images", 64, 0.5, "1,280 images/s"), ("it", 1, 2.0, "5 it/s"), ("it", 1, 20.0, "0.5 it/s"), ("", 1, 2.0, "")],
)
def test_rates_are_told_in_the_unit_of_the_bar(unit: str, scale: float, seconds: float, rate: str) -> None:
    task = ProgressTask(View(), "batch", 100, unit, scale)
    task.speed = Speed(0, 0)
    task.speed.observe(10, seconds)
    assert task.rate() == rate


def test_time_left_follows_from_the_speed() -> None:
    task = ProgressTask(View(), "batch", 100)
    task.speed = Speed(0, 0)
    assert task.time_left() is None
    task.completed = 20
    task.speed.observe(20, 10)
    assert task.time_left() == 40
    task.total = None
    assert task.time_left() is None


def test_a_burst_of_steps_is_told_and_then_one_step_a_second(hands: Clock) -> None:
    plain = Plain()
    for number in range(1, 51):
        plain.step(number)
    assert len(plain.lines()) == BURST
    hands.now += 1.5
    plain.step(51)
    plain.step(52)
    assert plain.lines()[BURST:] == ["step 51/100"]


def test_a_slow_step_after_a_burst_is_told_when_its_first_bar_opens(hands: Clock) -> None:
    plain = Plain()
    for number in range(1, 51):
        plain.step(number)
    hands.now += 2
    plain.open(10)
    assert plain.lines()[BURST:] == ["step 50/100"]


def test_every_slow_epoch_gets_its_line(hands: Clock) -> None:
    plain = Plain()
    epochs = plain.open(100, unit="")
    for _ in range(99):
        hands.now += 30
        epochs.advance()
    assert plain.lines() == [f"epoch {number}/100" for number in range(1, 100)]


def test_a_part_of_an_epoch_gets_no_line(hands: Clock) -> None:
    plain = Plain()
    epochs = plain.open(100, unit="")
    for _ in range(8):
        hands.now += 30
        epochs.advance(0.25)
    assert plain.lines() == ["epoch 1/100", "epoch 2/100"]


def test_what_flies_by_gets_ever_fewer_lines_with_its_rate(hands: Clock) -> None:
    plain = Plain()
    images = plain.open(1_000_000, unit="images")
    for _ in range(6000):
        hands.now += 0.1
        images.advance(100)
    assert 10 < len(plain.lines()) < 50
    assert plain.lines()[-1].endswith("/1,000,000  1,000 images/s")


def test_what_is_over_in_a_few_seconds_gets_one_line(hands: Clock) -> None:
    plain = Plain()
    batches = plain.open(40)
    for _ in range(40):
        hands.now += 0.1
        batches.advance()
    assert plain.lines() == ["epoch 40/40  10 it/s"]


def test_a_nested_bar_speaks_when_the_outer_one_is_silent_for_long(hands: Clock) -> None:
    plain = Plain()
    plain.open(2)
    batches = plain.open(1000, depth=1, unit="")
    for _ in range(20):
        hands.now += 1
        batches.advance()
    assert plain.lines() == ["epoch 15/1,000"]


def test_long_lines_are_not_broken(hands: Clock) -> None:
    plain = Plain()
    task = plain.open(1)
    hands.now += 1
    task.set(completed=1, info="val/accuracy 0.91 " * 5)
    assert len(plain.lines()) == 1


class Runs:
    """A plain view of steps in workers, with a clock that tests turn by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        for module in (progress_views, progress_attempts):
            monkeypatch.setattr(module, "time", self)
        self.console = Console(file=io.StringIO(), width=60)
        self.progress = RunProgress(console=self.console)

    def monotonic(self) -> float:
        return self.now

    def lines(self) -> list[str]:
        assert isinstance(self.console.file, io.StringIO)
        text = self.console.file.getvalue()
        self.console.file = io.StringIO()
        return text.splitlines()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    made = Runs(monkeypatch)
    with made.progress:
        made.progress.start_steps(20)
        yield made


def test_steps_in_workers_are_told_when_they_begin_and_end(runs: Runs) -> None:
    runs.progress.begin_attempt(1, "work(1)")
    runs.progress.begin_attempt(2, "work(2)")
    runs.progress.assign_attempt("w1", 2)
    runs.now += 42
    runs.progress.end_attempt(2, done=True)
    runs.progress.end_attempt(1, done=False)
    assert runs.lines() == [
        "step 1/20 work(1)",
        "step 2/20 work(2)",
        "step 2 is done on w1, 0:42; 1/20 steps done",
        "step 1 is not done, 0:42; 1/20 steps done",
    ]


def test_steps_that_run_for_long_are_told_now_and_then(runs: Runs, tmp_path: Path) -> None:
    runs.progress.follow_workers(tmp_path)
    (tmp_path / "workers" / "w1").mkdir(parents=True)
    live = Live(1.0, 1, 2, bars=[LiveBar("epoch", 2.5, 5), LiveBar("train", 3, 10)], elapsed=20.0)
    runs.progress.begin_attempt(1, "work(1)")
    runs.progress.begin_attempt(2, "work(2)")
    (tmp_path / "workers" / "w1" / "live.json").write_bytes(encode_live(live))
    runs.progress.look()
    runs.lines()
    told = []
    for _ in range(60):
        runs.now += 1
        runs.progress.look()
        told += runs.lines()
    assert told[0] == "0/20 steps done; running: step 1 waiting (0:30), step 2 on w1 (0:50, epoch 2/5)"
    assert len(told) == 2


def test_many_steps_that_run_are_a_few_and_a_number(runs: Runs) -> None:
    for number in range(1, 13):
        runs.progress.begin_attempt(number, "work")
    runs.lines()
    runs.now += 60
    runs.progress.look()
    (line,) = runs.lines()
    assert line.endswith("step 8 waiting (1:00), 4 more")
    assert line.count("step ") == 8


def test_steps_in_workers_that_fly_by_are_few_lines_and_the_last(runs: Runs) -> None:
    for number in range(1, 21):
        runs.progress.begin_attempt(number, "work")
        runs.progress.end_attempt(number, done=True)
    lines = runs.lines()
    assert len(lines) == 11
    assert lines[-1] == "step 20 is done, 0:00; 20/20 steps done"


def test_where_nothing_runs_nothing_is_told(runs: Runs) -> None:
    runs.now += 100
    runs.progress.look()
    assert runs.lines() == []
