"""What authors of plugins test with: `SchedulerContract` and `RunnerContract`, the promises of both as tests."""

from mml.testing.runners import RunnerContract
from mml.testing.schedulers import Crash, CrashingRunner, SchedulerContract

__all__ = ["Crash", "CrashingRunner", "RunnerContract", "SchedulerContract"]

# Where they are imported from is where they are, for messages and documentation.
for _public in (Crash, CrashingRunner, RunnerContract, SchedulerContract):
    _public.__module__ = __name__
