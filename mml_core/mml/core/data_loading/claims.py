"""Claims: who made which file. They number files safely among processes and guard what may be removed.

A claim is a small file `.claims/<name>` beside the target, created exclusively, that names the run it belongs to.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mml.core.data_loading.path_templates import number_path, numbers_taken

CLAIMS_FOLDER = ".claims"
NO_OWNER = "-"
_RESCAN_AFTER = 8


class Numbering:
    """Hands out the next free number of a path, at the same cost for the first and for the ten-thousandth.

    Args:
        owner: name of the run that claims belong to.
    """

    def __init__(self, owner: str = NO_OWNER) -> None:
        self.owner = owner
        self._next: dict[Path, int] = {}

    def claim_next(self, path: Path) -> Path:
        """Return `path` with the next free number; the number is this process's from now on."""
        number = self._next.get(path) or self._first_free(path)
        conflicts = 0
        while not claim(numbered := number_path(path, number), self.owner):
            conflicts += 1
            # Others number the same files at this moment: look where they are instead of trying each number.
            number = max(number + 1, self._first_free(path)) if conflicts % _RESCAN_AFTER == 0 else number + 1
        self._next[path] = number + 1
        return numbered

    def _first_free(self, path: Path) -> int:
        if path not in self._next and self.owner != NO_OWNER:
            self._free_own_leftovers(path)
        taken = numbers_taken(path, [*_names(path.parent), *_names(path.parent / CLAIMS_FOLDER)])
        return max(taken, default=0) + 1

    def _free_own_leftovers(self, path: Path) -> None:
        """Free what an attempt of this run claimed for these files, but was killed before it wrote."""
        written = set(_names(path.parent))
        claims = path.parent / CLAIMS_FOLDER
        for name in _names(claims):
            if name not in written and numbers_taken(path, [name]) and claim_owner(path.parent / name) == self.owner:
                release(path.parent / name)


def claim(path: Path, owner: str) -> bool:
    """Reserve a path that does not exist yet; return whether this call did."""
    if os.path.lexists(path):
        return False
    mark = path.parent / CLAIMS_FOLDER / path.name
    try:
        handle = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    except FileNotFoundError:
        mark.parent.mkdir(parents=True, exist_ok=True)
        return claim(path, owner)
    with os.fdopen(handle, "w") as file:
        file.write(owner)
    return True


def claim_owner(path: Path) -> str | None:
    """Return the run that claimed a path, or None."""
    try:
        return (path.parent / CLAIMS_FOLDER / path.name).read_text()
    except OSError:
        return None


def release(path: Path) -> None:
    """Remove the claim of a path, and the folder of claims when it was the last."""
    mark = path.parent / CLAIMS_FOLDER / path.name
    mark.unlink(missing_ok=True)
    with suppress(OSError):
        mark.parent.rmdir()


def remove_claimed(path: Path, owner: str, remove: Callable[[Path], None]) -> bool:
    """Remove a path and its claim if the claim is `owner`'s; return whether it was."""
    if claim_owner(path) != owner:
        return False
    remove(path)
    release(path)
    return True


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 # names only, a Path per file is slow
    except (FileNotFoundError, NotADirectoryError):
        return []
