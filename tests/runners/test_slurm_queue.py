"""The jobs of a run in the queue of a real Slurm: looked at, found again, cancelled."""

from pathlib import Path

import pytest

from mml.core.scripts.attempts import AttemptFolder
from mml.core.scripts.exceptions import RunnerError
from mml.core.scripts.run_files import REPORT_FILE
from mml.runners.slurm_queue import JobNote, await_jobs, cancel, end_jobs, jobs_noted, queued_jobs, read_note
from tests.support.slurm_machine import Machine
from tests.support.toy_worker import work


def submit(slurm: Machine, run: Path, name: str, *options: str) -> str:
    """Return the number of a job of a run."""
    always = ("--parsable", f"--output={run / 'out'}", f"--comment={run}", f"--job-name={name}")
    return slurm.ask("sbatch", *always, *options, "--wrap=sleep 60").strip()


def test_notes_are_read_as_they_were_written() -> None:
    note = JobNote("mml-run-0001.1.1", "/run", "step 1", element=3).numbered("12_3")
    assert note.as_job()["runner"] == "slurm"
    assert note.as_job()["cancel"] == "mml.runners.slurm_queue:cancel"
    assert read_note({**note.as_job(), "work": {}}) == note
    assert read_note({}) is None
    assert read_note({**note.as_job(), "runner": "other"}) is None


def test_jobs_are_shown_with_what_slurm_says_of_them(tmp_path: Path, slurm: Machine) -> None:
    held = submit(slurm, tmp_path, "a", "--hold")
    notes = {
        "0001.1.1": JobNote("a", str(tmp_path), "step 1, add()", job=held),
        "0002.1.1": JobNote("b", str(tmp_path), "step 2, add()", job=held),
        "0003.1.1": JobNote("c", str(tmp_path), "step 3, add()", job="999999"),
        "0004.1.1": JobNote("d", str(tmp_path), "step 4, add()"),
    }
    for name, note in notes.items():
        AttemptFolder(tmp_path, name).create()
        AttemptFolder(tmp_path, name).take_down(note.as_job())
    for name in ("0002.1.1", "0003.1.1"):
        (AttemptFolder(tmp_path, name).path / REPORT_FILE).touch()
    AttemptFolder(tmp_path, "0005.1.1").create()
    AttemptFolder(tmp_path, "0005.1.1").take_down({"runner": "ray"})
    AttemptFolder(tmp_path, "0006.1.1").create()
    (tmp_path / "attempts" / "0006.1.1" / "job.json").write_text("{")
    found = queued_jobs(tmp_path)
    assert [(job.step, job.job, job.state, job.reason) for job in found] == [
        ("step 1, add()", held, "PENDING", "JobHeldUser"),
        ("step 2, add()", held, "REPORTED", ""),
        ("step 3, add()", "999999", "REPORTED", ""),
        ("step 4, add()", "", "UNKNOWN", ""),
    ]
    assert found[0].since.startswith("20")
    assert queued_jobs(tmp_path / "nothing") == []
    assert end_jobs([held], 60) == []


def test_a_job_is_cancelled_and_over_when_that_returns(tmp_path: Path, slurm: Machine) -> None:
    job = submit(slurm, tmp_path, "mml-x")
    cancel(JobNote("mml-x", str(tmp_path), "step 1", job=job).as_job())
    assert slurm.state(job) == "CANCELLED"
    cancel(JobNote("mml-x", str(tmp_path), "step 1", job=job).as_job())


def test_jobs_whose_number_nobody_wrote_down_are_cancelled_by_name(tmp_path: Path, slurm: Machine) -> None:
    array = submit(slurm, tmp_path, "mml-y", "--array=0-1", "--hold")
    note = JobNote("mml-y", str(tmp_path), "step 1", element=1)
    assert jobs_noted(note) == [f"{array}_1"]
    cancel(note.as_job())
    whole = JobNote("mml-y", str(tmp_path), "step 1")
    assert jobs_noted(whole) == [f"{array}_0"]
    cancel(whole.as_job())
    assert jobs_noted(whole) == []


def test_a_job_of_the_same_number_in_another_run_is_left_alone(tmp_path: Path, slurm: Machine) -> None:
    job = submit(slurm, tmp_path, "mml-z", "--hold")
    cancel(JobNote("mml-z", "/other/run", "step 1", job=job).as_job())
    assert slurm.state(job) == "PENDING"
    assert await_jobs([job], 0) == [job]
    assert end_jobs([job], 60) == []


def test_what_nobody_can_cancel_is_told_with_the_command(
    tmp_path: Path, slurm: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunnerError, match="is no note of a Slurm job"):
        cancel({})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunnerError, match=r"says nothing of job 5: .*`scancel 5` ends it"):
        cancel(JobNote("a", "/run", "step 1", job="5").as_job())
    with pytest.raises(RunnerError, match=r"jobs with the name a: .*`scancel --name=a` ends it"):
        cancel(JobNote("a", "/run", "step 1").as_job())
    assert work(0, "nothing").name == "0001.1.1"
