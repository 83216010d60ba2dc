"""Paths in records: relative to the results or the data root, so that either folder can be moved."""

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
        path = path.absolute()
        if path.is_relative_to(self.results):
            text = path.relative_to(self.results).as_posix()
            # A project may be called `data:...`; the leading dot goes when the text becomes a path again.
            return f"./{text}" if text.startswith(DATA_PREFIX) else text
        if path.is_relative_to(self.data):
            return DATA_PREFIX + path.relative_to(self.data).as_posix()
        return path.as_posix()

    def to_path(self, text: str) -> Path:
        """Return the path that `to_text` made `text` of, below the roots of today."""
        if text.startswith(DATA_PREFIX):
            return self.data / PurePosixPath(text.removeprefix(DATA_PREFIX))
        return self.results / PurePosixPath(text)
