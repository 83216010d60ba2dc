"""A job of Slurm: what it is called, which run each of its commands has begun, and how it is queued again."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts import slurm
from mml.core.scripts.slurm import SlurmJob, current_job, mark, own_run, requeue
from tests.support.toy_scheduler import crowd

FIRST = SlurmJob("12", "one")
AGAIN = FIRST._replace(restart=1)
Run = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Make the folder of a run with its config, marked by jobs."""

    def make(name: str, *jobs: SlurmJob, overrides: tuple[str, ...] = ()) -> Path:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
        for job in jobs:
            assert mark(folder, job, overrides)
        return folder

    return make


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put an executable `scontrol` that notes down its words, and does what a script says, on the path."""

    def install(script: str) -> Path:
        folder, called = tmp_path / "bin", tmp_path / "called"
        folder.mkdir()
        (folder / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {called}\n{script}\n')
        (folder / "scontrol").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        return called

    return install


@pytest.mark.parametrize(
    ("env", "job"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": ""}, None),
        ({"SLURM_JOB_ID": "12"}, SlurmJob("12")),
        ({"SLURM_JOB_ID": "12", "SLURM_CLUSTER_NAME": "one", "SLURM_RESTART_COUNT": "2"}, SlurmJob("12", "one", 2)),
        ({"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "10", "SLURM_ARRAY_TASK_ID": "4"}, SlurmJob("10_4")),
        ({"SLURM_JOB_ID": "12", "SLURM_PROCID": "3"}, SlurmJob("12", task=3)),
        ({"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "?"}, SlurmJob("12")),
    ],
    ids=str,
)
def test_job_is_told_by_the_variables_of_slurm(env: dict[str, str], job: SlurmJob | None) -> None:
    assert current_job(env) == job


def test_job_of_this_process_is_told_by_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    assert current_job() is not None
    monkeypatch.delenv("SLURM_JOB_ID")
    assert current_job() is None


def test_restarted_job_finds_the_run_that_it_began(run: Run, tmp_path: Path) -> None:
    own = run("a", FIRST)
    assert own_run(tmp_path, AGAIN, ()) == own


def test_job_that_was_not_restarted_has_begun_nothing(run: Run, tmp_path: Path) -> None:
    run("a", FIRST)
    assert own_run(tmp_path, FIRST, ()) is None


@pytest.mark.parametrize(
    "other",
    [
        AGAIN._replace(name="13"),
        AGAIN._replace(name="12_1"),
        AGAIN._replace(name="1"),
        AGAIN._replace(cluster="two"),
        AGAIN._replace(task=1),
    ],
    ids=str,
)
def test_run_of_another_job_is_left_alone(run: Run, tmp_path: Path, other: SlurmJob) -> None:
    run("a", FIRST)
    assert own_run(tmp_path, other, ()) is None


def test_run_of_another_command_is_left_alone(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/mml", "train", "task=a"])
    run("a", FIRST)
    monkeypatch.setattr(sys, "argv", ["/bin/mml", "train", "task=b"])
    assert own_run(tmp_path, AGAIN, ()) is None
    monkeypatch.setattr(sys, "argv", ["elsewhere/__main__.py", "train", "task=a"])
    assert own_run(tmp_path, AGAIN, ()) is not None


def test_run_of_another_job_of_a_sweep_is_left_alone(run: Run, tmp_path: Path) -> None:
    run("a", FIRST, overrides=("seed=1",))
    second = run("b", FIRST, overrides=("seed=2",))
    assert own_run(tmp_path, AGAIN, ("seed=2",)) == second
    assert own_run(tmp_path, AGAIN, ("seed=3",)) is None


def test_equal_commands_take_the_runs_in_the_order_of_their_beginning(run: Run, tmp_path: Path) -> None:
    first, second = run("z", FIRST), run("a", FIRST)
    for restart in (1, 2):
        job = FIRST._replace(restart=restart)
        assert [own_run(tmp_path, job, ()) for _ in range(3)] == [first, second, None]


def test_run_begun_after_a_restart_belongs_to_the_next_command(run: Run, tmp_path: Path) -> None:
    run("a", AGAIN)
    assert own_run(tmp_path, AGAIN, ()) is None
    assert own_run(tmp_path, AGAIN._replace(restart=2), ()) is not None


def test_equal_commands_at_the_same_moment_take_different_runs(run: Run, tmp_path: Path) -> None:
    runs = [run(f"run{number}", FIRST) for number in range(4)]
    crowd(lambda number: (tmp_path / f"took{number}").write_text(str(own_run(tmp_path, AGAIN, ()))), 4)
    assert sorted((tmp_path / f"took{number}").read_text() for number in range(4)) == sorted(map(str, runs))


def test_run_that_was_killed_before_it_had_a_config_is_no_run(run: Run, tmp_path: Path) -> None:
    (run("a", FIRST) / "config.yaml").unlink()
    assert own_run(tmp_path, AGAIN, ()) is None


def test_mark_that_was_torn_is_none(run: Run, tmp_path: Path) -> None:
    (mark_file,) = (run("a", FIRST) / "slurm").iterdir()
    mark_file.write_bytes(mark_file.read_bytes()[:-5])
    assert own_run(tmp_path, AGAIN, ()) is None


def test_run_is_marked_once_per_start(run: Run) -> None:
    folder = run("a", FIRST)
    assert not mark(folder, FIRST, ())
    assert mark(folder, AGAIN, ())


def test_command_that_is_no_unicode_can_be_marked(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mml", "mode.source=caf\udce9"])
    own = run("a", FIRST)
    assert own_run(tmp_path, AGAIN, ()) == own


def test_names_become_names_of_files(run: Run) -> None:
    odd = SlurmJob("1/2", "my cluster")
    assert mark(run("a"), odd, ())
    assert odd.stem == "my_cluster-1_2-0"


def test_slurm_is_asked_to_queue_the_job_again(scontrol: Callable[[str], Path]) -> None:
    called = scontrol("exit 0")
    assert requeue(SlurmJob("10_4")) is None
    assert called.read_text() == "requeue 10_4\n"


@pytest.mark.parametrize(
    ("script", "fault"),
    [("echo 'Job is pending execution' >&2; exit 1", "Job is pending execution"), ("exit 3", "exit code 3")],
)
def test_refusal_of_slurm_is_told(scontrol: Callable[[str], Path], script: str, fault: str) -> None:
    scontrol(script)
    assert requeue(FIRST) == fault


def test_machine_without_scontrol_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "scontrol" in str(requeue(FIRST))


def test_scontrol_that_hangs_is_told(scontrol: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    scontrol("exec sleep 100")
    monkeypatch.setattr(slurm, "_PATIENCE", 0.05)
    assert "timed out" in str(requeue(FIRST))


def test_where_there_is_no_project_nothing_was_begun(tmp_path: Path) -> None:
    found: Any = own_run(tmp_path / "none", AGAIN, ())
    assert found is None
