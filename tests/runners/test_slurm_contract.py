"""Steps as jobs of a real Slurm keep the promises of every runner."""

import pytest

from mml.testing import RunnerContract

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]


class TestSlurm(RunnerContract):
    overrides = ("runner=slurm", "runner.cpus=1")
