"""The comparison sees every real difference, and nothing else."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from chaos.compare import differences, first_difference, is_finished, outcome, repeated_steps, run_folders
from mml.core.scripts.journal import (
    Done,
    Event,
    Finished,
    Journal,
    Opened,
    PathAnnounced,
    Planned,
    Started,
)
from mml.core.scripts.schedule import StepRecord

THIRD = "2026-02-02_third"
PLAN = [StepRecord("work", [0]), StepRecord("work", [1])]
WHOLE: list[Event] = [
    Opened(time=1, pid=1, host="here", command=["mml"]),
    Planned(time=2, steps=PLAN),
    Started(time=3, step=0),
    PathAnnounced(time=3, path="p/x.txt", key="x", step=0),
    Done(time=4, step=0, seconds=1, tasks={"digits": {"models": [{"created": "2026", "fold": 0}]}}),
    Started(time=5, step=1),
    Done(time=6, step=1, seconds=1, value=0.5),
    Finished(time=7, seconds=2, value=0.5),
]


def make_world(root: Path, run: str, stamp: str = "2026-01-01", events: list[Event] = WHOLE) -> Path:
    """Write what a run of this name leaves."""
    folder = root / "results" / "p" / "runs" / run
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"out_dir: {root}/results\n")
    (folder / "exp.log").write_text(stamp)
    (folder / "run.lock").write_text(stamp)
    journal = Journal(folder / "journal.jsonl")
    for number, event in enumerate(events):
        journal.append(msgspec.structs.replace(event, time=number), durable=False)
    journal.close()
    models = root / "results" / "p" / "MODELS"
    (models / ".claims").mkdir(parents=True)
    (models / "model.json").write_text(f'{{"created": "{stamp}", "training_time": {len(run)}.5, "fold": 0}}')
    (models / "model.json").chmod(0o644)
    (models / ".claims" / "model.json").write_text(f"{run}\n")
    task = root / "data" / "tasks" / "pets"
    task.mkdir(parents=True)
    (task / ".creation").write_text(f"{run}-{len(run):08x}")
    return root


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return make_world(tmp_path / "one", "2026-01-01_run")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return make_world(tmp_path / "two", "2027-12-31_another_run", "2027-12-31")


def test_place_name_and_times_of_a_run_are_no_difference(one: Path, two: Path) -> None:
    assert differences(one, two) == []
    assert outcome(one)["results/p/MODELS/.claims/model.json"].endswith(b"<run 1>\n")
    assert outcome(one)["data/tasks/pets/.creation"].endswith(b"<run 1>-<token>")


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "results" / "p" / "MODELS" / "model.json").unlink(),
        lambda root: (root / "results" / "p" / "MODELS" / "model.json").write_text('{"created": "x", "fold": 1}'),
        lambda root: (root / "results" / "p" / "MODELS" / "model.json").chmod(0o600),
        lambda root: (root / "results" / "p" / "MODELS" / ".model.json.abcdefgh.tmp").touch(),
        lambda root: (root / "results" / "p" / "MODELS" / ".claims" / "model.json").write_text("some other run\n"),
        lambda root: (root / "results" / "p" / "empty").mkdir(),
        lambda root: (root / "results" / "p" / "runs" / "labels.json").write_text("{}"),
        lambda root: (root / "data" / "link").symlink_to("tasks"),
        lambda root: (root / "data" / "tasks" / "pets" / ".creation").write_text("2027-12-31_another_run-zz"),
        lambda root: shutil.rmtree(root / "data" / "tasks"),
        lambda root: next(root.rglob("config.yaml")).write_text("out_dir: elsewhere\n"),
    ],
)
def test_any_other_change_is_a_difference(one: Path, two: Path, change: Callable[[Path], object]) -> None:
    change(two)
    assert differences(one, two) != []
    assert differences(two, one) != []


@pytest.mark.parametrize(
    ("place", "event"),
    [
        (1, Planned(time=2, steps=PLAN[:1])),
        (3, PathAnnounced(time=3, path="p/y.txt", key="x", step=0)),
        (4, Done(time=4, step=0, seconds=1, tasks={"digits": {"models": [{"created": "2026", "fold": 1}]}})),
        (6, Done(time=6, step=1, seconds=1, value=0.25)),
        (7, Finished(time=7, seconds=2, value=0.25)),
    ],
)
def test_journals_are_compared_by_what_they_say_of_the_work(
    one: Path, tmp_path: Path, place: int, event: Event
) -> None:
    events = [*WHOLE[:place], event, *WHOLE[place + 1 :]]
    (line,) = differences(make_world(tmp_path / "three", THIRD, events=events), one)
    assert "journal.jsonl" in line


def test_a_step_that_was_begun_twice_and_done_once_is_no_difference(one: Path, tmp_path: Path) -> None:
    events = [*WHOLE[:4], *WHOLE[:1], *WHOLE[2:]]
    three = make_world(tmp_path / "three", THIRD, events=events)
    assert differences(three, one) == []
    assert repeated_steps(three) == 0


@pytest.mark.parametrize(
    ("again", "times"), [([WHOLE[2]], 1), ([WHOLE[4]], 1), ([WHOLE[2], WHOLE[4]], 2), ([WHOLE[0]], 0)]
)
def test_a_finished_step_that_is_begun_or_done_again_is_counted(tmp_path: Path, again: list[Event], times: int) -> None:
    assert repeated_steps(make_world(tmp_path / "w", THIRD, events=[*WHOLE[:5], *again, *WHOLE[5:]])) == times


def test_finished_is_what_the_journal_says(one: Path, tmp_path: Path) -> None:
    (run,) = run_folders(one / "results")
    assert is_finished(run)
    (other,) = run_folders(make_world(tmp_path / "w", THIRD, events=WHOLE[:-1]) / "results")
    assert not is_finished(other)


def test_a_run_that_was_killed_before_it_could_be_continued_is_left_out(one: Path, two: Path) -> None:
    left = one / "results" / "p" / "runs" / "2026-01-01_before"
    left.mkdir()
    (left / "overrides.yaml").touch()
    assert differences(one, two) == []
    (left / "config.yaml").touch()
    assert differences(one, two) != []


def write_curves(folder: Path, name: str, points: list[tuple[str, int, float]], torn: bool = False) -> None:
    from tensorboard.compat.proto.event_pb2 import Event as Point

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"events.out.tfevents.{name}").open("wb") as file:
        for tag, step, value in points:
            point = Point(wall_time=float(len(name)), step=step)
            point.summary.value.add(tag=tag, simple_value=value)
            data = point.SerializeToString()
            file.write(struct.pack("<Q", len(data)) + b"crc1" + data + b"crc2"[: 2 if torn else 4])


@pytest.mark.parametrize(
    ("parts", "same"),
    [
        ([[("loss", 1, 0.5), ("loss", 2, 0.25)]], True),
        ([[("loss", 1, 0.5)], [("loss", 1, 0.5), ("loss", 2, 0.25)]], True),
        ([[("loss", 1, 0.5)]], False),
        ([[("loss", 1, 0.5)], [("loss", 1, 0.75), ("loss", 2, 0.25)]], False),
        ([[("loss", 1, 0.5), ("loss", 2, 0.25), ("f1", 2, 0.25)]], False),
    ],
)
def test_curves_are_compared_by_what_they_show(
    one: Path, two: Path, parts: list[list[tuple[str, int, float]]], same: bool
) -> None:
    write_curves(one / "results" / "p" / "curves", "1.here.0", [("loss", 1, 0.5), ("loss", 2, 0.25)])
    for number, points in enumerate(parts):
        write_curves(two / "results" / "p" / "curves", f"{number}.there.7", points)
    assert (differences(one, two) == []) is same


def test_a_torn_point_is_none(one: Path, two: Path) -> None:
    for world in (one, two):
        write_curves(world / "results" / "curves", "a", [("loss", 1, 0.5)])
    write_curves(two / "results" / "curves", "b", [("loss", 2, 0.5)], torn=True)
    assert differences(one, two) == []


def test_the_place_of_a_difference_is_shown() -> None:
    assert first_difference(b"abcd", b"abXd") == "at byte 2: 'abcd' / 'abXd'"
    assert first_difference(b"ab", b"abc").startswith("at byte 2")
