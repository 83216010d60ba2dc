"""What a process writes into the journal about itself: how it took the run over."""

import os
import socket
import sys
import time
from importlib.metadata import PackageNotFoundError, version

from mml.core.scripts.drift_code import code_versions
from mml.core.scripts.journal import Opened
from mml.core.scripts.redaction import redacted
from mml.core.scripts.run_failure import encodable

# What results may depend on.
_RECORDED_PACKAGES = (
    "mml-core",
    "torch",
    "lightning",
    "torchvision",
    "timm",
    "numpy",
    "torchmetrics",
    "scikit-learn",
    "Pillow",
)


def opened(mode: str, tasks: list[str]) -> Opened:
    """Return the event of this process taking a run over.

    Args:
        mode: name of the mode.
        tasks: names of the tasks.
    """
    return Opened(
        time=time.time(),
        pid=os.getpid(),
        host=socket.gethostname(),
        command=[encodable(word) for word in redacted(sys.argv)],
        mode=mode,
        tasks=tasks,
        versions={name: found for name in _RECORDED_PACKAGES if (found := _version(name))},
        code=code_versions(),
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
