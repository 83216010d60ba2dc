"""Whether somebody holds the lock of a folder, asked without filelock, whose loading a list of runs has no time for."""

import errno
import fcntl
import os
from pathlib import Path

_HELD_BY_ANOTHER = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)


def probe(path: Path) -> bool | None:
    """Tell whether a process holds the lock of a file; None on a file system whose locks can't be asked for this way.

    Takes the lock for a moment, shared, so that those who look don't take one another for the owner.

    Args:
        path: the lock file; without one, nobody holds the lock.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return True if error.errno in _HELD_BY_ANOTHER else None
    finally:
        os.close(handle)
    return False
