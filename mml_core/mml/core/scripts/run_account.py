"""What a process writes into the journal about itself: how it took the run over."""

import os
import platform
import socket
import sys
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from mml.core.scripts.drift_code import code_versions
from mml.core.scripts.journal import Opened
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
        command=[encodable(word) for word in sys.argv],
        mode=mode,
        tasks=tasks,
        versions=package_versions(),
        code=code_versions(),
    )


@cache
def package_versions() -> dict[str, str]:
    """Return the version of Python and of each installed package that results may depend on."""
    found = {name: text for name in _RECORDED_PACKAGES if (text := _version(name))}
    return {"Python": platform.python_version(), **found}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
