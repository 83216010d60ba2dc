"""Questions to a real Slurm, to one that is away, and to none."""

from pathlib import Path

import pytest

from mml.runners.slurm_commands import (
    SlurmAwayError,
    SlurmRefusedError,
    account_of,
    ask,
    cancel_jobs,
    details_of,
    jobs_named,
    jobs_of,
    own_jobs,
    refusal,
)
from tests.support.slurm_machine import Machine


@pytest.fixture
def job(slurm: Machine, tmp_path: Path) -> str:
    """Return the number of a job that is held in the queue."""
    options = ("--hold", "--parsable", f"--output={tmp_path / 'out'}", "--comment=a|b", f"--job-name={tmp_path.name}")
    return slurm.ask("sbatch", *options, "--wrap=true").strip()


def test_jobs_are_told_by_number_name_and_comment(job: str, tmp_path: Path) -> None:
    entry = jobs_of([job])[job]
    assert (entry.state, entry.reason, entry.node, entry.comment) == ("PENDING", "JobHeldUser", "", "a|b")
    assert entry.since.startswith("20")
    assert jobs_named(tmp_path.name, "a|b") == [entry]
    assert jobs_named(tmp_path.name, "other") == []
    assert own_jobs([job], "a|b") == {job: entry}
    assert own_jobs([job], "a") == {}
    cancel_jobs([job])
    assert jobs_of([f"{job}_7", job])[job].state == "CANCELLED"
    cancel_jobs([job])  # is over already, which is no error
    cancel_jobs([])
    assert account_of(job)[0] == "CANCELLED"
    assert details_of(job)["JobState"] == "CANCELLED"


def test_jobs_that_nobody_knows_are_no_error(slurm: Machine) -> None:
    assert jobs_of(["999999"]) == {}
    assert jobs_of([]) == {}
    assert details_of("999999") == {}
    cancel_jobs(["999999"])


def test_what_a_user_has_set_changes_no_answer(job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")
    monkeypatch.setenv("SLURM_TIME_FORMAT", "%s")
    assert jobs_of([job])[job].since.startswith("20")
    cancel_jobs([job])


def test_a_refusal_has_slurms_words(job: str) -> None:
    with pytest.raises(SlurmRefusedError, match="Invalid"):
        ask("scontrol", "update", f"jobid={job}", "partition=nowhere")
    with pytest.raises(SlurmRefusedError):
        cancel_jobs([job], "--signal=NOTHING")
    cancel_jobs([job])


def test_no_slurm_is_a_refusal_and_no_accounting_no_error(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel_jobs([job])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SlurmRefusedError, match="squeue"):
        jobs_of([job])
    assert account_of(job) == ("", "")


def test_a_command_that_does_not_answer_is_a_slurm_that_is_away() -> None:
    with pytest.raises(SlurmAwayError, match=r"sleep did not answer within 0\.1 s"):
        ask("sleep", "9", seconds=0.1)
    with pytest.raises(SlurmRefusedError, match="false ended with 1"):
        ask("false")


@pytest.mark.parametrize(
    "said",
    [
        "squeue: error: slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "sbatch: error: Munge encode failed: Failed to access",
        "scancel: error: Slurm temporarily unable to accept job, sleeping and retrying",
    ],
)
def test_a_slurm_that_is_away_is_told_from_a_refusal(said: str) -> None:
    assert isinstance(refusal(said), SlurmAwayError)
