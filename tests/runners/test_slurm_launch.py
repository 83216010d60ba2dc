"""From attempts to jobs."""

import os
from pathlib import Path

import msgspec
import pytest

from mml.core.scripts.resources import NOTHING, Resources
from mml.runners.base import Work
from mml.runners.slurm_commands import SlurmAwayError, SlurmRefusedError
from mml.runners.slurm_launch import LARGEST_ARRAY, Batch, Launcher, batches, dependency, job_name
from mml.runners.slurm_options import SlurmOptions
from tests.support.slurm_machine import Machine
from tests.support.toy_worker import work

BIG = Resources(cpus=4)


def needing(item: Work, *needed: Work) -> Work:
    return msgspec.structs.replace(item, pending=[other.name for other in needed])


def test_attempts_of_a_kind_go_together_those_that_others_need_before_them() -> None:
    folds = [work(number, "add") for number in (1, 2)]
    big = work(0, "add", resources=BIG)
    last, after = needing(work(3, "add"), *folds, big), needing(work(5, "add"), work(4, "add"))
    found = batches([after, last, folds[1], big, folds[0]], "mml-run")
    assert [(batch.name, [item.step for item in batch.works]) for batch in found] == [
        ("mml-run-0001.1.1", [0]),
        ("mml-run-0002.1.1", [1, 2]),
        ("mml-run-0006.1.1", [5]),  # what it needs is in the queue already
        ("mml-run-0004.1.1", [3]),
    ]
    assert found[0].resources == BIG
    assert found[3].needs == {"0001.1.1", "0002.1.1", "0003.1.1"}


def test_an_array_has_no_more_elements_than_clusters_allow() -> None:
    found = batches([work(number, "add") for number in range(2 * LARGEST_ARRAY + 1)], "x")
    assert [len(batch.works) for batch in found] == [LARGEST_ARRAY, LARGEST_ARRAY, 1]


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        ((), ""),
        (("gone",), ""),
        (("a",), "afterok:7"),
        (("b", "c"), "afterok:8"),
        (("b", "a", "gone"), "afterok:7:8_0"),
    ],
)
def test_a_dependency_names_whole_arrays_and_none_of_what_is_over(needs: tuple[str, ...], expected: str) -> None:
    jobs = {"a": "7", "b": "8_0", "c": "8_1"}
    assert dependency(needs, jobs, {"8": 2}) == expected


def test_jobs_are_named_by_the_run() -> None:
    assert job_name(Path("/results/p/runs/2026_train")) == "mml-2026_train"


def test_what_sbatch_gets(tmp_path: Path, slurm: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1")  # the driver is in a job, of which nothing is passed on
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "17")
    options = SlurmOptions(time_limit=3, setup=["echo prepared"], extra={"hold": True, "nice": 5}, python="python3 -E")
    launcher = Launcher(tmp_path / "logs", tmp_path, options)
    batch = Batch("mml-x", [work(0, "add"), work(1, "add")], Resources(cpus=2))
    jobs = launcher.launch(batch, "", lambda item: item.name.encode())
    array = jobs[0].partition("_")[0]
    assert jobs == [f"{array}_0", f"{array}_1"]
    script = (tmp_path / "logs" / f"{array}_submission.sh").read_text()
    for line in (
        "#SBATCH --array=0-1%2",
        f"#SBATCH --comment={tmp_path}",
        "#SBATCH --cpus-per-task=2",
        "#SBATCH --hold",
        "#SBATCH --job-name=mml-x",
        "#SBATCH --nice=5",
        "#SBATCH --requeue",
        "#SBATCH --signal=USR2@60",
        "#SBATCH --time=3",
        "echo prepared",
        "export OMP_NUM_THREADS=2",
    ):
        assert line in script.splitlines()
    assert "--cpus-per-task=2 python3 -E -u -m submitit" in script
    assert "wckey" not in script
    assert "17" not in slurm.ask("squeue", "-h", "-o", "%m", "-j", array)
    assert os.environ["SLURM_MEM_PER_NODE"] == "17"
    slurm.ask("scancel", array)


def test_a_job_that_waits_for_others_leaves_when_they_fail(tmp_path: Path, slurm: Machine) -> None:
    launcher = Launcher(tmp_path / "logs", tmp_path, SlurmOptions(extra={"hold": True}))
    batch = Batch("mml-y", [work(0, "add")], NOTHING)
    (first,) = launcher.launch(batch, "", lambda _: b"")
    (second,) = launcher.launch(batch, f"afterok:{first}", lambda _: b"")
    assert "_" not in first
    assert "--kill-on-invalid-dep=yes" in (tmp_path / "logs" / f"{second}_submission.sh").read_text()
    slurm.ask("scancel", first, second)


def test_what_sbatch_says_when_it_refuses_or_is_away(
    tmp_path: Path, slurm: Machine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    launcher = Launcher(tmp_path / "logs", tmp_path, SlurmOptions(partition="nowhere"))
    batch = Batch("mml-z", [work(0, "add")], NOTHING)
    with pytest.raises(SlurmRefusedError, match="^sbatch: error: invalid partition specified: nowhere"):
        launcher.launch(batch, "", lambda _: b"")
    away = tmp_path / "away.conf"
    away.write_text((slurm.folder / "slurm.conf").read_text().replace("SlurmctldPort=", "SlurmctldPort=1\n#"))
    monkeypatch.setenv("SLURM_CONF", str(away))
    with pytest.raises(SlurmAwayError, match="Unable to contact"):
        launcher.launch(batch, "", lambda _: b"")
    assert capfd.readouterr() == ("", "")
