"""Plans of sweeps: the jobs that Hydra would start, each with its sums."""

import json

from tests.cli.conftest import Mml


def test_each_job_has_a_line_and_the_first_its_plan(toy: Mml) -> None:
    said = toy("plan", "toy", "--multirun", "mode.n=1,4", "seed=1,2")
    assert said.code == 0
    lines = [line.rstrip() for line in said.out.splitlines()]
    assert lines[0].startswith("mml toy --multirun mode.n=1,4 seed=1,2")
    assert lines[0].endswith(": 4 jobs")
    assert lines[1:6] == [
        "job  overrides        steps  time  disk",
        "  0  mode.n=1 seed=1      1     ?     ?",
        "  1  mode.n=1 seed=2      1     ?     ?",
        "  2  mode.n=4 seed=1      4     ?     ?",
        "  3  mode.n=4 seed=2      4     ?     ?",
    ]
    assert "All jobs, one after the other: time unknown, disk unknown." in lines
    assert any(line.endswith("(job 0)") for line in lines)
    assert "Steps: 1 to do." in said.out


def test_the_sum_of_all_jobs_is_that_of_the_planned_ones_scaled(toy: Mml) -> None:
    assert toy("toy").code == 0
    said = toy("plan", "toy", "hydra.mode=MULTIRUN", f"seed={','.join(map(str, range(50)))}")
    assert ": 50 jobs, the first 20 of them" in said.out
    assert "All jobs, one after the other: time " in said.out
    assert "time unknown" not in said.out
    assert toy("plan", "toy", "-m", "seed=range(50)", "--all").out.count("seed=") > 50


def test_json_has_all_jobs(toy: Mml) -> None:
    jobs = json.loads(toy("plan", "toy", "-m", "mode.n=1,2,3", "--json").out)["jobs"]
    assert [job["totals"]["steps"] for job in jobs] == [1, 2, 3]


def test_a_job_knows_its_number_as_when_it_runs(toy: Mml) -> None:
    jobs = json.loads(toy("plan", "toy", "-m", "seed=5,6", "mode.n=${hydra:job.num}", "--json").out)["jobs"]
    assert [job["totals"]["steps"] for job in jobs] == [0, 1]
    said = toy("plan", "toy", "mode.trace=${hydra:runtime.output_dir}/trace")
    assert (said.code, said.err) == (0, "")


def test_one_job_has_all_its_overrides(toy: Mml) -> None:
    said = toy("plan", "toy", "--multirun", "mode.n=2")
    assert ": 1 job\n" in said.out
    assert "0  mode=toy mode.n=2" in said.out


def test_values_of_a_search_space_are_tried_too(toy: Mml) -> None:
    said = toy("plan", "toy", "--multirun", "search_space=optimizer")
    assert said.code == 0
    assert "optimizer.lr=" in said.out


def test_values_that_are_picked_while_jobs_run_have_no_plan(toy: Mml) -> None:
    said = toy("plan", "toy", "--multirun", "seed=1,2", "hydra.sweeper._target_=another.Sweeper")
    assert said.code == 2
    assert "With hpo=grid the values to try are picked while the jobs run" in said.err
    assert "leave --multirun out" in said.err


def test_a_job_that_would_be_refused_refuses_the_plan(toy: Mml) -> None:
    said = toy("plan", "toy", "--multirun", "mode.subroutines=[work],[wrok]")
    assert said.code == 2
    assert "Unknown subroutine 'wrok'. Did you mean 'work'" in said.err
