"""The rows of steps that run at once: one or two each, folded where they are too many, and in their places."""

import pytest

from mml.core.scripts import progress_rows
from mml.core.scripts.progress_rows import Row, RunningRows, head_text
from mml.core.scripts.progress_state import LiveBar, LiveStep

EPOCH = LiveBar("epoch", 2.5, 5, None, "", "val 0.9", 60.0, 90.0)
TRAIN = LiveBar("train", 30, 90, 1234.0, "images", "loss 0.3", 5.0, 6.0)
STEP = LiveStep(3, "train('digits', 0)", "w1", 100.0, [EPOCH, TRAIN])


def steps(count: int, bars: int = 2, worker: str = "w") -> list[LiveStep]:
    return [LiveStep(number, "work", worker, 1.0, [EPOCH, TRAIN, TRAIN][:bars]) for number in range(1, count + 1)]


def names(rows: list[Row]) -> list[str]:
    return [row.texts[0].strip() for row in rows]


def test_a_step_and_its_outermost_bar_share_a_row() -> None:
    step, train = RunningRows().rows([STEP], 10)
    assert step.texts == ("  step 3 train('digits', 0)", "epoch 2/5", "", "1:40", "1:00", "on w1  val 0.9")
    assert (step.completed, step.total, step.bar) == (2.5, 5, True)
    assert train.texts == ("    train", "30/90", "1,234 images/s", "0:06", "0:05", "loss 0.3")


def test_a_step_without_bars_shows_its_worker_and_time() -> None:
    (row,) = RunningRows().rows([LiveStep(3, "work(1)", "w1", 100.0)], 10)
    assert (row.texts, row.bar) == (("  step 3 work(1)", "", "", "1:40", "", "on w1"), False)


def test_a_step_that_waits_says_so() -> None:
    (row,) = RunningRows("    ", " left").rows([LiveStep(3, "work(1)")], 10)
    assert (row.texts[0], row.texts[5]) == ("    step 3 work(1)", "waits for a worker")


def test_indent_and_words_are_those_asked_for() -> None:
    step, train = RunningRows("....", " left").rows([STEP], 10)
    assert (step.texts[0][:9], step.texts[4]) == ("....step ", "1:00 left")
    assert (train.texts[0], train.texts[4]) == ("....  train", "0:05 left")


@pytest.mark.parametrize(
    ("count", "bars", "room", "shown"),
    [
        (2, 2, 4, ["step 1 work", "train", "step 2 work", "train"]),
        (2, 3, 6, ["step 1 work", "train", "train", "step 2 work", "train", "train"]),
        (2, 3, 5, ["step 1 work", "train", "train", "step 2 work", "train"]),
        (2, 2, 3, ["step 1 work", "step 2 work"]),
        (3, 1, 5, ["step 1 work", "step 2 work", "step 3 work"]),
        (3, 2, 2, ["step 1 work", "and 2 more steps"]),
        (2, 2, 1, ["and 2 more steps"]),
        (1, 2, 1, ["step 1 work"]),
        (0, 2, 5, []),
    ],
)
def test_rows_are_folded_where_there_is_no_room(count: int, bars: int, room: int, shown: list[str]) -> None:
    rows = RunningRows().rows(steps(count, bars), room)
    assert names(rows) == shown
    assert len(rows) <= max(1, room)


def test_those_that_are_not_known_are_a_number() -> None:
    assert names(RunningRows().rows(steps(1), 3, more=1)) == ["step 1 work", "train", "and 1 more step"]
    assert names(RunningRows().rows(steps(3), 3, more=7)) == ["step 1 work", "step 2 work", "and 8 more steps"]


def test_where_not_all_fit_those_that_wait_are_left_out() -> None:
    waiting = [LiveStep(number, "wait") for number in (11, 12)]
    rows = RunningRows().rows([waiting[0], *steps(2), waiting[1]], 3)
    assert names(rows) == ["step 1 work", "step 2 work", "and 2 more steps"]


def test_a_bar_that_is_gone_leaves_its_line_free_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress_rows, "time", type("Clock", (), {"monotonic": lambda: now}))
    made = RunningRows()
    with_bar, without = steps(2), [steps(1, bars=1)[0], steps(2)[1]]
    assert len(made.rows(with_bar, 10)) == 4
    now += 3
    assert names(made.rows(without, 10)) == ["step 1 work", "", "step 2 work", "train"]
    now += 3
    assert names(made.rows(without, 10)) == ["step 1 work", "step 2 work", "train"]
    assert names(made.rows(without[:1], 10)) == ["step 1 work"]


def test_the_head_counts_those_that_run_and_those_that_wait() -> None:
    assert head_text([]) == "0 steps running"
    assert head_text(steps(1)) == "1 step running"
    assert head_text(steps(1200)) == "1,200 steps running"
    assert head_text([*steps(2), *steps(1, worker="")], more=3) == "2 steps running, 4 waiting"
