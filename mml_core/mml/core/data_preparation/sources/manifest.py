"""CSV manifests: a table with one row per image. The columns are described in docs/own_tasks.md."""

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_preparation.samples import Collection, Sample, safe_names
from mml.core.data_preparation.sources.folders import SPLIT_NAMES
from mml.core.data_preparation.sources.listing import class_name
from mml.core.scripts.exceptions import TaskDataError
from mml.core.scripts.utils import did_you_mean
from mml.report.tables import count_text, list_text

MANIFEST_NAMES = ("manifest.csv", "labels.csv", "manifest.tsv", "labels.tsv")

# What a column is called; of several that a file has, the first one counts.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "path", "file", "filename", "file_name", "image_path", "filepath", "file_path"),
    "label": ("label", "class", "class_name", "category", "target"),
    "split": ("split", "set", "subset", "partition"),
    "fold": ("fold",),
    "id": ("id", "sample_id", "image_id"),
}
_REQUIRED = ("image", "label")
_DELIMITERS = ",;\t|"
_MOST_FAULTS = 10
_LONGEST_SHOWN = 60


class _Row(NamedTuple):
    """A row of a manifest, its cells by column, stripped."""

    line: int
    image: str
    label: str
    split: str
    fold: str
    id: str


class _Table(NamedTuple):
    """A manifest as read: which kinds of columns it has, and its rows."""

    path: Path
    columns: frozenset[str]
    rows: list[_Row]


def read_manifest(path: Path) -> Collection:
    """Read a CSV manifest; paths in it are relative to its folder, or absolute.

    Raises:
        TaskDataError: no text, a column is missing, or rows can't be used; names the lines.
    """
    table = _read_table(path)
    splits = [_split_of(row) for row in table.rows]
    images = [_image_path(path.parent, row.image) for row in table.rows]
    for fault in (_cell_fault, _split_fault, _fold_fault):
        fault(table, splits)
    _check_files(table, images)
    ids = _ids(table)
    folds = _folds(table, splits)
    samples = [
        Sample(sample_id, image, class_name(row.label), split or DataSplit.TRAIN, fold)
        for sample_id, image, row, split, fold in zip(ids, images, table.rows, splits, folds, strict=True)
    ]
    return Collection(samples, f"manifest {path}")


def _read_table(path: Path) -> _Table:
    text = _read_text(path)
    header, delimiter = _read_header(path, text)
    places = _find_columns(header)
    if missing := [kind for kind in _REQUIRED if kind not in places]:
        raise _missing_columns_error(path, header, missing)
    rows = list(_read_rows(path, text, delimiter, places, len(header)))
    if not rows:
        msg = f"Manifest {path} has no row below its header: there are no images for a task."
        raise TaskDataError(msg)
    return _Table(path, frozenset(places), rows)


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        msg = f"Manifest {path} can't be read: {error.strerror}."
        raise TaskDataError(msg) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        msg = f"Manifest {path}, line {line}, is not UTF-8 text. Save it as 'CSV UTF-8'."
        raise TaskDataError(msg) from error


def _read_header(path: Path, text: str) -> tuple[list[str], str]:
    """Return the column names and the delimiter: the one that makes most of the known columns."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        msg = f"Manifest {path} is empty."
        raise TaskDataError(msg)
    headers = {delimiter: _cells(first, delimiter) for delimiter in _DELIMITERS}
    best = max(headers, key=lambda delimiter: (len(_find_columns(headers[delimiter])), len(headers[delimiter])))
    return headers[best], best


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))]
    except csv.Error:
        return [line]


def _find_columns(header: list[str]) -> dict[str, int]:
    names = [name.lower().replace(" ", "_") for name in header]
    found = {}
    for kind, known in COLUMNS.items():
        if name := next((name for name in known if name in names), None):
            found[kind] = names.index(name)
    return found


def _missing_columns_error(path: Path, header: list[str], missing: list[str]) -> TaskDataError:
    known = [name for kind in missing for name in COLUMNS[kind]]
    near = " ".join(did_you_mean(name, known) for name in header if "mean" in did_you_mean(name, known))
    choices = "; ".join(f"'{kind}' (or {', '.join(COLUMNS[kind][1:])})" for kind in missing)
    found = list_text((repr(name[:_LONGEST_SHOWN]) for name in header), _MOST_FAULTS)
    msg = f"Manifest {path} has the columns {found}, and lacks {choices}. {near}".strip()
    return TaskDataError(msg)


def _read_rows(path: Path, text: str, delimiter: str, places: Mapping[str, int], width: int) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    end = 0
    header = True
    try:
        for cells in reader:
            line, end = end + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if header:
                header = False
                continue
            if len(cells) != width:
                msg = f"Manifest {path}, line {line}, has {count_text(len(cells), 'cell')}; the header has {width}."
                raise TaskDataError(msg)
            yield _Row(line, *(cells[places[kind]].strip() if kind in places else "" for kind in COLUMNS))
    except csv.Error as error:
        msg = f"Manifest {path}, line {reader.line_num}, is no CSV: {error}."
        raise TaskDataError(msg) from error


def _image_path(folder: Path, text: str) -> Path:
    path = folder / text
    if "\\" in text and not path.exists():
        return folder / text.replace("\\", "/")
    return path


def _leads_out(text: str) -> bool:
    """Tell whether a relative path leaves the folder that it starts in: a manifest of others shall not reach for it."""
    return os.path.normpath(text.replace("\\", "/")).split("/", 1)[0] == ".."


def _split_of(row: _Row) -> DataSplit | None:
    """Return the split that a row names; None where it names none that is known."""
    return SPLIT_NAMES.get(row.split.lower())


def _cell_fault(table: _Table, splits: list[DataSplit | None]) -> None:
    _refuse(table, lambda row, _: not row.image, splits, "no image")
    what = "an image outside of the manifest's folder, which only an absolute path may name"
    _refuse(table, lambda row, _: _leads_out(row.image), splits, what, lambda row: row.image)
    _refuse(table, lambda row, split: not row.label and split is not DataSplit.UNLABELED, splits, "no label")


def _split_fault(table: _Table, splits: list[DataSplit | None]) -> None:
    if "split" in table.columns:
        what = f"a split other than {', '.join(SPLIT_NAMES)}"
        _refuse(table, lambda _, split: split is None, splits, what, lambda row: repr(row.split))


def _fold_fault(table: _Table, splits: list[DataSplit | None]) -> None:
    if "fold" not in table.columns:
        return

    def wrong(row: _Row, split: DataSplit | None) -> bool:
        return _is_trained(split) and not (row.fold.isascii() and row.fold.isdigit())

    _refuse(table, wrong, splits, "no whole number as fold", lambda row: repr(row.fold))


def _refuse(
    table: _Table,
    wrong: Callable[[_Row, DataSplit | None], bool],
    splits: list[DataSplit | None],
    what: str,
    show: Callable[[_Row], str] | None = None,
) -> None:
    """Raise an error that names the lines of all wrong rows, if there are any."""
    rows = [row for row, split in zip(table.rows, splits, strict=True) if wrong(row, split)]
    if rows:
        lines = list_text((f"line {row.line}" + (f": {show(row)}" if show else "") for row in rows), _MOST_FAULTS)
        msg = f"Manifest {table.path} has {count_text(len(rows), 'row')} with {what} ({lines})."
        raise TaskDataError(msg)


def _check_files(table: _Table, images: list[Path]) -> None:
    """Refuse files that are missing, and files that are listed twice."""
    lines: dict[Path, list[int]] = {}
    for row, image in zip(table.rows, images, strict=True):
        lines.setdefault(image.absolute(), []).append(row.line)
    if missing := [image for image in lines if not image.is_file()]:
        names = list_text((f"line {lines[image][0]}: {image}" for image in missing), _MOST_FAULTS)
        msg = f"Manifest {table.path} lists {count_text(len(missing), 'image')} that are not there ({names})."
        raise TaskDataError(msg)
    if twice := {image: numbers for image, numbers in lines.items() if len(numbers) > 1}:
        raise _repeated_error(table, {str(image): numbers for image, numbers in twice.items()}, "image")


def _ids(table: _Table) -> list[str]:
    if "id" not in table.columns:
        paths = [row.image.replace("\\", "/") for row in table.rows]
        return safe_names([path.rpartition(".")[0] or path for path in paths], paths)
    if empty := [row.line for row in table.rows if not row.id]:
        lines = list_text(empty, _MOST_FAULTS)
        msg = f"Manifest {table.path} has {count_text(len(empty), 'row')} without id (lines {lines})."
        raise TaskDataError(msg)
    lines_of: dict[str, list[int]] = {}
    for row in table.rows:
        lines_of.setdefault(row.id, []).append(row.line)
    if twice := {name: numbers for name, numbers in lines_of.items() if len(numbers) > 1}:
        raise _repeated_error(table, twice, "id")
    return [row.id for row in table.rows]


def _repeated_error(table: _Table, lines: Mapping[str, list[int]], noun: str) -> TaskDataError:
    where = list_text((f"{name}: lines {list_text(numbers, 3)}" for name, numbers in lines.items()), _MOST_FAULTS)
    msg = f"Manifest {table.path} lists {count_text(len(lines), noun)} more than once ({where}). Keep one row of each."
    return TaskDataError(msg)


def _folds(table: _Table, splits: list[DataSplit | None]) -> list[int | None]:
    """Return the folds, numbered from 0 without gaps; None for samples that belong to no fold."""
    if "fold" not in table.columns:
        return [None] * len(table.rows)
    given = [int(row.fold) if _is_trained(split) else None for row, split in zip(table.rows, splits, strict=True)]
    order = {fold: number for number, fold in enumerate(sorted({fold for fold in given if fold is not None}))}
    return [None if fold is None else order[fold] for fold in given]


def _is_trained(split: DataSplit | None) -> bool:
    return split not in (DataSplit.TEST, DataSplit.UNLABELED)
