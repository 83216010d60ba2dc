"""What Slurm's words for the states of jobs mean."""

import pytest

from mml.runners.slurm_states import after_advice, ended, endless


@pytest.mark.parametrize(
    ("state", "over"),
    [
        ("PENDING", False),
        ("RUNNING", False),
        ("COMPLETING", False),
        ("REQUEUE_HOLD", False),
        ("COMPLETED", True),
        ("CANCELLED by 1000", True),
        ("NODE_FAIL", True),
        ("OUT_OF_MEMORY", True),
        ("", True),
    ],
)
def test_a_job_is_over_in_some_states(state: str, over: bool) -> None:
    assert ended(state) is over


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        ("PENDING", "Resources", ""),
        ("PENDING", "Priority", ""),
        ("PENDING", "BeginTime", ""),
        ("RUNNING", "PartitionTimeLimit", ""),
        ("PENDING", "PartitionTimeLimit", "runner.time_limit"),
        ("PENDING", "(ReqNodeNotAvail, UnavailableNodes:n1)", "not available"),
        ("PENDING", "DependencyNeverSatisfied", "a job that it needs has failed"),
        ("PENDING", "launch failed requeued held", "scontrol release <job>"),
    ],
)
def test_a_reason_that_does_not_end_by_itself_is_told_with_what_helps(state: str, reason: str, said: str) -> None:
    found = endless(state, reason)
    assert said in found
    assert bool(found) is bool(said)


def test_the_end_of_a_job_is_explained_where_there_is_something_to_do() -> None:
    assert "runner.time_limit" in after_advice("TIMEOUT")
    assert "runner.memory" in after_advice("OUT_OF_MEMORY")
    assert after_advice("FAILED") == ""
