"""The Ray that a run starts for itself keeps the promises of every runner."""

import pytest

from mml.testing import RunnerContract

pytestmark = pytest.mark.slow


class TestRay(RunnerContract):
    overrides = ("runner=ray", "runner.num_cpus=2")
