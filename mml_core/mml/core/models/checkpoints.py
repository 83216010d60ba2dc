"""Checkpoint files of a training: written durably under a name that says their content, the last two kept.

What is read back is what was written: a file whose digest does not fit its name is passed over for the one before.
"""

import hashlib
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from mml.core.scripts.utils import atomic_write, fsync_folder, put_in_place

logger = logging.getLogger(__name__)

# Which files a checkpoint refers to, name -> digest: it can't be used without them.
FILES = "mml_files"
KEPT = 2
_NAME = re.compile(r"(\d{6,})-([0-9a-f]{32})\.ckpt")
_CHUNK = 1 << 20


class CheckpointFolder:
    """The checkpoints of one training, the newest last.

    Args:
        path: the folder; made when the first checkpoint is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Return the names of all checkpoints, oldest first."""
        try:
            found = [name for name in os.listdir(self.path) if _NAME.fullmatch(name)]  # noqa: PTH208 # names only
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(found, key=_number)

    def write(self, state: Mapping[str, Any]) -> Path:
        """Store a checkpoint and, once that can't be lost any more, remove all but the last two.

        Raises:
            OSError: it could not be written, e.g. because the disk is full; the earlier ones are as they were.
        """
        names = self.names()
        number = _number(names[-1]) + 1 if names else 1
        self.path.mkdir(parents=True, exist_ok=True)
        beside = self.path / f".{number:06d}.tmp"
        try:
            digest = save_durably(state, beside)
            path = self.path / f"{number:06d}-{digest}.ckpt"
            put_in_place(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        fsync_folder(self.path)
        for name in names[: 1 - KEPT]:
            (self.path / name).unlink(missing_ok=True)
        return path

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """Return the newest checkpoint that is whole, and its content; says aloud which ones are not.

        Damaged ones are removed, so that later ones are not taken for them.
        """
        names = self.names()
        for name in reversed(names):
            path = self.path / name
            try:
                return path, self._read(path)
            except (OSError, ValueError, RuntimeError, EOFError, KeyError) as error:
                logger.warning("Checkpoint %s is damaged (%s): looking for the one before it.", path, error)
                path.unlink(missing_ok=True)
            except Exception as error:  # noqa: BLE001 # whatever unpickling damaged or foreign bytes raises
                logger.warning("Checkpoint %s can't be read (%s): looking for the one before it.", path, error)
                path.unlink(missing_ok=True)
        if names:
            logger.warning("No checkpoint in %s is whole: this training starts anew.", self.path)
        return None

    def _read(self, path: Path) -> dict[str, Any]:
        """Return a checkpoint.

        Raises:
            ValueError: it, or a file that it refers to, is not what was written.
        """
        match = _NAME.fullmatch(path.name)
        if match is None or file_digest(path) != match[2]:
            msg = "its digest does not fit"
            raise ValueError(msg)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        for name, digest in state.get(FILES, {}).items():
            if file_digest(self.path / name) != digest:
                msg = f"{name}, which belongs to it, is not the file it was"
                raise ValueError(msg)
        return state


class DurableCheckpointIO(TorchCheckpointIO):
    """How Lightning writes files in a training's folder: durably, and what it removes stays while it may be needed.

    A checkpoint refers to files that callbacks wrote, e.g. the weights of the best epoch. One that is removed after a
    checkpoint goes only when no checkpoint that is still there may refer to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.digests: dict[Path, str] = {}
        self.loaded: tuple[Path, dict[str, Any]] | None = None
        self._removed: list[Path] = []
        self._removed_before: list[Path] = []

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a file atomically, and keep its digest."""
        del storage_options
        target = Path(path)
        with atomic_write(target) as file:
            tee = _Tee(file)
            tee.save(checkpoint)
        self.digests[target] = tee.digest
        if target in self._removed:
            self._removed.remove(target)
        if target in self._removed_before:
            self._removed_before.remove(target)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a file; the one that was read to be checked is not read again."""
        if self.loaded is not None and self.loaded[0] == Path(path):
            state, self.loaded = self.loaded[1], None
            return state
        return super().load_checkpoint(path, map_location, weights_only=weights_only is not False)

    def remove_checkpoint(self, path: Any) -> None:
        """Take note that a file is not wanted any more."""
        self.digests.pop(Path(path), None)
        self._removed.append(Path(path))

    def checkpoint_written(self) -> None:
        """Remove what no checkpoint refers to any more; to be called after each that was written."""
        for path in self._removed_before:
            path.unlink(missing_ok=True)
        self._removed_before, self._removed = self._removed, []


class _Tee:
    """A file that knows the digest of what was written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.blake2b(digest_size=16)
        self._fault: OSError | None = None

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a state as torch does.

        Raises:
            OSError: the file could not be written; torch itself would say so in words of its own.
        """
        try:
            torch.save(state, self)  # type: ignore[arg-type] # all it needs is write and flush
        except RuntimeError as error:
            raise self._fault or error from error

    def write(self, data: Any) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            self._fault = error
            raise
        self._hash.update(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()


def save_durably(state: Mapping[str, Any], path: Path) -> str:
    """Write a state to a new file, flush it to the disk, and return its digest.

    Raises:
        OSError: it could not be written.
    """
    with path.open("wb") as file:
        tee = _Tee(file)
        tee.save(state)
        file.flush()
        os.fsync(file.fileno())
    return tee.digest


def file_digest(path: Path) -> str:
    """Return the digest of a file, 32 hexadecimal digits.

    Raises:
        OSError: it can't be read.
    """
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def moved(value: Any, before: str, now: str) -> Any:
    """Return a nested value in which paths below one folder lie below another."""
    if isinstance(value, str):
        below = value == before or value.startswith(f"{before}{os.sep}")
        return now + value[len(before) :] if below else value
    if isinstance(value, dict):
        return type(value)({moved(key, before, now): moved(item, before, now) for key, item in value.items()})
    return [moved(item, before, now) for item in value] if isinstance(value, list) else value


def loads_safely(path: Path) -> str | None:
    """Return why a file can't be read without running code that it brings along, None if it can."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 # torch has no class of its own for it
        return str(error.__context__ or error).partition("\n")[0]
    return None


def _number(name: str) -> int:
    return int(name.partition("-")[0])
