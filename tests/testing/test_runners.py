"""The serial runner keeps the promises of runners; those of other runners are tested beside them."""

from mml.testing import RunnerContract


class TestSerial(RunnerContract):
    overrides = ("runner=serial",)
