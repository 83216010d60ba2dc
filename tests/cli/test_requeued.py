"""Runs in jobs of Slurm that lose their machine and are started again, with a `scontrol` that only takes notes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mml.core.scripts.journal import Stopped, read_events
from mml.core.scripts.runs import project_runs
from tests.cli.conftest import Mml
from tests.support.fake_plugins import install_toy, path_with

WAIT = 120


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in job 12 of a Slurm whose `scontrol` takes notes; return the file of the notes."""
    folder, notes = tmp_path / "bin", tmp_path / "called"
    folder.mkdir()
    (folder / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {notes}\n')
    (folder / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    return notes


@pytest.fixture
def restart(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda number: monkeypatch.setenv("SLURM_RESTART_COUNT", str(number))


def states(tmp_path: Path, proj: str = "default") -> list[str]:
    return [run.state for run in project_runs(tmp_path / "results" / proj)]


def done_steps(tmp_path: Path) -> list[int]:
    return [run.steps_done for run in project_runs(tmp_path / "results" / "default")]


def test_preempted_run_is_recorded_and_its_job_queued_again(toy: Mml, tmp_path: Path, called: Path) -> None:
    said = toy("toy", "mode.trap=begin1:SIGUSR1")
    assert said.code == 138
    (run,) = project_runs(tmp_path / "results" / "default")
    last = read_events(run.path / "journal.jsonl")[0][-1]
    assert isinstance(last, Stopped)
    assert (last.step, last.signal) == (1, "SIGUSR1")
    assert called.read_text() == "requeue 12\n"
    assert said.err.splitlines()[-4:] == [
        "Interrupted (SIGUSR1).",
        "Slurm job 12 is queued again, and goes on by itself then.",
        "Continue with:",
        f"mml continue {run.name}",
    ]


def test_preemption_outside_of_slurm_just_stops(toy: Mml, called: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID")
    said = toy("toy", "mode.trap=begin1:SIGUSR1")
    assert said.code == 138
    assert said.err.splitlines()[-1].startswith("mml continue ")
    assert not called.exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_other_signals_queue_nothing_again(toy: Mml, called: Path, name: str) -> None:
    assert toy("toy", f"mode.trap=begin1:{name}").code == 128 + getattr(signal, name)
    assert not called.exists()


def test_refusal_of_slurm_is_told_last(toy: Mml, tmp_path: Path, called: Path) -> None:
    (tmp_path / "bin" / "scontrol").write_text("#!/bin/sh\necho 'Requested operation is disabled' >&2; exit 1\n")
    said = toy("toy", "mode.trap=begin1:SIGUSR1")
    assert said.code == 138
    assert said.err.splitlines()[-1] == "But Slurm does not queue job 12 again: Requested operation is disabled"


def test_restarted_job_goes_on_with_its_run(
    toy: Mml, tmp_path: Path, called: Path, restart: Callable[[int], None]
) -> None:
    words = ("toy", f"mode.trace={tmp_path}/trace", "+key=1")
    trap = tmp_path / "configs" / "mode" / "toy.yaml"
    text = trap.read_text()
    trap.write_text(text.replace("trap: null", "trap: begin1:SIGUSR1"))
    assert toy(*words).code == 138
    trap.write_text(text)
    restart(1)
    # The config that the run was started with counts, so it is stopped there once more.
    assert toy(*words).code == 138
    assert states(tmp_path) == ["interrupted"]
    assert (tmp_path / "trace").read_text().split().count("end0") == 1
    assert called.read_text() == "requeue 12\n" * 2


def test_each_command_of_a_job_goes_on_with_its_own_run(
    toy: Mml, tmp_path: Path, called: Path, restart: Callable[[int], None]
) -> None:
    finished, stopped = ("toy", "mode.n=1"), ("toy", "mode.n=2", "mode.trap=begin1:SIGUSR1")
    assert [toy(*words).code for words in (finished, stopped)] == [0, 138]
    restart(1)
    said = toy(*finished)
    assert (said.code, states(tmp_path)) == (0, ["finished", "interrupted"])
    first, second = (run.name for run in project_runs(tmp_path / "results" / "default"))
    assert f"Slurm has started job 12 again: run {first} had finished before." in said.err
    said = toy(*stopped)
    assert said.code == 138
    assert f"Slurm has started job 12 again: run {second} goes on." in said.err
    assert toy("toy", "mode.n=1", "seed=5").code == 0
    assert len(states(tmp_path)) == 3


def test_equal_commands_of_a_job_go_on_one_after_the_other(
    toy: Mml, tmp_path: Path, called: Path, restart: Callable[[int], None]
) -> None:
    for _ in range(2):
        assert toy("toy", "mode.n=1").code == 0
    restart(1)
    for _ in range(3):
        assert toy("toy", "mode.n=1").code == 0
    assert states(tmp_path) == ["finished"] * 3


def test_killed_run_goes_on_when_slurm_starts_the_job_again(tmp_path: Path, called: Path) -> None:
    install_toy(tmp_path / "site")
    command = [sys.executable, "-m", "mml", "toy", "logging.progress=false"]
    env = {**os.environ, **path_with(tmp_path / "site"), "TOY_TRAP": "begin2:SIGKILL"}
    trapped = subprocess.run([*command, "mode.trap=${oc.env:TOY_TRAP,null}"], env=env, check=False, timeout=WAIT)
    assert trapped.returncode == -signal.SIGKILL
    assert (states(tmp_path), done_steps(tmp_path)) == (["crashed"], [2])
    (run,) = (tmp_path / "results" / "default" / "runs").iterdir()
    stored = run / "config.yaml"
    stored.write_text(stored.read_text().replace("begin2:SIGKILL", "null"))
    env |= {"SLURM_RESTART_COUNT": "1"}
    done = subprocess.run([*command, "mode.trap=${oc.env:TOY_TRAP,null}"], env=env, check=False, timeout=WAIT)
    assert done.returncode == 0
    assert (states(tmp_path), done_steps(tmp_path)) == (["finished"], [3])


def test_jobs_of_a_sweep_go_on_with_their_own_runs(
    toy: Mml, tmp_path: Path, called: Path, restart: Callable[[int], None]
) -> None:
    words = ("toy", "--multirun", "mode.n=1,2", "mode.trap=begin1:SIGUSR1")
    assert toy(*words).code == 138
    assert states(tmp_path) == ["finished", "interrupted"]
    restart(1)
    assert toy(*words).code == 138
    assert states(tmp_path) == ["finished", "interrupted"]


def test_command_that_names_the_run_to_continue_means_it(
    toy: Mml, tmp_path: Path, called: Path, restart: Callable[[int], None]
) -> None:
    assert toy("toy", "mode.trap=begin1:SIGUSR1").code == 138
    (run,) = project_runs(tmp_path / "results" / "default")
    restart(1)
    assert toy("continue", run.name).code == 138
    assert len(states(tmp_path)) == 1


def test_run_continued_in_a_job_is_continued_again_or_done(
    toy: Mml, tmp_path: Path, called: Path, restart: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID")
    for proj in ("a", "b"):
        assert toy("toy", "mode.trap=begin1:error", f"proj={proj}").code == 1
    first, second = (project_runs(tmp_path / "results" / proj)[0] for proj in ("a", "b"))
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    words = ("continue", first.name, "proj=a", f"out_dir={tmp_path / 'results'}")
    monkeypatch.setattr(sys, "argv", ["mml", *words])
    assert toy(*words).code == 1
    stored = first.path / "config.yaml"
    stored.write_text(stored.read_text().replace("begin1:error", "null"))
    restart(1)
    said = toy(*words)
    assert (said.code, states(tmp_path, "a"), states(tmp_path, "b")) == (0, ["finished"], ["failed"])
    assert f"Slurm has started job 12 again: run {first.name} goes on." in said.err
    restart(2)
    said = toy(*words)
    assert (said.code, said.err) == (0, f"Slurm has started job 12 again: run {first.name} had finished before.\n")
    monkeypatch.setattr(sys, "argv", ["mml", "continue", second.name, "proj=b"])
    assert toy("continue", second.name, "proj=b").code == 1


def test_continue_outside_of_restarted_jobs_means_what_it_says(
    toy: Mml, tmp_path: Path, called: Path, restart: Callable[[int], None]
) -> None:
    assert toy("continue", "nothing").code == 2
    restart(1)
    assert toy("continue", "nothing").code == 2


def test_signal_while_the_plan_is_made_queues_the_job_again(
    toy: Mml, tmp_path: Path, called: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.toy_scheduler import Toy

    def plan_and_be_stopped(_: Toy) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)

    monkeypatch.setattr(Toy, "create_routine", plan_and_be_stopped)
    assert toy("toy").code == 138
    assert called.read_text() == "requeue 12\n"
    assert not (tmp_path / "results").exists()


def test_journal_of_a_run_in_a_job_can_be_read_by_programs(toy: Mml, tmp_path: Path, called: Path) -> None:
    assert toy("toy", "mode.n=1").code == 0
    (run,) = (tmp_path / "results" / "default" / "runs").iterdir()
    (left,) = (run / "slurm").iterdir()
    assert left.name == "slurm-12-0.0.json"
    assert json.loads(left.read_bytes())["overrides"] == ["mode=toy", "mode.n=1"]
