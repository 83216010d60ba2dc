"""Attempts at steps in other processes: each has a folder as long as it may write, and lists the files it announced.

An attempt that is given up loses its folder, and with it the right to create a file or to put one in its place. Its
list of files stays, under another name, until nobody can write them any more and they are removed.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from mml.core.data_loading.cleanup import remove
from mml.core.scripts.exceptions import AttemptRevokedError
from mml.core.scripts.run_files import ATTEMPTS_FOLDER, JOB_FILE
from mml.core.scripts.utils import fsync_folder, make_folder

_ANNOUNCED = "announced.jsonl"
_REVOKED = ".revoked"
# In the place of a kind of file.
_ANOTHERS = ""


class AttemptFolder:
    """The folder of one attempt.

    Args:
        run: the run folder.
        name: of the attempt, `Work.name`.
    """

    def __init__(self, run: Path, name: str) -> None:
        self.name = name
        self.path = run / ATTEMPTS_FOLDER / name
        self._text = f"{run}/{ATTEMPTS_FOLDER}/{name}"

    @property
    def _revoked(self) -> Path:
        return self.path.with_name(self.name + _REVOKED)

    @property
    def step(self) -> int:
        """Position of the step."""
        return int(self.name.partition(".")[0]) - 1

    @property
    def attempt(self) -> str:
        """Token of the attempt."""
        return self.name.partition(".")[2]

    @property
    def valid(self) -> bool:
        """Whether the attempt has a right to write."""
        return self.path.is_dir()

    def create(self) -> None:
        """Give the attempt its right to write."""
        try:
            os.mkdir(self._text)  # noqa: PTH102 # every attempt pays for it
        except FileNotFoundError:
            self.path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            pass

    def create_for_good(self) -> None:
        """Give the attempt its right to write, so that no power cut takes it away."""
        make_folder(self.path)

    def check(self) -> None:
        """Make sure that the attempt has a right to write.

        Raises:
            AttemptRevokedError: it has none any more.
        """
        if not self.valid:
            msg = f"Attempt {self.name} was given up: another one has its place. It stops here and writes nothing more."
            raise AttemptRevokedError(msg)

    def announce(self, path: str, key: str) -> None:
        """Write down, for good, a file that the attempt is about to create.

        Args:
            path: portable text.
            key: kind of the file.

        Raises:
            AttemptRevokedError: the attempt was given up.
        """
        try:
            _add(self.path, path, key)
        except FileNotFoundError:
            self.check()
            raise
        # It may have been given up in between: nobody would look at this line any more.
        self.check()

    def withdraw(self, path: str) -> None:
        """Write down that a file which the attempt announced is another's, which was faster."""
        try:
            _add(self.path, path, _ANOTHERS)
        except FileNotFoundError:
            with suppress(FileNotFoundError):  # given up in between, and all that it announced was removed
                _add(self._revoked, path, _ANOTHERS)

    def announced(self) -> list[str]:
        """Return the files that the attempt announced, as portable text; a torn last line was not acknowledged."""
        lines: list[bytes] = []
        for folder in (self.path, self._revoked):
            with suppress(OSError):
                lines += (folder / _ANNOUNCED).read_bytes().split(b"\n")
        found: dict[str, str] = {}
        for line in filter(None, lines):
            with suppress(msgspec.MsgspecError):
                path, key = msgspec.json.decode(line, type=tuple[str, str])
                found[path] = key
        return [path for path, key in found.items() if key != _ANOTHERS]

    def take_down(self, job: dict[str, Any]) -> None:
        """Keep what a later process has to know to find or cancel the attempt.

        Not for good: after a power cut, engines and locks of workers tell what still runs.
        """
        beside = self.path / f".{JOB_FILE}.tmp"
        with suppress(FileNotFoundError):  # given up in between
            beside.write_bytes(msgspec.json.encode(job))
            beside.replace(self.path / JOB_FILE)

    def job(self) -> dict[str, Any] | None:
        """Return what was taken down, None when nothing was."""
        for folder in (self.path, self._revoked):
            with suppress(OSError, msgspec.MsgspecError):
                return msgspec.json.decode((folder / JOB_FILE).read_bytes(), type=dict[str, Any])
        return None

    def revoke(self) -> None:
        """Take the right to write away; what the attempt announced stays known."""
        with suppress(FileNotFoundError):
            self.path.replace(self._revoked)
            fsync_folder(self.path.parent)

    def remove(self) -> None:
        """Remove the folder; what the attempt announced is not known any more."""
        with suppress(OSError):
            os.rmdir(self._text)  # noqa: PTH106 # most have nothing in it, and every attempt pays for it
            return
        for folder in (self.path, self._revoked):
            if folder.is_dir():
                remove(folder)


def _add(folder: Path, path: str, key: str) -> None:
    """Add a line to the list of announced files, for good."""
    listed = folder / _ANNOUNCED
    new = not listed.exists()
    handle = os.open(listed, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, msgspec.json.encode([path, key]) + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)
    if new:
        with suppress(FileNotFoundError):
            fsync_folder(folder)


def attempts_left(run: Path) -> list[AttemptFolder]:
    """Return the attempts that have a folder, given up or not."""
    return sorted(set(_left(run)), key=lambda folder: folder.name)


def remove_if_empty(run: Path) -> None:
    """Remove the folder of all attempts when none is left."""
    with suppress(OSError):
        (run / ATTEMPTS_FOLDER).rmdir()


def _left(run: Path) -> Iterator[AttemptFolder]:
    try:
        names = os.listdir(run / ATTEMPTS_FOLDER)  # noqa: PTH208 # names only
    except OSError:
        return
    for name in dict.fromkeys(name.removesuffix(_REVOKED) for name in names):
        if name.partition(".")[0].isdecimal():
            yield AttemptFolder(run, name)
