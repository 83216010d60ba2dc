"""The live state of a run is there for others, cheap for the run, and nothing that goes wrong with it is the run's."""

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from mml.core.scripts import progress_attempts, progress_live
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.progress_attempts import Attempt, Attempts
from mml.core.scripts.progress_live import LiveFile, read_live
from mml.core.scripts.progress_views import ProgressTask, StepCount, View
from tests.support.toy_scheduler import Toy, only_run, toy_config


class Clock:
    """A clock that tests turn by hand, in place of the module's `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + 5e8


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    hands = Clock()
    monkeypatch.setattr(progress_live, "time", hands)
    return hands


class Watched(View):
    """A view that notes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def stepped(self) -> None:
        self.told.append("stepped")

    def opened(self, task: ProgressTask) -> None:
        self.told.append("opened")

    def changed(self, task: ProgressTask) -> None:
        self.told.append("changed")

    def closed(self, task: ProgressTask) -> None:
        self.told.append("closed")

    def begun(self, attempt: Attempt) -> None:
        self.told.append("begun")

    def ended(self, attempt: Attempt, done: bool) -> None:
        self.told.append("ended")

    def looked(self) -> None:
        self.told.append("looked")

    def stop(self) -> None:
        self.told.append("stop")


class Lively:
    """A live file with one open bar, and a way to see whether it was written."""

    def __init__(self, folder: Path) -> None:
        self.inner = Watched()
        self.steps = StepCount(total=3, done=1, number=2, name="train(0)", started=990.0)
        self.bars: list[ProgressTask] = []
        self.folder = folder
        self.file = LiveFile(self.inner, folder, self.steps, self.bars)
        self.bar = ProgressTask(self.file, "epoch", 4, "images", 10)
        self.bars.append(self.bar)

    def written(self) -> bool:
        """Tell whether the file was written since the last time, by removing it."""
        path = self.folder / "live.json"
        there = path.exists()
        path.unlink(missing_ok=True)
        return there


@pytest.fixture
def lively(tmp_path: Path, hands: Clock) -> Iterator[Lively]:
    yield (made := Lively(tmp_path))
    made.file.stop()


def test_what_is_over_at_once_leaves_no_trace(lively: Lively) -> None:
    lively.file.stepped()
    lively.file.opened(lively.bar)
    lively.bar.advance()
    assert not lively.written()


def test_counting_is_written_at_most_once_a_second(lively: Lively, hands: Clock) -> None:
    hands.now += 0.6
    written = 0
    for _ in range(100):
        lively.bar.advance()
        written += lively.written()
        hands.now += 0.05
    assert written == 5


def test_steps_and_bars_are_written_at_once_a_few_times(lively: Lively, hands: Clock) -> None:
    hands.now += 0.6
    told = []
    for _ in range(5):
        lively.file.stepped()
        told.append(lively.written())
    assert told == [True, True, True, False, False]
    hands.now += 1.0
    lively.file.closed(lively.bar)
    assert lively.written()
    lively.file.closed(lively.bar)
    assert not lively.written()


def test_file_says_where_the_run_is(lively: Lively, hands: Clock, tmp_path: Path) -> None:
    lively.bar.started = hands.now - 2
    lively.bar.speed.observe(0, hands.now - 2)
    lively.bar.speed._marks.popleft()
    lively.bar.set(completed=1, info="loss 0.3")
    hands.now += 0.6
    lively.bar.advance()
    live = read_live(tmp_path)
    assert live is not None
    assert (live.step, live.steps, live.name, live.pid) == (2, 3, "train(0)", os.getpid())
    assert live.left == pytest.approx(2 * 10.6)
    (bar,) = live.bars
    assert (bar.description, bar.completed, bar.total, bar.unit, bar.info) == ("epoch", 2, 4, "images", "loss 0.3")
    assert bar.rate == pytest.approx(2 / 2.6 * 10)
    assert (bar.left, bar.elapsed) == (pytest.approx(2.6), pytest.approx(2.6))


def test_what_is_shown_to_people_stays_as_it_was(lively: Lively) -> None:
    for tell in (lively.file.opened, lively.file.changed, lively.file.closed):
        tell(lively.bar)
    lively.file.stepped()
    lively.file.stop()
    assert lively.inner.told == ["opened", "changed", "closed", "stepped", "stop"]


def test_file_goes_at_the_end(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="boom"), RunProgress(enabled=False) as progress:
        progress.live_in(tmp_path)
        with progress, progress.task("epoch", 3) as task:
            progress._view._due = 0.0  # type: ignore[attr-defined] # as if a second had passed
            task.advance()
            assert [path.name for path in tmp_path.iterdir()] == ["live.json"]
            raise ValueError("boom")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_was_writing_goes_with_the_end_of_the_next(lively: Lively, tmp_path: Path) -> None:
    left = lively.file._beside
    left.write_text("{")
    assert str(os.getpid()) not in left.name  # or the next process would not know it
    lively.file.stop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", ["no folder", "a folder in the way", "odd numbers", "odd text"])
def test_nothing_that_goes_wrong_is_the_runs(fault: str, lively: Lively, hands: Clock, tmp_path: Path) -> None:
    if fault == "no folder":
        lively.file._beside = tmp_path / "gone" / "x"
    if fault == "a folder in the way":
        (tmp_path / "live.json" / "x").mkdir(parents=True)
    if fault == "odd numbers":
        lively.bar.total = object()  # type: ignore[assignment]
    if fault == "odd text":
        lively.bar.info = "\udc80"
    hands.now += 0.6
    lively.bar.advance()
    lively.file.stepped()
    assert read_live(tmp_path) is None
    lively.bar.total, lively.bar.info = 4, ""


def test_after_a_fault_it_waits_before_it_tries_again(lively: Lively, hands: Clock, tmp_path: Path) -> None:
    good, lively.file._beside = lively.file._beside, tmp_path / "gone" / "x"
    hands.now += 0.6
    lively.bar.advance()
    lively.file._beside = good
    hands.now += 5
    lively.bar.advance()
    lively.file.stepped()
    assert not lively.written()
    hands.now += 6
    lively.bar.advance()
    assert lively.written()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_does_not_matter(lively: Lively, hands: Clock, tmp_path: Path) -> None:
    lively.file._beside.symlink_to("/dev/full")
    hands.now += 0.6
    lively.bar.advance()
    assert not (tmp_path / "live.json").exists()


def test_forked_child_leaves_the_file_to_its_parent(lively: Lively, hands: Clock, tmp_path: Path) -> None:
    hands.now += 0.6
    lively.bar.advance()
    if not (child := os.fork()):
        hands.now += 10
        lively.bar.advance(50)
        lively.file.stop()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    live = read_live(tmp_path)
    assert live is not None
    assert live.bars[0].completed == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"time": "x", "pid": 1}', "\0"])
def test_file_that_says_nothing_is_none(text: str, tmp_path: Path) -> None:
    assert read_live(tmp_path) is None
    (tmp_path / "live.json").write_text(text)
    assert read_live(tmp_path) is None


def test_file_is_plain_json_for_other_programs(lively: Lively, hands: Clock, tmp_path: Path) -> None:
    hands.now += 0.6
    lively.bar.advance()
    said = json.loads((tmp_path / "live.json").read_text())
    assert {"time", "step", "steps", "name", "bars"} <= said.keys()
    assert {"description", "completed", "total", "rate", "info"} <= said["bars"][0].keys()


def test_progress_keeps_it_with_bars_and_without(tmp_path: Path) -> None:
    for enabled in (True, False):
        progress = RunProgress(enabled=enabled, console=Console(file=io.StringIO()))
        progress.live_in(tmp_path)
        with progress:
            assert isinstance(progress._view, LiveFile)
        assert not isinstance(progress._view, LiveFile)


def test_recorded_run_tells_where_it_is_and_takes_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_live, "FIRST_SECONDS", 0.0)
    seen = []

    class Slow(Toy):
        def mark(self, place: str) -> None:
            if place == "begin1":
                seen.append(read_live(only_run(tmp_path)))

    Slow(toy_config(tmp_path, mode__n=2)).run()
    assert seen[0] is not None
    assert (seen[0].step, seen[0].steps, seen[0].name) == (2, 2, "work(1)")
    assert abs(seen[0].time - time.time()) < 3600
    assert not (only_run(tmp_path) / "live.json").exists()


def test_all_steps_that_run_in_workers_are_told(tmp_path: Path, hands: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_attempts, "time", hands)
    monkeypatch.setattr(progress_live, "TOLD", 2)
    progress = RunProgress(enabled=False)
    progress.live_in(tmp_path)
    with progress:
        progress.start_steps(9, done=1)
        hands.now += 5
        for number in (2, 3, 4, 5):
            progress.begin_attempt(number, f"work({number})")
        progress.assign_attempt("w1", 3)
        hands.now += 2
        progress.look()
        live = read_live(tmp_path)
        assert live is not None
        told = [(step.number, step.name, step.worker, step.elapsed) for step in live.running]
        assert told == [(2, "work(2)", "", 2.0), (3, "work(3)", "w1", 2.0)]
        assert (live.step, live.name, live.more) == (3, "work(3)", 2)
        for number in (2, 3, 4, 5):
            progress.end_attempt(number, done=True)
        hands.now += 2
        progress.look()
        live = read_live(tmp_path)
        assert live is not None
        assert (live.step, live.name, live.running, live.more) == (0, "", [], 0)


def test_workers_are_told_of_at_most_once_a_second(lively: Lively, hands: Clock) -> None:
    hands.now += 0.6
    written = 0
    for _ in range(100):
        lively.file.looked()
        written += lively.written()
        hands.now += 0.05
    assert written == 5
    assert lively.inner.told == ["looked"] * 100


def test_a_step_that_begins_or_ends_in_a_worker_is_written_soon(lively: Lively, hands: Clock) -> None:
    hands.now += 0.6
    attempt = Attempts().begin(1, "a")
    lively.file.begun(attempt)
    assert lively.written()
    lively.file.ended(attempt, True)
    assert lively.written()
    assert lively.inner.told == ["begun", "ended"]


def test_the_time_of_a_step_is_told(lively: Lively, hands: Clock, tmp_path: Path) -> None:
    lively.file.stepped()
    hands.now += 4
    lively.bar.advance()
    live = read_live(tmp_path)
    assert live is not None
    assert live.elapsed == 4.0
