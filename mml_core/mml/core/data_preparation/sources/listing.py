"""Finding the images below a folder, and keeping count of what is no image."""

import os
import unicodedata
from collections import Counter
from collections.abc import Collection as Names
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mml.core.data_preparation.images import image_suffixes
from mml.core.scripts.exceptions import TaskDataError
from mml.report.tables import count_text, list_text

_SYSTEM_NAMES = frozenset(
    {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information"}
)


class Listing(NamedTuple):
    """The images below a folder.

    Attributes:
        root: the folder.
        images: paths relative to it, sorted.
        empty_folders: names of the folders directly in it that hold no image.
        notes: what was left out, for the user.
    """

    root: Path
    images: list[PurePosixPath]
    empty_folders: list[str]
    notes: list[str]


class _Walk:
    """The state of one walk; links to folders are followed, each real folder is visited once."""

    def __init__(self, skip: Names[Path]) -> None:
        self.images: list[str] = []
        self.foreign: Counter[str] = Counter()
        self.hidden = 0
        self._suffixes = image_suffixes()
        self._visited = {_identity(path.stat()) for path in skip if path.exists()}

    def visit(self, root: Path) -> None:
        folders = [(str(root), "")]
        while folders:
            folder, relative = folders.pop()
            if (identity := _identity(Path(folder).stat())) in self._visited:
                continue
            self._visited.add(identity)
            with os.scandir(folder) as entries:
                visible = [entry for entry in entries if not self._is_hidden(entry.name)]
            folders += [(entry.path, f"{relative}{entry.name}/") for entry in visible if entry.is_dir()]
            for entry in visible:
                if not entry.is_dir():
                    self._add_file(relative + entry.name)

    def _is_hidden(self, name: str) -> bool:
        hidden = name.startswith(".") or name.lower() in _SYSTEM_NAMES
        self.hidden += hidden
        return hidden

    def _add_file(self, relative: str) -> None:
        suffix = os.path.splitext(relative)[1].lower()  # noqa: PTH122 # a Path per file is slow
        if suffix in self._suffixes:
            self.images.append(relative)
        else:
            self.foreign[suffix or "no suffix"] += 1

    def notes(self) -> list[str]:
        notes = []
        if total := self.foreign.total():
            kinds = list_text(f"{suffix}: {count:,}" for suffix, count in self.foreign.most_common())
            notes.append(f"{count_text(total, 'file')} left out that no image format has as suffix ({kinds}).")
        if self.hidden:
            notes.append(f"{count_text(self.hidden, 'hidden or system entry')} left out.")
        return notes


def list_images(root: Path, skip: Names[Path] = ()) -> Listing:
    """Find all images below a folder.

    Args:
        root: the folder.
        skip: folders below it that are not searched, e.g. mml's own data.

    Raises:
        TaskDataError: a folder can't be read.
    """
    walk = _Walk(skip)
    try:
        walk.visit(root)
    except OSError as error:
        msg = f"Folder {error.filename or root} can't be read: {error.strerror}."
        raise TaskDataError(msg) from error
    images = sorted(PurePosixPath(image) for image in walk.images)
    used = {image.parts[0] for image in images}
    empty = sorted(name for name in visible_folders(root, skip) if name not in used)
    return Listing(root, images, empty, walk.notes())


def visible_folders(root: Path, skip: Names[Path] = ()) -> list[str]:
    """Return the names of the folders directly in a folder, hidden and system ones left out."""
    return sorted(
        path.name
        for path in root.iterdir()
        if path.is_dir()
        and not path.name.startswith(".")
        and path.name.lower() not in _SYSTEM_NAMES
        and path not in skip
    )


def class_name(folder: str) -> str:
    """Return the class name that a folder's name stands for, the same on every system."""
    readable = os.fsencode(folder).decode("utf-8", "replace")
    return unicodedata.normalize("NFC", readable)


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino
