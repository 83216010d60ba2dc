"""Which earlier steps an estimate is made of: the more alike, the better; of those, the newest of this project."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from mml.core.scripts.journal import Done, Opened, PathAnnounced, Planned, Started
from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.schedule import StepRecord
from mml.plan_estimates import Estimates, Present, tasks_of
from mml.plan_history import read_history
from mml.plan_record import UNKNOWN, Estimate
from tests.support.plans import planned
from tests.support.runs import write_journal

CONFIG = {"seed": 1, "mode": {"id": "toy"}, "lr": 0.1, "task_list": ["a"], "logging": {"level": "INFO"}}


def past(root: Path, number: int, command: str = "work", params: tuple[Any, ...] = ("a", 0), **known: Any) -> Path:
    """Write a run of one step; options: `seconds`, `config`, `project`, `mode`, `size`."""
    project = known.get("project", "default")
    folder = root / project / "runs" / f"2026-11-20_10-00-{number:02d}_toy"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **known.get("config", {})}))
    path = f"{project}/made_{number}"
    (root / path).write_bytes(bytes(known.get("size", 10)))
    write_journal(
        folder,
        [
            Opened(time=1, pid=1, host="h", command=[], mode=known.get("mode", "toy"), tasks=["a", "b"]),
            Planned(time=1, steps=[StepRecord(command, list(params))]),
            Started(time=1, step=0),
            PathAnnounced(time=1, path=path, key="made", step=0),
            Done(time=2, step=0, seconds=known.get("seconds", 1.0)),
        ],
    )
    return folder


def estimate(root: Path, command: str = "work", params: tuple[Any, ...] = ("a", 0), keys: Any = ("lr",)) -> Estimate:
    present = Present("toy", CONFIG, lambda _: keys, PathRoots(root, root / "data"), "default")
    step = planned(0, command, params, tasks=tasks_of(params, ["a", "b"]))
    return Estimates(read_history(root, "default"), present).of(step)


def test_without_runs_nothing_is_known(tmp_path: Path) -> None:
    assert estimate(tmp_path) == UNKNOWN
    assert str(UNKNOWN) == ""


def test_the_median_of_the_same_step_is_the_best(tmp_path: Path) -> None:
    for number, seconds in enumerate((1.0, 2.0, 9.0)):
        past(tmp_path, number, seconds=seconds, size=10 * (number + 1))
    past(tmp_path, 9, params=("a", 1), seconds=50.0)
    found = estimate(tmp_path)
    assert found == Estimate(2.0, 20, "same step", 3)
    assert str(found) == "same step, 3 runs"


def test_settings_that_a_step_depends_on_count_and_no_others(tmp_path: Path) -> None:
    past(tmp_path, 1, seconds=1.0, config={"lr": 0.9})
    past(tmp_path, 2, seconds=2.0, config={"other": 5})
    assert estimate(tmp_path) == Estimate(2.0, 10, "same step", 1)
    # Of a command that nothing is known of, all keys count but those of where a run goes on.
    assert estimate(tmp_path, keys=None).source == "same step, other settings"
    past(tmp_path, 3, seconds=3.0, config={"logging": {"level": "DEBUG"}})
    assert estimate(tmp_path, keys=None) == Estimate(3.0, 10, "same step", 1)


def test_other_tasks_of_the_run_are_no_matter_to_a_step_that_names_its_own(tmp_path: Path) -> None:
    past(tmp_path, 1, config={"task_list": ["a", "b"], "task": ["a", "b"]})
    assert estimate(tmp_path, keys=None).source == "same step"


def test_another_fold_with_the_same_settings_comes_before_the_same_with_others(tmp_path: Path) -> None:
    past(tmp_path, 1, seconds=1.0, config={"lr": 0.9})
    assert estimate(tmp_path).source == "same step, other settings"
    past(tmp_path, 2, params=("a", 1), seconds=2.0)
    assert estimate(tmp_path) == Estimate(2.0, 10, "same command, task and settings", 1)


def test_then_the_same_command_and_task_then_the_command(tmp_path: Path) -> None:
    past(tmp_path, 1, params=("b", 0), seconds=1.0)
    assert estimate(tmp_path) == Estimate(1.0, 10, "same command", 1)
    past(tmp_path, 2, params=("a", 1), seconds=2.0, config={"lr": 0.9})
    assert estimate(tmp_path) == Estimate(2.0, 10, "same command and task", 1)
    assert estimate(tmp_path, "rest") == UNKNOWN


def test_another_mode_is_the_last_resort(tmp_path: Path) -> None:
    past(tmp_path, 1, mode="other", seconds=5.0)
    assert estimate(tmp_path) == Estimate(5.0, 10, "same command of another mode", 1)


def test_runs_of_this_project_come_first(tmp_path: Path) -> None:
    past(tmp_path, 1, seconds=1.0)
    past(tmp_path, 2, seconds=9.0, project="other")
    assert estimate(tmp_path).seconds == 1.0
    past(tmp_path, 3, params=("a", 7), project="other", seconds=4.0)
    assert estimate(tmp_path, params=("a", 7)) == Estimate(4.0, 10, "same step", 1)


def test_only_the_newest_count(tmp_path: Path) -> None:
    for number in range(40):
        past(tmp_path, number, seconds=100.0 if number < 20 else 1.0)
    assert estimate(tmp_path) == Estimate(1.0, 10, "same step", 20)


def test_a_size_that_cannot_be_told_any_more_is_unknown(tmp_path: Path) -> None:
    past(tmp_path, 1)
    (tmp_path / "default" / "made_1").unlink()
    assert estimate(tmp_path) == Estimate(1.0, None, "same step", 1)


BOMB = "a: &a {x: 1}\n" + "".join(
    f"{after}: &{after} {{{', '.join(f'k{n}: *{before}' for n in range(9))}}}\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("text", ["[1, 2]", "{", "5: x", "!!python/object:os.system {}", "\0", "- " * 5000, BOMB, None])
def test_damaged_and_hostile_configs_only_make_a_run_less_alike(tmp_path: Path, text: str | None) -> None:
    folder = past(tmp_path, 1)
    (folder / "config.yaml").unlink()
    if text is None:
        os.mkfifo(folder / "config.yaml")
    else:
        (folder / "config.yaml").write_text(text)
    assert estimate(tmp_path).source == "same step, other settings"


def test_tasks_of_a_step_are_those_of_the_run_that_its_params_name() -> None:
    assert tasks_of(["b", 0, "x", "a"], ["a", "b"]) == ("b", "a")
    assert tasks_of([["a"], {"a": 1}, None], ["a"]) == ()
