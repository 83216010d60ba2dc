"""Removal of holdings: each kind in its own way, never what is in use, and never a file that is not mml's."""

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mml.core.data_loading.cleanup import remove, remove_with_claim
from mml.core.scripts.exceptions import RunLockedError
from mml.core.scripts.holdings import CACHE, CREATIONS, RUN_KINDS, Holding
from mml.core.scripts.run_files import LOCK_FILE
from mml.core.scripts.run_removal import refuse_foreign, remove_run
from mml.core.scripts.utils import unfinished_writes


def remove_holding(holding: Holding, root: Path, *, keep_claim: bool = False) -> None:
    """Remove a holding, and the folders that this leaves empty.

    Args:
        holding: what to remove.
        root: the folder that stays, however empty.
        keep_claim: whether the number of a file stays taken, because something still refers to it.

    Raises:
        MMLError: it is in use, or holds files that are not mml's; the text says so, and it stays.
        OSError: the system refuses.
    """
    if holding.kind in RUN_KINDS.values():
        remove_run(holding.path)
    elif holding.kind == CREATIONS:
        _remove_creation(holding.path)
    elif holding.kind == CACHE:
        _remove_cache(holding.path)
    elif keep_claim:
        remove(holding.path)
    else:
        remove_with_claim(holding.path)
    _remove_empty(holding.path.parent, root)


def _remove_creation(folder: Path) -> None:
    from mml.core.data_preparation.publish import Workbench  # loads NumPy

    tasks = folder.parents[2]
    bench = Workbench(tasks, folder.parent.name)
    with bench.locked():
        bench.discard(folder.name)
        remove(bench.folder / LOCK_FILE)
    with suppress(OSError):
        bench.folder.rmdir()


def _remove_cache(folder: Path) -> None:
    from mml.core.data_loading.image_cache import BEING_BUILT, IMAGES_FILE, LOCK_FILE, RECORD_FILE  # loads NumPy

    lock_file = folder / LOCK_FILE
    ours = {folder / name for name in (IMAGES_FILE, RECORD_FILE, LOCK_FILE)}
    ours.update(folder.glob(f"{BEING_BUILT}*"), unfinished_writes(folder / RECORD_FILE))
    refuse_foreign(f"Cache {folder}", folder, ours)
    lock = FileLock(lock_file, blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        msg = f"Cache {folder} stays: a run is building it."
        raise RunLockedError(msg) from error
    try:
        for path in ours:
            remove(path)
    finally:
        lock.release()
    folder.rmdir()


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder and those above it, below `root`, as far as they are empty."""
    while folder != root and folder.is_relative_to(root):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
