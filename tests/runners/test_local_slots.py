"""A machine is shared out so that nobody gets what another one has, and everything that fits runs."""

import pytest

from mml.core.scripts.resources import NOTHING, Resources
from mml.runners.local_machine import Machine
from mml.runners.local_slots import THREAD_VARIABLES, Binding, Slots

GB = 10**9
HALF = Resources(gpus=0.5)


def slots(gpus: int = 0, cores: int = 8, workers: int | None = None, threads: int | None = None) -> Slots:
    machine = Machine(tuple("abcdefgh"[:gpus]), cores, 100 * GB, "nvidia-smi")
    return Slots(machine, workers, 90 * GB, threads)


def filled(shared: Slots, needs: Resources = NOTHING) -> int:
    """Take as long as there is room, and return how many got a share."""
    count = 0
    while shared.fits(needs):
        shared.take(needs)
        count += 1
    return count


@pytest.mark.parametrize(
    ("gpus", "cores", "workers", "steps", "threads"),
    [
        (0, 8, None, 8, 1),
        (0, 8, 2, 2, 4),
        (0, 8, 3, 3, 2),
        (0, 2, 4, 4, 1),
        (2, 16, None, 2, 8),
        (4, 2, None, 4, 1),
        (2, 16, 1, 1, 16),
    ],
)
def test_cores_are_shared_out_equally_among_as_many_steps_as_suit_the_machine(
    gpus: int, cores: int, workers: int | None, steps: int, threads: int
) -> None:
    assert slots(gpus, cores, workers).take(NOTHING).binding.threads == threads
    assert filled(slots(gpus, cores, workers)) == steps


@pytest.mark.parametrize(
    ("needs", "steps"),
    [
        (Resources(cpus=3), 2),
        (Resources(cpus=8), 1),
        (Resources(cpus=0.5), 16),
        (Resources(memory=40 * GB), 2),
        (Resources(memory=90 * GB), 1),
    ],
)
def test_what_a_step_says_that_it_needs_decides_how_many_run(needs: Resources, steps: int) -> None:
    assert filled(slots(), needs) == steps


@pytest.mark.parametrize(
    ("needs", "steps"),
    [
        (NOTHING, 2),
        (Resources(gpus=1), 2),
        (Resources(gpus=2), 1),
        (HALF, 4),
        (Resources(gpus=1 / 3), 6),
        (Resources(gpus=0.7), 2),
        (Resources(gpus=0), 2),
        (Resources(gpus=0, cpus=1), 16),
    ],
)
def test_gpus_are_shared_out_whole_or_in_parts(needs: Resources, steps: int) -> None:
    assert filled(slots(gpus=2, cores=16), needs) == steps


def test_no_two_steps_see_the_same_gpu_unless_they_share_it() -> None:
    shared = slots(gpus=3)
    first, second = shared.take(NOTHING), shared.take(NOTHING)
    assert (first.binding.gpus, second.binding.gpus) == (("a",), ("b",))
    assert shared.take(HALF).binding.gpus == shared.take(HALF).binding.gpus == ("c",)
    assert not shared.fits(HALF)
    shared.give_back(first)
    assert shared.take(HALF).binding.gpus == ("a",)


def test_part_of_a_gpu_is_taken_from_the_one_that_is_shared_already() -> None:
    shared = slots(gpus=2)
    whole = shared.take(NOTHING)
    assert shared.take(HALF).binding.gpus == ("b",)
    shared.give_back(whole)
    assert shared.take(HALF).binding.gpus == ("b",)
    assert shared.fits(NOTHING)


def test_gpus_of_an_idle_worker_are_liked_best() -> None:
    assert slots(gpus=3).take(NOTHING, [("c",)]).binding.gpus == ("c",)
    assert slots(gpus=4).take(Resources(gpus=2), [("d",), ("b", "d")]).binding.gpus == ("b", "d")
    assert slots(gpus=3).take(HALF, [("b",)]).binding.gpus == ("b",)
    shared = slots(gpus=2)
    shared.take(NOTHING)
    assert shared.take(NOTHING, [("a",)]).binding.gpus == ("b",)


def test_shares_that_are_given_back_leave_nothing_taken() -> None:
    shared = slots(gpus=1)
    for needs in (Resources(gpus=0.1), HALF, NOTHING, Resources(gpus=0), Resources(cpus=8, memory=90 * GB)):
        shares = [shared.take(needs) for _ in range(2) if shared.fits(needs)]
        for share in shares:
            shared.give_back(share)
    assert filled(shared) == 1


def test_step_that_says_its_cores_computes_with_as_many_threads() -> None:
    assert slots().take(Resources(cpus=3)).binding == Binding(None, 3, 3)
    assert slots().take(Resources(cpus=0.5)).binding == Binding(None, 1, 1)


def test_threads_that_the_user_chose_stay_unless_the_step_says_its_cores() -> None:
    assert slots(workers=2, threads=1).take(NOTHING).binding == Binding(None, 4, None)
    assert slots(workers=2, threads=1).take(Resources(cpus=2)).binding == Binding(None, 2, 2)


def test_step_waits_for_cores_that_others_have() -> None:
    shared = slots(workers=4)
    big = shared.take(Resources(cpus=7))
    assert not shared.fits(NOTHING)
    assert shared.fits(Resources(cpus=1))
    shared.give_back(big)
    assert filled(shared) == 4


def test_alone_every_step_that_is_possible_may_run() -> None:
    assert slots(cores=2, workers=2).fits(Resources(cpus=2, memory=90 * GB))


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        (NOTHING, ""),
        (Resources(cpus=8, gpus=2, memory=90 * GB), ""),
        (Resources(gpus=3), "3 GPUs, but there are 2 GPUs (a, b by nvidia-smi)"),
        (Resources(cpus=9), "9 cores, but there are 8 cores"),
        (
            Resources(memory=91 * GB),
            "91.0 GB of memory, but steps may use 90.0 GB of the 100.0 GB (runner.memory_limit)",
        ),
    ],
)
def test_what_nobody_has_is_named_with_what_there_is(needs: Resources, said: str) -> None:
    assert slots(gpus=2).impossible(needs) == said


def test_machine_without_gpus_says_so() -> None:
    assert slots().impossible(Resources(gpus=0.5)) == "0.5 GPUs, but there are 0 GPUs (by nvidia-smi)"
    assert slots(cores=1).impossible(Resources(cpus=2)) == "2 cores, but there is 1 core"


def test_binding_is_made_by_variables_that_libraries_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    passive = {"OMP_WAIT_POLICY": "PASSIVE"}
    assert Binding(None, 3, None).environment() == {"MML_CORES": "3", **passive}
    bound = Binding(("1", "0"), 2, 2).environment()
    assert bound == {"MML_CORES": "2", "CUDA_VISIBLE_DEVICES": "1,0", **passive, **dict.fromkeys(THREAD_VARIABLES, "2")}
    assert Binding((), 1, None).environment()["CUDA_VISIBLE_DEVICES"] == ""
