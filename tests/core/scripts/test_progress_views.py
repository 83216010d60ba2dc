import io

import pytest
from rich.console import Console

from mml.core.scripts import progress_views
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
