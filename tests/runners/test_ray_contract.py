"""A Ray of two machines, and one that a run starts for itself, keep the promises of every runner."""

import pytest

from mml.testing import RunnerContract
from tests.support.ray_cluster import QUIET, RayCluster

pytestmark = pytest.mark.slow


class TestRay(RunnerContract):
    overrides = ("runner=ray", "runner.num_cpus=2")


class TestRayOfTwoMachines(RunnerContract):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def machines(cls, ray_cluster: RayCluster) -> None:
        cls.overrides = ("runner=ray", f"runner.address={ray_cluster.address}")

    @pytest.fixture(autouse=True)
    def quiet(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in QUIET.items():
            monkeypatch.setenv(name, value)
