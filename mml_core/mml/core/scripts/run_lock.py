"""RunLock: at most one living process works on a run folder. An OS lock, so it dies with its owner."""

import getpass
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec
from filelock import FileLock, Timeout

from mml.core.scripts.exceptions import RunLockedError
from mml.core.scripts.lock_probe import probe
from mml.core.scripts.redaction import redacted
from mml.core.scripts.run_files import LOCK_FILE as LOCK_FILE

# A probe by another process (`is_held`) holds the lock for microseconds; this is long enough to outlast it.
_PATIENCE = 0.5


class Owner(msgspec.Struct):
    """The process that holds, or held last, a lock."""

    pid: int
    host: str
    user: str
    started: str
    command: list[str]

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}, started {self.started}: {' '.join(self.command)}"


class RunLock:
    """The lock of one run folder.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_FILE
        self._lock = FileLock(self.path, timeout=_PATIENCE, thread_local=False)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock and write down who holds it.

        Raises:
            RunLockedError: another process holds it; names host, pid, start and command.
        """
        try:
            self._lock.acquire()
        except Timeout as error:
            name = self.path.parent.name
            msg = f"Run {name} is running: {_owner_text(self.path)}. Wait for it, or stop that process."
            raise RunLockedError(msg) from error
        _write_owner(self.path)

    def release(self) -> None:
        """Give the lock back; doing so twice is harmless."""
        self._lock.release()


def is_held(folder: Path) -> bool:
    """Tell whether a living process works on a run folder. Leaves the folder as it is."""
    path = folder / LOCK_FILE
    if not path.exists():
        return False
    if (held := probe(path)) is not None:
        return held
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def read_owner(path: Path) -> Owner | None:
    """Return who holds, or held last, a lock; None when its file does not say."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Owner)
    except (OSError, ValueError):
        return None


def _write_owner(path: Path) -> None:
    owner = Owner(
        pid=os.getpid(),
        host=socket.gethostname(),
        user=_user(),
        started=datetime.now(UTC).astimezone().isoformat(" ", "seconds"),
        command=redacted(sys.argv),
    )
    # In place: renaming another file over a locked one would leave the lock on a file that nobody sees.
    path.write_bytes(msgspec.json.encode(owner))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def _owner_text(path: Path) -> str:
    owner = read_owner(path)
    return str(owner) if owner else f"a process that did not write itself into {path}"
