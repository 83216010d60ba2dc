"""Clean-up: finding the files of a kind in a project, and removing files together with their claims."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from mml.core.data_loading.claims import CLAIMS_FOLDER, claim_owner, release
from mml.core.data_loading.path_templates import PathTemplate
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.utils import unfinished_writes


class KindFile(NamedTuple):
    """A file (or folder) that a template describes.

    Attributes:
        key: its kind.
        path: where it lies.
        owner: name of the run that made it, None when no run did.
        task: name of the task that it belongs to, None when the kind is not kept per task.
    """

    key: str
    path: Path
    owner: str | None
    task: str | None = None


def find_kind_files(templates: Iterable[PathTemplate], proj_path: Path) -> Iterator[KindFile]:
    """Yield what a project holds of the kinds given; temporary kinds lie in run folders and are left out.

    Foreign files and links are never among them. A file is foreign when no template describes it, or when a template
    leaves its name open and no run has claimed it; so is a folder that nobody claimed.
    """
    kinds = _Kinds(templates, proj_path)
    for folder, names in _walk(proj_path):
        for name in names:
            path = folder / name
            found = kinds.describe(path, path)
            if found is not None and not path.is_symlink() and (found.owner or kinds.is_closed(found)):
                yield found


def find_leftovers(templates: Iterable[PathTemplate], proj_path: Path) -> Iterator[KindFile]:
    """Yield what killed runs left of the kinds given: claims of files that were never written, and unfinished writes.

    The path of a claim that stands alone is the path claimed, which does not exist.
    """
    kinds = _Kinds(templates, proj_path)
    for folder, names in _walk(proj_path):
        any_unfinished = any(name.startswith(".") for name in names)
        written = set(names)
        for target in sorted(folder / name for name in _claimed(folder)):
            beside = unfinished_writes(target) if any_unfinished else []
            alone = [] if target.name in written else [target]
            yield from (found for path in [*beside, *alone] if (found := kinds.describe(path, target)))


def claimed_since(proj_path: Path, owner: str, since: float) -> Iterator[Path]:
    """Yield the paths that a run claimed from a moment on.

    Args:
        proj_path: the project's folder.
        owner: name of the run.
        since: seconds since the epoch; claims of before are not even opened.
    """
    for folder, _ in _walk(proj_path):
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder / CLAIMS_FOLDER) as claims:
            young = [folder / claim.name for claim in claims if claim.stat().st_mtime >= since]
            yield from (path for path in young if claim_owner(path) == owner)


def wanted_kinds(config: Mapping[str, Any], templates: Mapping[str, PathTemplate]) -> list[str]:
    """Return the keys that `reuse.clean_up` sets to true.

    Raises:
        UnknownNameError: a key that no template has.
        MMLMisconfigurationException: a value that is neither true nor false, e.g. the text `no`.
    """
    for key, value in config.items():
        if key not in templates:
            raise UnknownNameError(key, kind="key in reuse.clean_up", known=templates)
        if value is not None and not isinstance(value, bool):
            msg = f"reuse.clean_up.{key}={value} is neither true nor false, and what is removed can't be brought back."
            raise MMLMisconfigurationException(msg)
    return [key for key, value in config.items() if value]


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there; a link is removed, never what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_with_claim(path: Path) -> None:
    """Remove a file or folder, and its claim, so that its number is free again."""
    remove(path)
    release(path)


class _Kinds:
    """Tells the kind of a path."""

    def __init__(self, templates: Iterable[PathTemplate], proj_path: Path) -> None:
        # Where several fit, the one that leaves less open is meant.
        self._templates = sorted((t for t in templates if not t.temporary), key=lambda template: template.per_file_name)
        self._patterns = [(template, template.pattern()) for template in self._templates]
        self._proj_path = proj_path

    def describe(self, path: Path, target: Path) -> KindFile | None:
        """Return `path` as a file of the kind of `target`, None when no template describes that."""
        relative = target.relative_to(self._proj_path).as_posix()
        for template, pattern in self._patterns:
            if match := pattern.fullmatch(relative):
                return KindFile(template.key, path, claim_owner(target), match.groupdict().get("task"))
        return None

    def is_closed(self, found: KindFile) -> bool:
        """Tell whether a file's name alone shows that it is one of ours."""
        (template,) = (template for template in self._templates if template.key == found.key)
        return not template.per_file_name and not found.path.is_dir()


def _claimed(folder: Path) -> list[str]:
    claims = folder / CLAIMS_FOLDER
    return [path.name for path in claims.iterdir()] if claims.is_dir() else []


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield every folder below a folder (and itself) with its names, links unfollowed, claims and runs left out."""
    for root, folders, files in os.walk(folder):
        here = Path(root)
        hidden = {CLAIMS_FOLDER, "runs"} if here == folder else {CLAIMS_FOLDER}
        folders[:] = sorted(name for name in folders if name not in hidden)
        yield here, [*folders, *sorted(files)]
