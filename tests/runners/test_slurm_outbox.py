"""What is on its way to Slurm when sbatch does not answer, or takes no more."""

import logging
import os
from pathlib import Path

import pytest

from mml.core.scripts.exceptions import RunnerError
from mml.runners.slurm_commands import SlurmAwayError, jobs_named
from mml.runners.slurm_outbox import Patience
from mml.runners.slurm_states import ended
from tests.support.slurm_machine import Machine
from tests.support.slurm_runs import Driver
from tests.support.toy_worker import work

REAL = os.environ["PATH"]


def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> Path:
    """Have a script run instead of sbatch, which may call the real one as `"$SBATCH" "$@"`."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "sbatch").write_text(f"#!/bin/sh\nPATH={REAL}\nSBATCH=$(command -v sbatch)\n{line}\n")
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{REAL}")
    return folder / "sbatch"


def test_patience_tells_once_that_slurm_is_away_and_that_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    patience = Patience(5)
    patience.answered()
    patience.away(SlurmAwayError("no answer"))
    patience.away(SlurmAwayError("no answer"))
    patience.answered()
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "Slurm can't be reached",
        "Slurm answers again.",
    ]
    with pytest.raises(RunnerError, match=r"could not be reached for .*\(runner\.patience\): no answer"):
        Patience(0).away(SlurmAwayError("no answer"))


def test_jobs_that_sbatch_submitted_without_saying_so_are_cancelled_before_another_try(
    tmp_path: Path, slurm: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Driver(tmp_path / "run")
    one.open()
    script = instead(
        tmp_path, monkeypatch, '"$SBATCH" "$@" > /dev/null; echo "sbatch: error: Socket timed out" >&2; exit 1'
    )
    item = work(0, "add", 1, 2)
    one.submit(item)
    assert one.runner.wait(0) == []
    (lost,) = (entry.job for entry in jobs_named(f"mml-run-{item.name}", str(one.folder)))
    script.unlink()
    one.runner._box._pause_until = 0.0
    report = one.collect()[0]
    assert report.outcome is not None
    assert slurm.state(lost) in ("CANCELLED", "FAILED")
    assert one.job(item) != lost
    one.runner.close()


def test_what_sbatch_may_have_submitted_is_cancelled_at_the_end(
    tmp_path: Path, slurm: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Driver(tmp_path / "run")
    one.open()
    instead(tmp_path, monkeypatch, '"$SBATCH" "$@" > /dev/null; echo "sbatch: error: Socket timed out" >&2; exit 1')
    items = [work(0, "sleep", 60), work(1, "sleep", 60)]
    one.submit(*items)
    assert one.runner.wait(0) == []
    one.runner.close()
    left = jobs_named(f"mml-run-{items[0].name}", str(one.folder))
    assert all(ended(entry.state) for entry in left)


def test_a_full_queue_is_waited_for_and_an_empty_one_that_refuses_is_not(
    tmp_path: Path, slurm: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one = Driver(tmp_path / "run")
    one.open()
    one.submit(work(0, "sleep", 2))
    one.queue()
    script = instead(tmp_path, monkeypatch, 'echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1')
    one.submit(work(1, "nothing"))
    assert one.runner.wait(0) == []
    assert "Slurm takes no more of your jobs for now" in caplog.text
    assert one.collect()[0].outcome is not None
    one.runner._box._pause_until = 0.0
    error = one.collect()[1].error  # nothing of this run is in the queue: it would not end by itself
    assert error is not None
    assert error.misfit
    script.unlink()
    one.runner.close()
