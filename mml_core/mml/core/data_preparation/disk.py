"""Disk space and permissions: asked for before work starts, and explained when they fail it."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mml.core.scripts.exceptions import TaskDataError
from mml.report.tables import size_text

# File systems store files in blocks of this many bytes, nearly everywhere.
_BLOCK = 4096
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def blocks(size: int) -> int:
    """Return the bytes that a file of `size` bytes takes on a disk."""
    return -(-size // _BLOCK) * _BLOCK


def check_space(folder: Path, needed: int) -> None:
    """Refuse work that can't fit.

    Args:
        folder: an existing folder on the disk that is written to.
        needed: bytes that will be written.

    Raises:
        TaskDataError: says how much is needed and free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise _full_error(folder, needed, free)


@contextmanager
def disk_errors(folder: Path, needed: int | None = None) -> Iterator[None]:
    """Explain errors of the operating system while a block writes below a folder.

    Args:
        folder: where is written; need not exist.
        needed: bytes that the block writes, if known.

    Raises:
        TaskDataError: the disk is full, or the folder can't be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            existing = next(path for path in (folder, *folder.parents) if path.is_dir())
            raise _full_error(folder, needed, shutil.disk_usage(existing).free) from error
        msg = (
            f"The data folder can't be written: {error.strerror or error} ({error.filename or folder}). Choose another "
            "one with data_dir=<folder> or the variable MML_DATA_PATH."
        )
        raise TaskDataError(msg) from error


def _full_error(folder: Path, needed: int | None, free: int) -> TaskDataError:
    what = f"about {size_text(needed)} are needed and " if needed is not None else ""
    other = " (so a quota, or the number of files, is what is used up)" if needed is not None and needed < free else ""
    msg = (
        f"The disk of {folder} is too full: {what}{size_text(free)} are free{other}. Make room, choose another place "
        "with data_dir=<folder>, or leave the images where they are with mode.copy=reference."
    )
    return TaskDataError(msg)
