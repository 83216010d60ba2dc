"""What authors of plugins test with: `SchedulerContract` and `RunnerContract`, the promises of both as tests."""

import pytest

# Before they are imported: what a test compared is worth more than that it differed.
pytest.register_assert_rewrite("mml.testing.driving", "mml.testing.runners", "mml.testing.schedulers")

from mml.testing.runners import RunnerContract  # noqa: E402 # see above
from mml.testing.schedulers import Crash, CrashingRunner, SchedulerContract  # noqa: E402 # see above

__all__ = ["Crash", "CrashingRunner", "RunnerContract", "SchedulerContract"]

# Where they are imported from is where they are, for messages and documentation.
for _public in (Crash, CrashingRunner, RunnerContract, SchedulerContract):
    _public.__module__ = __name__
