"""The local runner keeps the promises of runners."""

from mml.testing import RunnerContract


class TestLocal(RunnerContract):
    overrides = ("runner=local", "runner.workers=2")
