"""Removal of a run folder: in one instant for all who look, and never one that a process works on.

The folder gets a hidden name first, by one rename; what a kill leaves after that is no run any more, and
`finish_removal` does away with it.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mml.core.data_loading.cleanup import remove
from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.run_files import (
    ATTEMPTS_FOLDER,
    CONFIG_FILE,
    ERRORS_FOLDER,
    JOURNAL_FILE,
    LIVE_FILE,
    LOCK_FILE,
    LOG_FILE,
    OVERRIDES_FILE,
    SLURM_FOLDER,
    WORKERS_FOLDER,
)
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.utils import fsync_folder, unfinished_writes
from mml.report.tables import list_text

TEMP_FOLDER = "temp"
RUN_CONTENTS = (
    TEMP_FOLDER,
    ERRORS_FOLDER,
    "tensorboard",
    ATTEMPTS_FOLDER,
    WORKERS_FOLDER,
    SLURM_FOLDER,
    LIVE_FILE,
    LOG_FILE,
    OVERRIDES_FILE,
    CONFIG_FILE,
    JOURNAL_FILE,
    LOCK_FILE,
)
_GOING = ".going."


def remove_run(folder: Path) -> None:
    """Remove a run folder.

    Raises:
        RunLockedError: a process works on the run.
        MMLError: somebody has put other files into it; nothing was removed.
        OSError: the system refuses.
    """
    refuse_foreign(f"Run {folder.name}", folder, _known(folder))
    # A run that is only a link goes as that.
    if folder.is_symlink():
        folder.unlink()
        return
    with RunLock(folder):
        going = folder.with_name(f"{_GOING}{os.getpid()}.{folder.name}")
        folder.rename(going)
        fsync_folder(folder.parent)
        _clear(going)
    going.rmdir()


def going_folders(runs_folder: Path) -> list[Path]:
    """Return what removals left that were killed in the midst."""
    try:
        return sorted(path for path in runs_folder.iterdir() if path.name.startswith(_GOING) and path.is_dir())
    except OSError:
        return []


def finish_removal(going: Path) -> None:
    """Remove what a removal left that was killed in the midst.

    Raises:
        RunLockedError: it still goes on.
        OSError: the system refuses.
    """
    with RunLock(going):
        _clear(going)
    going.rmdir()


def leftovers(folder: Path) -> list[Path]:
    """Return what unfinished writes left beside the records of a run."""
    return sorted({left for name in RUN_CONTENTS for left in unfinished_writes(folder / name)})


def refuse_foreign(what: str, folder: Path, known: Iterable[Path]) -> None:
    """Keep a folder that somebody has put files into.

    Raises:
        MMLError: there are others than those known; names them.
    """
    if foreign := sorted(path.name for path in set(folder.iterdir()).difference(known)):
        msg = f"{what} stays: not mml's are {list_text(foreign)}. Move them out of {folder} first."
        raise MMLError(msg)


def _known(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in RUN_CONTENTS)
    yield from leftovers(folder)


def _clear(folder: Path) -> None:
    for path in (*leftovers(folder), *(folder / name for name in RUN_CONTENTS)):
        remove(path)
