"""What a job asks Slurm for."""

from typing import Any

import pytest

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.resources import NOTHING, Resources
from mml.runners.slurm_options import (
    SlurmOptions,
    as_words,
    check_options,
    sbatch_options,
    signal_seconds,
    thread_lines,
    time_minutes,
)


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        (None, None),
        (90, 90),
        (0.5, 0.5),
        ("90", 90),
        ("90:30", 90.5),
        ("1:30:00", 90),
        ("1-12", 36 * 60),
        ("1-12:30", 36 * 60 + 30),
        ("1-12:30:30", 36 * 60 + 30.5),
        (" infinite", None),
        ("UNLIMITED", None),
    ],
)
def test_time_limits_are_minutes_or_text_as_slurm_has_it(limit: Any, minutes: float | None) -> None:
    assert time_minutes(limit) == minutes


@pytest.mark.parametrize("limit", [0, -5, True, float("inf"), "", "0", "soon", "1:2:3:4", "1-", "1d"])
def test_what_is_no_time_limit_is_named(limit: Any) -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"runner\.time_limit=.* can't be read as a time"):
        time_minutes(limit)


def test_keys_and_resources_become_options_of_sbatch() -> None:
    options = SlurmOptions(
        partition="gpu",
        time_limit=1.5,
        account="me",
        qos="high",
        constraint="a100|h100",
        extra={"--mail_type": "FAIL", "exclusive": True, "nice": False, "exclude": None},
    )
    asked = sbatch_options(options, Resources(cpus=1.5, gpus=0.5, memory=10**9))
    assert asked == {
        "partition": "gpu",
        "time": 2,
        "account": "me",
        "qos": "high",
        "constraint": "a100|h100",
        "cpus-per-task": 2,
        "gpus-per-node": 1,
        "mem": "954M",
        "mail-type": "FAIL",
        "exclusive": True,
    }
    assert as_words({"time": 2, "exclusive": True}) == ["--time=2", "--exclusive"]


def test_what_nobody_asked_for_is_left_to_slurm() -> None:
    assert sbatch_options(SlurmOptions(), NOTHING) == {}
    assert sbatch_options(SlurmOptions(time_limit="1-0"), Resources(gpus=0)) == {"time": "1-0"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": {"output": "x"}}, "runner.extra can't set --output"),
        ({"extra": {"--job_name": "x"}}, "runner.extra can't set --job-name"),
        ({"extra": {"time": 5}}, "set runner.time_limit instead"),
        ({"extra": {"partition": "x"}}, "set runner.partition instead"),
        ({"array_parallelism": 0}, "runner.array_parallelism=0 can't be: give a whole number from 1 on"),
        ({"signal_delay_s": "9"}, "runner.signal_delay_s=9 can't be"),
        ({"time_limit": "x"}, "runner.time_limit=x"),
    ],
)
def test_options_that_can_not_be_are_named_with_the_fix(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MMLMisconfigurationException) as error:
        check_options(SlurmOptions(**changes))
    assert message in str(error.value)


def test_options_that_can_be_pass() -> None:
    check_options(SlurmOptions(extra={"nodelist": "a"}, time_limit="1-0"))


@pytest.mark.parametrize(("limit", "seconds"), [(None, 90), (60, 90), (3, 60), (1, 20), ("1-0", 90)])
def test_a_short_job_is_told_of_its_end_after_most_of_its_time(limit: Any, seconds: int) -> None:
    assert signal_seconds(SlurmOptions(time_limit=limit)) == seconds


def test_threads_are_as_many_as_the_cores_of_a_job() -> None:
    assert thread_lines(Resources(cpus=2.5)) == ["export OMP_NUM_THREADS=2", "export MKL_NUM_THREADS=2"]
    assert thread_lines(NOTHING)[0] == 'export OMP_NUM_THREADS="${OMP_NUM_THREADS:-${SLURM_CPUS_ON_NODE:-1}}"'
