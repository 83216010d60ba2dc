"""Clean-up: finding the files of a kind in a project, and removing files together with their claims."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mml.core.data_loading.claims import CLAIMS_FOLDER, claim_owner, release
from mml.core.data_loading.path_templates import PathTemplate
from mml.core.scripts.exceptions import UnknownNameError


class KindFile(NamedTuple):
    """A file (or folder) that a template describes.

    Attributes:
        owner: name of the run that made it, None when no run did.
    """

    key: str
    path: Path
    owner: str | None

    @property
    def size(self) -> int:
        """Bytes that removing it would free."""
        if not self.path.is_dir() or self.path.is_symlink():
            return self.path.lstat().st_size
        return sum(file.lstat().st_size for file in self.path.rglob("*"))


def find_kind_files(templates: Iterable[PathTemplate], proj_path: Path) -> Iterator[KindFile]:
    """Yield what a project holds of the kinds given; temporary kinds lie in run folders and are left out.

    Foreign files (no template describes them) and links out of the project are never among them.
    """
    patterns = {template.key: template.pattern() for template in templates if not template.temporary}
    for path in _walk(proj_path):
        relative = path.relative_to(proj_path).as_posix()
        key = next((key for key, pattern in patterns.items() if pattern.fullmatch(relative)), None)
        if key is not None:
            yield KindFile(key, path, claim_owner(path))


def wanted_kinds(config: Mapping[str, Any], templates: Mapping[str, PathTemplate]) -> list[str]:
    """Return the keys that `reuse.clean_up` sets to true.

    Raises:
        UnknownNameError: a key that no template has.
    """
    for key in config:
        if key not in templates:
            raise UnknownNameError(key, kind="key in reuse.clean_up", known=templates)
    return [key for key, value in config.items() if value]


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there; a link is removed, never what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_with_claim(path: Path) -> None:
    """Remove a file or folder and its claim, and folders that this left empty are kept: others may be writing there."""
    remove(path)
    release(path)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield files and folders below a folder, links unfollowed, hidden folders and the runs left out."""
    for root, folders, files in os.walk(folder):
        here = Path(root)
        hidden = {CLAIMS_FOLDER, "runs"} if here == folder else {CLAIMS_FOLDER}
        folders[:] = sorted(name for name in folders if name not in hidden)
        yield from (here / name for name in [*folders, *sorted(files)])
