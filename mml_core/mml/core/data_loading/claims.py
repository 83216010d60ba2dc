"""Claims: who made which file. They number files safely among processes and guard what may be removed.

A claim is a small file `.claims/<name>` beside the target, created exclusively, that names the run it belongs to.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mml.core.data_loading.path_templates import number_path, numbers_taken
from mml.core.scripts.utils import atomic_write, fsync_folder, make_folder, unfinished_writes

CLAIMS_FOLDER = ".claims"
NO_OWNER = "-"
_RESCAN_AFTER = 8
# Behind the name of an owner: what ends otherwise was torn by a power cut, which may leave zeros, too.
_END = "\n"
_PADDING = "\n\0"
# Another process writes its name into a claim within microseconds after it made it.
_PATIENCE = 0.1


class Numbering:
    """Hands out the next free number of a path, at the same cost for the first and for the ten-thousandth.

    Args:
        owner: name of the run that claims belong to.
    """

    def __init__(self, owner: str = NO_OWNER) -> None:
        self.owner = owner
        self._next: dict[Path, int] = {}
        self._others: dict[Path, int] = {}

    def look_again(self) -> None:
        """Forget which numbers were free: other processes of the run may have taken or freed some."""
        self._next.clear()

    def claim_next(
        self,
        path: Path,
        announce: Callable[[Path], None],
        before: int | None = None,
        lost: Callable[[Path], None] = lambda _: None,
    ) -> Path:
        """Return `path` with the next free number; the number is this process's from now on.

        Args:
            path: without a number.
            announce: is told each path before it is claimed, so that no claim is ever without a record.
            before: how many numbers others of this run are going to take first, where they work at the same time; the
                number behind those is taken if it is free, so that it does not matter who is faster.
            lost: is told each path that was announced, but that another process claimed in the same moment.
        """
        if before is not None:
            wanted = number_path(path, self._last_of_others(path) + before + 1)
            if self._claim(wanted, announce, lost):
                return wanted
        number = self._next.get(path) or _first_free(path)
        conflicts = 0
        while not self._claim(numbered := number_path(path, number), announce, lost):
            conflicts += 1
            # Others number the same files at this moment: look where they are instead of trying each number.
            number = max(number + 1, _first_free(path)) if conflicts % _RESCAN_AFTER == 0 else number + 1
        self._next[path] = number + 1
        return numbered

    def _last_of_others(self, path: Path) -> int:
        """Return the highest number that is not of this run's owner, 0 without any; of the first time it was asked."""
        if path not in self._others:
            names = {*_names(path.parent), *_names(path.parent / CLAIMS_FOLDER)}
            others = [name for name in names if numbers_taken(path, [name])]
            taken = [name for name in others if claim_owner(path.with_name(name)) != self.owner]
            self._others[path] = max(numbers_taken(path, taken), default=0)
        return self._others[path]

    def _claim(self, path: Path, announce: Callable[[Path], None], lost: Callable[[Path], None]) -> bool:
        if os.path.lexists(path) or os.path.lexists(_mark(path)):
            return False
        announce(path)
        if claimed := claim(path, self.owner):
            return claimed
        lost(path)
        return False


def claim(path: Path, owner: str) -> bool:
    """Reserve a path that does not exist yet; return whether this call did."""
    if os.path.lexists(path):
        return False
    mark = _mark(path)
    try:
        handle = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    except FileNotFoundError:
        make_folder(mark.parent)
        return claim(path, owner)
    with os.fdopen(handle, "w") as file:
        file.write(owner + _END)
        if owner != NO_OWNER:
            # A power cut must not take the claim and leave the file: nobody would remove that any more.
            file.flush()
            os.fsync(file.fileno())
    if owner != NO_OWNER:
        fsync_folder(mark.parent)
    return True


def complete_claim(path: Path, owner: str) -> None:
    """Write the owner out in a claim that a kill or a power cut left in part; only for paths that `owner` announced."""
    for left in unfinished_writes(_mark(path)):
        left.unlink(missing_ok=True)
    if _is_part(path, owner):
        time.sleep(_PATIENCE)
    if _is_part(path, owner):
        _set_owner(path, owner)


def share(path: Path, owner: str) -> None:
    """Claim a path that several runs write, one after the other: it belongs to the last one that began it.

    A file that stands already, and is to be replaced, belongs to nobody then: neither run may remove it.
    """
    before = None if claim(path, owner) else claim_owner(path)
    if before not in (None, owner):
        _set_owner(path, NO_OWNER if os.path.lexists(path) else owner)


def claim_owner(path: Path) -> str | None:
    """Return the run that claimed a path, or None."""
    text = _text(path)
    return None if text is None else text.strip(_PADDING)


def release(path: Path) -> None:
    """Remove the claim of a path, and the folder of claims when it was the last."""
    mark = _mark(path)
    mark.unlink(missing_ok=True)
    with suppress(OSError):
        mark.parent.rmdir()


def remove_claimed(path: Path, owner: str, remove: Callable[[Path], None]) -> bool:
    """Remove a path and its claim if the claim is `owner`'s; return whether it was."""
    if own := claim_owner(path) == owner:
        remove(path)
        release(path)
    elif not os.path.lexists(_mark(path)):
        # An earlier attempt may have been killed in the midst of releasing the last claim of the folder.
        with suppress(OSError):
            _mark(path).parent.rmdir()
    return own


def _is_part(path: Path, owner: str) -> bool:
    """Tell whether a claim may be one of `owner` that was not written to its end."""
    text = _text(path)
    return text is not None and not text.endswith(_END) and owner.startswith(text.strip(_PADDING))


def _text(path: Path) -> str | None:
    try:
        return _mark(path).read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _set_owner(path: Path, owner: str) -> None:
    with atomic_write(_mark(path), "w") as file:
        file.write(owner + _END)


def _mark(path: Path) -> Path:
    return path.parent / CLAIMS_FOLDER / path.name


def _first_free(path: Path) -> int:
    return max(numbers_taken(path, [*_names(path.parent), *_names(path.parent / CLAIMS_FOLDER)]), default=0) + 1


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 # names only, a Path per file is slow
    except (FileNotFoundError, NotADirectoryError):
        return []
