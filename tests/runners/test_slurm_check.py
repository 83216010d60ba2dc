"""Whether Slurm would ever run a job, asked of a real one."""

import re
from typing import Any

import pytest

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.resources import NOTHING, Resources
from mml.runners.slurm_check import Nodes, check_step, cluster_nodes, crowded, refused_submission
from mml.runners.slurm_options import SlurmOptions
from tests.support.slurm_machine import CPUS, MEMORY_MB, Machine


def test_the_machines_of_a_cluster_are_known(slurm: Machine) -> None:
    found = {nodes.partition: nodes for nodes in cluster_nodes()}
    assert found["main"] == Nodes("main", True, True, None, CPUS, MEMORY_MB, 2, 1)
    assert found["urgent"].minutes == 60
    assert found["short"].minutes == 5
    assert not found["closed"].up
    assert str(found["short"]) == f"short: 1 x {CPUS} CPUs, {MEMORY_MB * 2**20 / 1e9:.3g} GB, 2 GPUs"


@pytest.mark.parametrize(
    ("options", "needs"),
    [
        ({}, {}),
        ({"partition": "short,main", "time_limit": 10}, {"cpus": CPUS, "memory": MEMORY_MB * 2**20}),
        ({"account": "science", "extra": {"exclusive": True}}, {"gpus": 2}),
    ],
)
def test_what_can_be_run_passes(slurm: Machine, options: dict[str, Any], needs: dict[str, Any]) -> None:
    check_step(SlurmOptions(**options), Resources(**needs), "step 1", cluster_nodes())


@pytest.mark.parametrize(
    ("options", "needs", "message"),
    [
        ({"partition": "shrt"}, {}, r"Unknown Slurm partition 'shrt'\. Did you mean 'short'\? Set runner\.partition\."),
        ({"partition": "closed"}, {}, r"no jobs to partition closed now: it is down"),
        (
            {"partition": "short", "time_limit": 9},
            {},
            r"runner\.time_limit=9 is above what .* short allows, 5 m",
        ),
        ({}, {"cpus": 64}, r"No machine has what step 1 needs, 64 CPUs\. They have: main: 1 x 8 CPUs, .*Ask for less"),
        ({}, {"gpus": 3}, r"needs, 3 GPUs"),
        ({}, {"memory": 10**12}, r"needs, 1e\+03 GB"),
        ({"account": "nobody"}, {}, r"the account is not valid .*Invalid account.* See runner\.account=nobody"),
        ({"qos": "best"}, {}, r"quality of service is not valid .*See runner\.qos=best"),
        ({"constraint": "a100"}, {}, r"no machine has these features.* See runner\.constraint=a100"),
        ({"extra": {"colour": "red"}}, {}, r"sbatch does not know an option.*--colour=red.* See runner\.extra"),
        ({"extra": {"nodes": "many"}}, {}, r"Slurm refuses a job for step 1: "),
    ],
)
def test_what_would_never_run_is_refused_with_the_fix(
    slurm: Machine, options: dict[str, Any], needs: dict[str, Any], message: str
) -> None:
    with pytest.raises(MMLMisconfigurationException, match=message):
        check_step(SlurmOptions(**options), Resources(**needs), "step 1", cluster_nodes())


def test_another_partition_that_has_what_is_needed_is_named() -> None:
    cluster = [Nodes("small", True, True, None, 2, 1000, 0, 4), Nodes("big", False, True, None, 64, 9000, 8, 2)]
    with pytest.raises(MMLMisconfigurationException, match=r"small: 4 x 2 CPUs.* Set runner\.partition=big"):
        check_step(SlurmOptions(), Resources(gpus=4), "step 1", cluster)


def test_what_is_not_understood_is_told_in_slurms_own_words() -> None:
    error = refused_submission("sbatch: error: The moon is full", SlurmOptions(), "step 2")
    assert re.search(r"it can't be submitted as it is\. Its own words: The moon is full", str(error))


@pytest.mark.parametrize(
    ("said", "full"),
    [
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", True),
        ("sbatch: error: AssocMaxSubmitJobLimit\nJob violates accounting/QOS policy (job submit limit, ...)", True),
        ("sbatch: error: invalid partition specified: x", False),
    ],
)
def test_a_full_queue_is_told_from_a_refusal_for_good(said: str, full: bool) -> None:
    assert crowded(said) is full


def test_a_cluster_that_says_nothing_of_its_machines_is_left_to_sbatch(slurm: Machine) -> None:
    check_step(SlurmOptions(), NOTHING, "step 1", [])
