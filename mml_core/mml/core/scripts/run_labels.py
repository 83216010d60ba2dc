"""Labels of runs: what people call them, kept in one file per project so that a run folder stays as its run left it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.run_files import RUNS_FOLDER

LABELS_FILE = "labels.json"
_LOCK_FILE = ".labels.lock"
_PATIENCE = 10.0  # seconds; whoever holds the lock writes one small file


def read_labels(proj_path: Path) -> dict[str, str]:
    """Return the labels of a project by run; none where nobody gave one or the file can't be understood."""
    try:
        return _decode((proj_path / RUNS_FOLDER / LABELS_FILE).read_bytes())
    except (OSError, ValueError):
        return {}


def set_label(proj_path: Path, run: str, label: str | None) -> None:
    """Give a run a label in place of the one it may have, or take it away.

    Args:
        proj_path: the project's folder.
        run: name of the run.
        label: None for no label.

    Raises:
        MMLError: the labels can't be read or written.
    """
    with _changing(proj_path) as labels:
        labels.pop(run, None)
        if label is not None:
            labels[run] = label


def forget_labels(proj_path: Path, runs: set[str]) -> None:
    """Take the labels of runs away that are no more.

    Raises:
        MMLError: the labels can't be read or written.
    """
    if runs.isdisjoint(read_labels(proj_path)):
        return
    with _changing(proj_path) as labels:
        for run in runs:
            labels.pop(run, None)


@contextmanager
def _changing(proj_path: Path) -> Iterator[dict[str, str]]:
    """Yield the labels to change, while no other process changes them."""
    from filelock import FileLock, Timeout

    from mml.core.scripts.utils import atomic_write

    path = proj_path / RUNS_FOLDER / LABELS_FILE
    try:
        with FileLock(path.with_name(_LOCK_FILE), timeout=_PATIENCE):
            labels = _decode(path.read_bytes()) if path.exists() else {}
            yield labels
            with atomic_write(path) as file:
                file.write(msgspec.json.format(msgspec.json.encode(labels), indent=2) + b"\n")
    except ValueError as error:
        msg = f"{path} can't be understood: {error}. Mend or remove the file."
        raise MMLError(msg) from error
    except Timeout as error:
        msg = f"Another process changes {path} and does not end."
        raise MMLError(msg) from error
    except OSError as error:
        msg = f"{path} can't be changed: {error.strerror}."
        raise MMLError(msg) from error


_decode = msgspec.json.Decoder(dict[str, str]).decode
