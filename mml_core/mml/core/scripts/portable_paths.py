"""Paths in records: relative to the results or the data root, so that either folder can be moved."""

import os
from pathlib import Path, PurePosixPath
from typing import NamedTuple

DATA_PREFIX = "data:"


class PathRoots(NamedTuple):
    """The two folders that records are relative to."""

    results: Path
    data: Path

    def to_text(self, path: Path) -> str:
        """Return the form of `path` that goes into a record.

        A path below the results root becomes relative to it, one below the data root gets the prefix `data:`, and any
        other stays absolute.
        """
        path = Path(os.path.normpath(path.absolute()))
        if path.is_relative_to(self.results):
            text = path.relative_to(self.results).as_posix()
            # A project may be called `data:...`; the leading dot goes when the text becomes a path again.
            return f"./{text}" if text.startswith(DATA_PREFIX) else text
        if path.is_relative_to(self.data):
            return DATA_PREFIX + path.relative_to(self.data).as_posix()
        return path.as_posix()

    def to_path(self, text: str) -> Path:
        """Return the path that `to_text` made `text` of, below the roots of today.

        Raises:
            ValueError: no such text; records lie on disk, where anybody may have written them.
        """
        if fault := text_fault(text):
            msg = f"{text!r} can't be a path: {fault}"
            raise ValueError(msg)
        if text.startswith(DATA_PREFIX):
            return self.data / PurePosixPath(text.removeprefix(DATA_PREFIX))
        return self.results / PurePosixPath(text)


def text_fault(text: object) -> str | None:
    """Return why something can't be the portable text of a path, None if it can."""
    if not isinstance(text, str):
        return "it is no text"
    if "\0" in text:
        return "it holds a zero byte"
    return (
        "it leads out of its folder"
        if ".." in text and ".." in PurePosixPath(text.removeprefix(DATA_PREFIX)).parts
        else None
    )
