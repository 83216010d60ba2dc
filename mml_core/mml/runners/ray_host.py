"""What runs inside Ray's own worker processes. It is sent as code: a machine that lacks mml has to be able to say so.

Hence nothing but Python's own modules is imported here at the top.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Host:
    """A process that does attempts, as an actor of Ray.

    Args:
        search_path: where the driver imports from.
        environment: variables that have to be set before libraries read them.
        setup: for `mml.runners.ray_session.Session`.
    """

    def __init__(self, search_path: Sequence[str], environment: Mapping[str, str], setup: bytes) -> None:
        known = set(sys.path)
        sys.path.extend(folder for folder in search_path if folder not in known)
        os.environ.update(environment)
        self._setup = setup
        self._session: Any = None

    def name(self) -> tuple[str, int, str]:
        """Return the name of the worker, unique in the run, the id of its process, and Ray's of its machine."""
        import ray

        return worker_name(), os.getpid(), ray.get_runtime_context().get_node_id()

    def execute(self, work: bytes) -> bytes:
        """Make an attempt and return its report."""
        if self._session is None:
            from mml.runners.ray_session import Session

            self._session = Session(self._setup, worker_name())
        report: bytes = self._session.execute(work)
        return report

    def close(self) -> None:
        """End; no more work comes."""
        if self._session is not None:
            self._session.close()


def worker_name() -> str:
    """Return the name of a worker in this process."""
    return f"{socket.gethostname()}-{os.getpid()}"


def look(search_path: Sequence[str], probe: str, seconds: float) -> dict[str, str]:
    """Look whether this machine can do steps of a run, and return what is wrong with it.

    Args:
        search_path: where the driver imports from.
        probe: a file that the driver has written into the run folder.
        seconds: how long a shared file system may need to show it.

    Returns:
        `mml`: why it can't be imported; `folder`: that the file can't be seen; whatever is fine is left out.
    """
    wrong = {}
    known = set(sys.path)
    sys.path.extend(folder for folder in search_path if folder not in known)
    try:
        import mml.runners.ray_session  # noqa: F401 # the question is whether it can be
    except Exception as error:  # noqa: BLE001 - whatever a broken installation does
        wrong["mml"] = f"{type(error).__name__}: {error}"
    end = time.monotonic() + seconds
    while not Path(probe).is_file():
        if time.monotonic() > end:
            wrong["folder"] = socket.gethostname()
            break
        time.sleep(0.05)
    return wrong


def ask_to_stop(processes: Sequence[int]) -> None:
    """Send workers on this machine the signal that stops them; SIGTERM would be for Ray, between two attempts."""
    for process in processes:
        try:
            os.kill(process, signal.SIGUSR1)
        except ProcessLookupError:
            continue
