"""Runs are compared by what they did and left, whatever numbers their files got and in which order steps ended."""

from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.journal import AnyEvent, Done, Failed, Finished, Opened, PathAnnounced, Planned, Skipped, Started
from mml.core.scripts.schedule import StepRecord
from mml.testing.outcomes import outcome_of, repeated_steps
from tests.support.runs import write_journal

TIME = 1.8e9
STEPS = [StepRecord("make", ["a"], []), StepRecord("make", ["b"], []), StepRecord("join", ["c"], [0, 1])]


def done(step: int, **what: Any) -> Done:
    return Done(time=TIME, step=step, seconds=1.0, **what)


def run(root: Path, order: list[int], numbers: dict[int, int], *more: AnyEvent, text: str = "made") -> Path:
    """Write a run whose steps end in an order and make a numbered file and a record of it each; return its folder."""
    folder = root / "results" / "default" / "runs" / "r"
    folder.mkdir(parents=True)
    events: list[AnyEvent] = [Opened(time=TIME, pid=1, host="h", command=[]), Planned(time=TIME, steps=STEPS)]
    for step in order:
        path = f"default/NOTES/note_{numbers[step]}.txt"
        file = root / "results" / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'{text} {step}: {path}, "created": {order.index(step)}')
        models = [{"step": other, "created": f"at {other}"} for other in sorted(order[: order.index(step) + 1])]
        change = {"t": {"paths": {f"note_{step}": path}, "models": models}}
        events += [
            Started(time=TIME, step=step),
            PathAnnounced(time=TIME, path=path, key="note", step=step),
            done(step, tasks=change, value=step),
        ]
    write_journal(folder, [*events, *more, Finished(time=TIME, seconds=1, value=2)])
    return folder


def test_order_and_numbers_are_no_difference(tmp_path: Path) -> None:
    serial = outcome_of(run(tmp_path / "a", [0, 1, 2], {0: 1, 1: 2, 2: 3}))
    other = outcome_of(run(tmp_path / "b", [1, 0, 2], {0: 2, 1: 1, 2: 3}))
    assert serial.differences(other) == []
    assert serial.done["make('a')"]["value"] == 0
    assert len(serial.files) == 3
    assert all("note 1 of " in name for name in serial.files)


def test_content_that_differs_is_told(tmp_path: Path) -> None:
    one = outcome_of(run(tmp_path / "a", [0, 1, 2], {0: 1, 1: 2, 2: 3}))
    two = outcome_of(run(tmp_path / "b", [0, 1, 2], {0: 1, 1: 2, 2: 3}, text="other"))
    assert [line.partition(" <")[0] for line in two.differences(one)] == ["files"] * 3


def test_file_that_nobody_announced_is_a_difference(tmp_path: Path) -> None:
    one, two = (run(tmp_path / name, [0, 1, 2], {0: 1, 1: 2, 2: 3}) for name in "ab")
    (two.parents[1] / "NOTES" / "note_4.txt").write_text("left behind")
    assert outcome_of(two).differences(outcome_of(one)) == ["files NOTES/note_4.txt: left behind, not missing"]


def test_step_that_is_missing_is_told(tmp_path: Path) -> None:
    whole = outcome_of(run(tmp_path / "a", [0, 1, 2], {0: 1, 1: 2, 2: 3}))
    part = outcome_of(run(tmp_path / "b", [0, 1], {0: 1, 1: 2}))
    assert any(line.startswith("done join('c'): missing, not ") for line in part.differences(whole))


def test_failed_and_skipped_steps_are_told(tmp_path: Path) -> None:
    failed = Failed(time=TIME, step=1, error="ValueError: boom", goes_on=True)
    again = Failed(time=TIME, step=0, error="ValueError: at first", goes_on=True)
    folder = run(tmp_path, [0], {0: 1}, failed, again, Skipped(time=TIME, step=2, needs=1))
    found = outcome_of(folder)
    assert (found.failed, found.skipped) == ({"make('b')": "ValueError: boom"}, ["join('c')"])


def test_curves_are_called_by_their_folder(tmp_path: Path) -> None:
    folder = run(tmp_path, [0], {0: 1})
    curves = folder.parents[1] / "TB"
    curves.mkdir()
    (curves / "events.out.tfevents.123.host.4").write_bytes(b"x")
    assert outcome_of(folder).files["TB/events.out.tfevents"] == b""


@pytest.mark.parametrize(("steps", "repeated"), [([0, 1, 2], []), ([0, 1, 0, 2, 2], [0, 2])])
def test_steps_done_twice_are_found(steps: list[int], repeated: list[int]) -> None:
    assert repeated_steps([done(step) for step in steps]) == repeated
