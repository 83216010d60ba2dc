"""From a task under way to a task: published whole by one rename, or not there at all.

A task is made below `<tasks>/.creating/<name>/<token>`, a folder that one run owns; a lock keeps others out.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mml.core.data_loading.cleanup import remove
from mml.core.data_loading.task_description import DESCRIPTION_FILE
from mml.core.data_preparation.disk import disk_errors
from mml.core.data_preparation.image_store import RECORDS_FILE
from mml.core.scripts.exceptions import MMLMisconfigurationException, RunLockedError
from mml.core.scripts.run_lock import LOCK_FILE, RunLock, read_owner
from mml.core.scripts.utils import fsync_folder, unfinished_writes

CREATING_FOLDER = ".creating"
# In a published task: the token of the run that made it.
MARK_FILE = ".creation"
_REPLACED = "replaced"
# From linux/fcntl.h and linux/fs.h.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


class Workbench:
    """Where one task is made.

    Args:
        tasks: the folder of all tasks.
        name: of the task.
    """

    def __init__(self, tasks: Path, name: str) -> None:
        self.name = name
        self.target = tasks / name
        self.folder = tasks / CREATING_FOLDER / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from making the same task.

        Raises:
            RunLockedError: another process makes it; names the process.
            TaskDataError: the data folder can't be written.
        """
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        lock = RunLock(self.folder)
        try:
            with disk_errors(self.folder):
                lock.acquire()
        except RunLockedError as error:
            owner = read_owner(self.folder / LOCK_FILE) or "another process"
            msg = f"Task '{self.name}' is being created by {owner}. Wait for it, or stop that process."
            raise RunLockedError(msg) from error
        try:
            _heal(self.folder / _REPLACED, self.target)
            yield
        finally:
            lock.release()

    def begin(self, token: str) -> Path:
        """Return the folder for the parts of the task, with all that an earlier attempt of the run completed in it."""
        folder = self.folder / token
        with disk_errors(folder):
            folder.mkdir(exist_ok=True)
            for name in (DESCRIPTION_FILE, RECORDS_FILE):
                for left in unfinished_writes(folder / name):
                    left.unlink()
        return folder

    def leftovers(self, token: str) -> list[Path]:
        """Return the folders that other runs left when they were interrupted."""
        return sorted(path for path in self.folder.iterdir() if path.is_dir() and path.name != token)

    def discard(self, token: str) -> None:
        """Remove the folder of a run; that it is gone is durable."""
        remove(self.folder / token)
        fsync_folder(self.folder)

    def is_published(self, token: str) -> bool:
        """Tell whether the run published the task already, and was stopped before it could say so."""
        try:
            return (self.target / MARK_FILE).read_text() == token
        except OSError:
            return False

    def refuse_existing(self, overwrite: bool) -> None:
        """Make sure that the task may be created.

        Raises:
            MMLMisconfigurationException: there is one of this name, and it must not be overwritten.
        """
        if not os.path.lexists(self.target) or (overwrite and self.target.is_dir()):
            return
        if self.target.is_dir():
            msg = (
                f"Task '{self.name}' exists already, in {self.target}. Choose another name, or replace it with "
                "mode.overwrite=true."
            )
        else:
            msg = f"Task '{self.name}' can't be created: {self.target} is a file, and none of mml's. Move it away."
        raise MMLMisconfigurationException(msg)

    def publish(self, token: str, overwrite: bool) -> None:
        """Make the run's folder the task; after a power cut, too, it is there whole or not at all.

        Args:
            token: of the run.
            overwrite: whether an existing task is replaced; it is removed once the new one stands in its place.

        Raises:
            MMLMisconfigurationException: a task of this name has come up meanwhile.
            TaskDataError: the disk is full, or can't be written.
        """
        made = self.folder / token
        with disk_errors(self.folder):
            (made / MARK_FILE).write_text(token)
            # One flush of everything instead of one per image.
            os.sync()
            self.refuse_existing(overwrite)
            (made / RECORDS_FILE).unlink(missing_ok=True)
            fsync_folder(made)
            if self.target.is_dir() and any(self.target.iterdir()):
                _replace(made, self.target, self.folder / _REPLACED)
            else:
                made.rename(self.target)
            fsync_folder(self.target.parent)
            remove(self.folder / _REPLACED)
            self.discard(token)


def heal(tasks: Path) -> None:
    """Bring back every task that a kill left moved aside, between the two renames that should have replaced it."""
    for replaced in (tasks / CREATING_FOLDER).glob(f"*/{_REPLACED}"):
        with suppress(RunLockedError), Workbench(tasks, replaced.parent.name).locked():
            pass  # taking the lock heals


def _heal(replaced: Path, target: Path) -> None:
    if not replaced.is_dir():
        return
    if target.exists():
        remove(replaced)
    else:
        replaced.rename(target)


def _replace(made: Path, target: Path, aside: Path) -> None:
    """Put `made` in the place of the folder `target`: at once where the system can, else by two renames."""
    if _exchange(made, target):
        return
    target.rename(aside)
    try:
        made.rename(target)
    except BaseException:
        if not target.exists():
            aside.rename(target)
        raise


def _exchange(one: Path, two: Path) -> bool:
    """Swap two folders in one step; return False where the system or its disk can't."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(two), _RENAME_EXCHANGE) == 0)
