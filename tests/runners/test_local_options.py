"""What users say of the runner is checked against the machine that they have."""

import logging

import pytest

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.runners.local_machine import Machine
from mml.runners.local_options import checked_memory, checked_workers, own_threads

GB = 10**9
CORES = Machine((), 4, 100 * GB)
GPUS = Machine(("0", "1"), 16, 100 * GB, "nvidia-smi")


@pytest.mark.parametrize("workers", [None, 1, 4])
def test_sensible_numbers_of_workers_are_taken_without_a_word(
    workers: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert checked_workers(workers, CORES) == workers
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("machine", "workers", "said"),
    [
        (CORES, 5, "runner.workers=5 for 4 cores: steps that compute get in each other's way."),
        (GPUS, 3, "runner.workers=3 for 2 GPUs (0, 1 by nvidia-smi): a step has a GPU of its own unless it says"),
    ],
)
def test_more_workers_than_suit_the_machine_are_warned_of(
    machine: Machine, workers: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert checked_workers(workers, machine) == workers
    assert said in caplog.text


@pytest.mark.parametrize("workers", [0, -3, 2.0, "2", False])
def test_no_number_is_refused_with_the_choices(workers: object) -> None:
    with pytest.raises(MMLMisconfigurationException, match=rf"runner\.workers={workers} can't be done: give a whole"):
        checked_workers(workers, CORES)


def test_number_that_can_only_be_a_mistake_is_refused() -> None:
    with pytest.raises(
        MMLMisconfigurationException, match=r"runner\.workers=65 is too much for 4 cores: give at most 4"
    ):
        checked_workers(65, CORES)
    assert checked_workers(65, Machine((), 8, GB)) == 65


def test_limit_of_memory_is_90_percent_unless_it_is_said() -> None:
    assert checked_memory(None, CORES) == 90 * GB
    assert checked_memory("10GB", CORES) == 10 * GB
    assert checked_memory(5, CORES) == 5


def test_limit_beyond_the_machine_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert checked_memory("1TB", CORES) == 1000 * GB
    assert "runner.memory_limit=1TB is more than this machine grants: 4 cores and 100.0 GB" in caplog.text


@pytest.mark.parametrize("limit", [0, -1, "much", True])
def test_limit_that_is_no_amount_is_refused(limit: object) -> None:
    with pytest.raises(MMLMisconfigurationException, match=rf"memory={limit} can't be done for runner\.memory_limit"):
        checked_memory(limit, CORES)


@pytest.mark.parametrize(
    ("value", "threads"), [("", None), ("2", 2), (" 3 ", 3), ("2,1", 2), ("0", None), ("many", None)]
)
def test_threads_are_the_users_when_the_environment_says(
    value: str, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert own_threads(1, CORES) == threads


def test_more_threads_in_sum_than_cores_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    with caplog.at_level(logging.WARNING):
        own_threads(1, CORES)
    assert caplog.text == ""
    own_threads(2, CORES)
    assert "OMP_NUM_THREADS=4 holds for each of up to 2 steps at a time, on 4 cores" in caplog.text
