"""Small helpers that every layer may use."""

import difflib
import os
import re
from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, ClassVar, TypeVar

_Instance = TypeVar("_Instance")

# Separates a task name from the tags that derive a variant of it, and a tag from its arguments.
TAG_SEP = "+"
ARG_SEP = "?"
# How much of a file's name the one of its unfinished write has: 255 bytes hold this, whatever the characters.
_NAME_PART = 50


class LearningPhase(StrEnum):
    """What a data loader is used for."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"
    PREDICT = "predict"


class Singleton(ABCMeta):
    """Metaclass of classes with at most one instance per process."""

    _instances: ClassVar[dict[type, Any]] = {}

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Create the instance.

        Raises:
            RuntimeError: there is one already; a silent second one would hide the arguments given here.
        """
        if cls in Singleton._instances:
            msg = f"{cls.__name__} exists already: use {cls.__name__}.instance(), or clear_instance() before a new one."
            raise RuntimeError(msg)
        Singleton._instances[cls] = super().__call__(*args, **kwargs)
        return Singleton._instances[cls]

    def instance(cls: type[_Instance]) -> _Instance:
        """Return the instance.

        Raises:
            RuntimeError: none was created yet.
        """
        try:
            return Singleton._instances[cls]  # type: ignore[no-any-return]
        except KeyError:
            msg = f"No {cls.__name__} was created yet; a scheduler creates it, or call {cls.__name__}(...) once."
            raise RuntimeError(msg) from None

    def exists(cls) -> bool:
        """Tell whether there is an instance."""
        return cls in Singleton._instances

    def clear_instance(cls) -> None:
        """Forget the instance, if any."""
        Singleton._instances.pop(cls, None)


def did_you_mean(name: str, known: Iterable[str], most: int = 12) -> str:
    """Return a sentence with the names nearest to `name`, or with all of them if none is near."""
    names = sorted(known)
    if near := difflib.get_close_matches(name, names, n=3, cutoff=0.55):
        return f"Did you mean {' or '.join(repr(n) for n in near)}?"
    if not names:
        return "There is none yet."
    listed = ", ".join(names[:most]) + (f", ... ({len(names) - most} more)" if len(names) > most else "")
    return f"Known: {listed}."


def fsync_folder(folder: Path) -> None:
    """Make renames and new names inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems refuse it, and have nothing to flush
            os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path) -> None:
    """Make a folder, its name and all that is in it durable; for what a library writes without doing so."""
    for root, _, files in os.walk(folder):
        for name in files:
            with Path(root, name).open("rb") as file:
                os.fsync(file.fileno())
        fsync_folder(Path(root))
    fsync_folder(folder.parent)


def make_folder(folder: Path) -> None:
    """Create a folder with its parents, as far as they are missing, and make their names durable.

    Raises:
        OSError: it can't be made, e.g. because a file is in the way.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    with suppress(PermissionError):  # a folder that may be written, but not read
        fsync_folder(folder.parent)


class WriteCheck:
    """What is asked before a written file takes its place; a process whose work may be given up sets it.

    Attributes:
        check: raises an error when nothing may be written any more; None: all may.
    """

    check: ClassVar[Callable[[], None] | None] = None


def put_in_place(beside: Path, path: Path) -> None:
    """Let a written file take the place of `path`, if this process may write.

    Raises:
        AttemptRevokedError: it may not any more.
    """
    if WriteCheck.check is not None:
        WriteCheck.check()
    beside.replace(path)


@contextmanager
def atomic_write(path: Path, mode: str = "wb", encoding: str | None = None) -> Iterator[IO[Any]]:
    """Open a file that takes the place of `path` when the block ends well, and never exists in part.

    The bytes are written beside the target, fsynced and renamed; the folder is created when missing and fsynced.

    Args:
        path: the target.
        mode: `"wb"` or `"w"`.
        encoding: of a text file, UTF-8 by default.
    """
    import tempfile  # takes longer to load than a list of runs has time for

    make_folder(path.parent)
    if "b" not in mode:
        encoding = encoding or "utf-8"
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:_NAME_PART]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, mode, encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _apply_umask(name)
        put_in_place(Path(name), path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def atomic_save(path: Path, write: Callable[[Path], None]) -> None:
    """Let a library that wants a path write `path` atomically.

    Args:
        path: the target.
        write: is called with a path beside the target, of the same suffix, that it has to write.
    """
    make_folder(path.parent)
    beside = path.with_name(f".{path.stem[:_NAME_PART]}.{os.getpid()}.tmp{path.suffix}")
    try:
        write(beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        put_in_place(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def unfinished_writes(path: Path) -> list[Path]:
    """Return what atomic writes of `path` left beside it when their process was killed."""
    stem, whole, suffix = (re.escape(part) for part in (path.stem[:_NAME_PART], path.name[:_NAME_PART], path.suffix))
    pattern = re.compile(rf"\.{whole}\.[a-z0-9_]{{8}}\.tmp|\.{stem}\.\d+\.tmp{suffix}")
    try:
        names = os.listdir(path.parent)  # noqa: PTH208 # names only, a Path per file is slow
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path.with_name(name) for name in names if pattern.fullmatch(name)]


def _apply_umask(name: str) -> None:
    """Give a file made by `mkstemp` (mode 0600) the mode that `open` would have given it."""
    umask = os.umask(0)
    os.umask(umask)
    Path(name).chmod(0o666 & ~umask)


def as_list(value: Any) -> list[Any]:
    """Return a list of a value that may be missing, single or a list: `None` -> `[]`, `"a"` -> `["a"]`."""
    if value is None:
        return []
    return [value] if isinstance(value, str | bytes) or not isinstance(value, Iterable) else list(value)
