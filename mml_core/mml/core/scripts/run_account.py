"""What a process writes into the journal about itself: how it took the run over, and why it ended."""

import os
import socket
import sys
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mml.core.scripts.exceptions import Interrupted, MMLError
from mml.core.scripts.journal import Failed, Opened, Stopped
from mml.core.scripts.run_folder import ERRORS_FOLDER
from mml.core.scripts.utils import atomic_write

_RECORDED_PACKAGES = ("mml-core", "torch", "lightning", "torchvision", "timm", "numpy")


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
        command=[_encodable(word) for word in sys.argv],
        mode=mode,
        tasks=tasks,
        versions={name: found for name in _RECORDED_PACKAGES if (found := _version(name))},
    )


def ended(error: BaseException, step: int | None, folder: Path) -> Failed | Stopped:
    """Return the event of an error that ends a run; the traceback of a failure goes into the run folder.

    Args:
        error: gets the file of the traceback as `traceback_file`.
        step: position of the step that raised it, None for a hook.
        folder: the run folder.

    Raises:
        OSError: the traceback could not be written.
    """
    if isinstance(error, Interrupted):
        return Stopped(time=time.time(), step=step, signal=str(error))
    name = "hook" if step is None else f"step_{step + 1:04d}"
    path = folder / ERRORS_FOLDER / f"{name}_{time.strftime('%Y-%m-%d_%H-%M-%S')}.txt"
    with atomic_write(path) as file:
        file.write(_encodable("".join(traceback.format_exception(error))).encode())
    error.traceback_file = path  # type: ignore[attr-defined] # read by whoever reports the error
    dump = path.relative_to(folder).as_posix()
    return Failed(time=time.time(), step=step, error=_one_line(error), traceback=dump)


def _one_line(error: BaseException) -> str:
    text = _encodable(" ".join(str(error).split()))
    return text if isinstance(error, MMLError) else f"{type(error).__name__}: {text}"


def _encodable(text: str) -> str:
    """Return a text that UTF-8 can hold; names of files that are not valid Unicode have surrogates."""
    return text.encode(errors="backslashreplace").decode()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
