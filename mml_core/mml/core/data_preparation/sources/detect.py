"""Telling in which form a folder or file holds images and labels, and reading it."""

from collections.abc import Collection as Names
from enum import StrEnum
from pathlib import Path

from mml.core.data_preparation.samples import Collection
from mml.core.data_preparation.sources.folders import (
    TABLE_SUFFIXES,
    holds_splits,
    read_class_folders,
    read_split_folders,
)
from mml.core.data_preparation.sources.idx import is_idx_name, read_idx_folder
from mml.core.data_preparation.sources.listing import list_images
from mml.core.data_preparation.sources.manifest import MANIFEST_NAMES, read_manifest
from mml.core.scripts.exceptions import MMLMisconfigurationException, TaskDataError
from mml.report.tables import list_text


class SourceFormat(StrEnum):
    """The forms that images and labels of a source may have."""

    FOLDERS = "folders"
    SPLITS = "splits"
    CSV = "csv"
    IDX = "idx"


def read_source(path: Path, form: SourceFormat | None = None, skip: Names[Path] = ()) -> Collection:
    """Read what a folder, or a manifest file, holds.

    Args:
        path: the folder or file.
        form: how to read it; None finds out.
        skip: folders below `path` that do not belong to it, e.g. mml's own data.

    Raises:
        MMLMisconfigurationException: there is nothing at `path`, or it does not have the form.
        TaskDataError: what it holds can't be used.
    """
    check_exists(path)
    if form in (None, SourceFormat.CSV) and (manifest := find_manifest(path)):
        return read_manifest(manifest)
    if form is SourceFormat.CSV or path.is_file():
        raise _unfit_error(path, form)
    if form is SourceFormat.IDX or (form is None and any(is_idx_name(file.name) for file in _files(path))):
        return read_idx_folder(path)
    listing = list_images(path, skip)
    if form is SourceFormat.SPLITS or (form is None and holds_splits(listing)):
        return read_split_folders(listing)
    return read_class_folders(listing)


def find_manifest(path: Path) -> Path | None:
    """Return the manifest that a path is or, for a folder, holds under one of the usual names; None without."""
    if path.is_file():
        return path if path.suffix.lower() in TABLE_SUFFIXES else None
    return next((path / name for name in MANIFEST_NAMES if (path / name).is_file()), None)


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        msg = f"Folder {folder} can't be read: {error.strerror}."
        raise TaskDataError(msg) from error


def check_exists(path: Path) -> None:
    """Make sure that there is something at the path of a source.

    Raises:
        MMLMisconfigurationException: there is not; says what is there instead.
    """
    if path.exists():
        return
    parent = next(parent for parent in path.parents if parent.is_dir())
    there = list_text(sorted(entry.name for entry in parent.iterdir() if not entry.name.startswith(".")), most=8)
    msg = (
        f"mode.source={path} does not exist; {parent} holds: {there}. "
        "Relative paths start at the folder that mml is called from."
    )
    raise MMLMisconfigurationException(msg)


def _unfit_error(path: Path, form: SourceFormat | None) -> MMLMisconfigurationException:
    if path.is_file():
        hint = (
            "Unpack an archive first. " if path.suffix.lower() in (".zip", ".gz", ".tar", ".tgz", ".7z", ".rar") else ""
        )
        msg = (
            f"mode.source={path} is a file, and no manifest ({', '.join(sorted(TABLE_SUFFIXES))}). {hint}"
            "Give the folder that holds the images, or a CSV manifest that lists them."
        )
    else:
        msg = (
            f"mode.format={form} was asked for, but {path} holds none of {', '.join(MANIFEST_NAMES)}. "
            "Give the manifest itself: mode.source=<file>.csv."
        )
    return MMLMisconfigurationException(msg)
