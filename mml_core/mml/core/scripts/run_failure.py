"""Why a run, or a step of it, came to an end: the event for the journal, and the file of the traceback."""

import logging
import time
import traceback
from itertools import count
from pathlib import Path

from mml.core.scripts.exceptions import Interrupted, MMLError, StepsFailedError
from mml.core.scripts.journal import Failed, Stopped
from mml.core.scripts.run_folder import ERRORS_FOLDER
from mml.core.scripts.utils import atomic_write

logger = logging.getLogger(__name__)


def ended(error: BaseException, step: int | None, folder: Path, attempt: int = 1) -> Failed | Stopped:
    """Return the event of an error that ends a run; the traceback of a failure goes into the run folder.

    Args:
        error: gets the file of the traceback as `traceback_file`.
        step: position of the step that raised it, None for a hook.
        folder: the run folder.
        attempt: which one at the step, from 1.
    """
    if isinstance(error, Interrupted | KeyboardInterrupt):
        name = str(error) if isinstance(error, Interrupted) else "SIGINT"
        return Stopped(time=time.time(), step=step, signal=name)
    if isinstance(error, StepsFailedError):
        return Failed(time=time.time(), step=None, error=error.headline)
    return failure(error, step, folder, attempt=attempt)


def failure(error: BaseException, step: int | None, folder: Path, *, attempt: int = 1, goes_on: bool = False) -> Failed:
    """Return the event of an error, whose traceback goes into the run folder if it can be written.

    Args:
        error: gets the file of the traceback as `traceback_file`.
        step: position of the step that raised it, None for a hook.
        folder: the run folder.
        attempt: which one at the step, from 1.
        goes_on: whether the run does not end with it.
    """
    dump = ""
    try:
        path = _dump(error, step, folder)
        error.traceback_file = path  # type: ignore[attr-defined] # read by whoever reports the error
        dump = path.relative_to(folder).as_posix()
    except OSError as fault:
        logger.warning("The traceback could not be written: %s", fault)
    return Failed(time=time.time(), step=step, error=one_line(error), traceback=dump, attempt=attempt, goes_on=goes_on)


def one_line(error: BaseException) -> str:
    """Return what an error says, in one line that the journal can hold."""
    text = encodable(" ".join(str(error).split()))
    if isinstance(error, MMLError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def encodable(text: str) -> str:
    """Return a text that UTF-8 can hold; names of files that are not valid Unicode have surrogates."""
    return text.encode(errors="backslashreplace").decode()


def _dump(error: BaseException, step: int | None, folder: Path) -> Path:
    """Write the traceback of an error to a file that is not there yet, and return it."""
    name = f"{'hook' if step is None else f'step_{step + 1:04d}'}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    paths = (folder / ERRORS_FOLDER / f"{name}{f'_{number}' * (number > 1)}.txt" for number in count(1))
    path = next(path for path in paths if not path.exists())
    with atomic_write(path) as file:
        file.write(encodable("".join(traceback.format_exception(error))).encode())
    return path
