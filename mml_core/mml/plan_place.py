"""Where the files of a plan would be: whether they could be written there, and how much the disk has left."""

import errno
import os
import shutil
from pathlib import Path

from mml.core.scripts.exceptions import MMLMisconfigurationException


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder for runs that could not be made, as the start of a run does.

    Raises:
        MMLMisconfigurationException: it can't be made, or not written.
    """
    place = next(place for place in (folder, *folder.parents) if place.exists())
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return
    reason = os.strerror(errno.EACCES if place.is_dir() else errno.ENOTDIR)
    msg = (
        f"Results can't be written to {folder}: {reason}. Choose another folder with out_dir=<folder> or the variable "
        "MML_RESULTS_PATH."
    )
    raise MMLMisconfigurationException(msg)


def free_space(folder: Path) -> int | None:
    """Return the bytes that are free where a folder is, or would be made; None when nobody can tell."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
