"""Real runs on a Ray of two machines, of which one is lost, and what a user is told when a run can't begin."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mml.testing.driving import World
from mml.testing.runners import TRAINING, Expected, refuse_differences
from tests.support.ray_cluster import RayCluster, started

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quiet_ray")]
pytest.importorskip("ray")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """Return what serial runs leave."""
    return Expected(tmp_path_factory.getbasetemp() / "serial")


@pytest.fixture
def own_cluster() -> Iterator[RayCluster]:
    """Return a Ray of two machines that may be lost."""
    with started() as cluster:
        cluster.add("head")
        cluster.add("far")
        yield cluster


def on(address: str, tmp_path: Path, expected: Expected, *words: str) -> World:
    return World(tmp_path, expected.data, ["runner=ray", f"runner.address={address}", *words])


def test_step_of_a_lost_machine_is_done_on_the_other(
    own_cluster: RayCluster, tmp_path: Path, expected: Expected
) -> None:
    world = on(own_cluster.address, tmp_path, expected, "retry_pause=0")
    child = world.plan("held")
    try:
        world.wait_for_attempts(child, "held_a", "held_b")
        far = own_cluster.processes("far")
        lost, other = ("held_a", "held_b") if world.worker_of("held_a") in far else ("held_b", "held_a")
        assert world.worker_of(lost) in far
        assert world.worker_of(other) not in far
        own_cluster.kill("far")
        world.tell(f"{other}.go")
        world.wait_for_attempts(child, lost, number=2)
        world.tell(f"{lost}.go")
        world.ends(child)
        assert len(world.attempts(other)) == 1
        assert "on machine far was lost during step" in world.said()
        refuse_differences(world, expected.of("held"))
    finally:
        world.close()


def test_training_on_two_machines_has_the_bits_of_serial(
    ray_cluster: RayCluster, tmp_path: Path, expected: Expected
) -> None:
    world = on(ray_cluster.address, tmp_path, expected)
    try:
        world.ends(world.start(*TRAINING, "runner=ray", f"runner.address={ray_cluster.address}"))
        refuse_differences(world, expected.trained(TRAINING))
    finally:
        world.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runner.address=127.0.0.1:1"], "no Ray can be reached there"),
        (["runner.address=ray://127.0.0.1:10001"], "means the client of Ray"),
        (["runner.resources={hold: {gpus: 4}}"], "needs 1 CPUs, 4 GPUs, and no machine of Ray has that"),
    ],
    ids=["address", "client", "resources"],
)
def test_run_that_can_not_begin_says_why_within_seconds(
    words: list[str], said: str, ray_cluster: RayCluster, tmp_path: Path, expected: Expected
) -> None:
    world = on(ray_cluster.address, tmp_path, expected)
    try:
        assert world.wait(world.plan("held", *words)) in (1, 2)
        assert said in " ".join(world.said().split())
        assert world.attempts("before") == []
    finally:
        world.close()
