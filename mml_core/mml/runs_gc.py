"""`mml runs gc`: removes what killed runs left and nothing needs; shows it and asks before."""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mml.core.data_loading.claims import release
from mml.core.data_loading.cleanup import remove
from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.run_files import CONFIG_FILE, JOURNAL_FILE, LIVE_FILE, RUNS_FOLDER
from mml.core.scripts.run_index import INDEX_FILE
from mml.core.scripts.run_labels import forget_labels, read_labels
from mml.core.scripts.run_removal import TEMP_FOLDER, finish_removal, going_folders, leftovers, remove_run
from mml.core.scripts.run_results import References, stale_claims
from mml.core.scripts.runs import CONTINUABLE, DAMAGED, FINISHED, RUNNING, RunInfo, is_running, run_info
from mml.report.tables import Column, as_table, count_text, show, size_text
from mml.runs_choice import find_runs
from mml.runs_list import folder_size
from mml.runs_rm import agreed
from mml.runs_words import results_root

TEMPORARY, LIVE, WRITES, EMPTY, GOING, CLAIMS, LABELS, INDEX = (
    "temporary files of finished runs",
    "live states of runs that ended",
    "unfinished writes",
    "runs killed before they began",
    "runs half removed",
    "numbers reserved for nothing",
    "labels of runs that are gone",
    "unfinished writes of the index",
)
# A folder without a config may be that of a run which is about to write it; an index, one being written.
_OLD_SECONDS = 600


class Waste(NamedTuple):
    """Something that nothing needs.

    Attributes:
        kind: what it is.
        path: where it lies.
        size: bytes.
        remove: does away with it.
    """

    kind: str
    path: Path
    size: int
    remove: Callable[[], object]


def gc_command(given: argparse.Namespace) -> int:
    """Remove what nothing needs, and return the exit code.

    Raises:
        MMLMisconfigurationException: nobody is there to be asked.
        MMLError: something could not be removed.
    """
    root = results_root(given.out_dir)
    found = list(find_waste(root, given.project))
    if not found:
        show(f"There is nothing to collect in {root}.")
        return 0
    kinds = [[waste for waste in found if waste.kind == kind] for kind in dict.fromkeys(waste.kind for waste in found)]
    show(as_table(f"Needed by nothing in {root}", _COLUMNS, kinds))
    if given.dry_run:
        for waste in found:
            show(str(waste.path))
        show("Nothing was removed (--dry-run).")
        return 0
    if not agreed(f"Remove {_amount(found)}? [y/N] ", yes=given.yes):
        show("Nothing was removed.")
        return 0
    if faults := [fault for waste in found if (fault := _fault_of(waste))]:
        msg = f"{count_text(len(faults), 'thing')} could not be removed:\n" + "\n".join(faults)
        raise MMLError(msg)
    show(f"Removed {_amount(found)}.")
    return 0


def find_waste(root: Path, project: str | None = None) -> Iterator[Waste]:
    """Yield what nothing needs, of all projects or of one.

    Raises:
        MMLError: a folder can't be read.
    """
    now = time.time()
    infos = [run_info(run, root) for run in find_runs(root, project)]
    for info in infos:
        if info.state != RUNNING:
            yield from _in_run(info, now)
    references = References(root)
    for name in sorted({info.project for info in infos}):
        runs = [info for info in infos if info.project == name]
        yield from _in_project(root, name, runs, references)
    if project is None:
        for path in root.glob(f"{INDEX_FILE}.*.tmp"):
            if now - path.lstat().st_mtime > _OLD_SECONDS:
                yield _thing(INDEX, path)


def _in_run(info: RunInfo, now: float) -> Iterator[Waste]:
    if info.state == DAMAGED and _is_empty(info.path):
        if info.changed and now - info.changed.timestamp() > _OLD_SECONDS:
            yield Waste(EMPTY, info.path, folder_size(info.path), partial(remove_run, info.path))
        return
    if info.state == FINISHED and (info.path / TEMP_FOLDER).exists():
        yield _thing(TEMPORARY, info.path / TEMP_FOLDER, info.path)
    # That of a crashed run tells where it was.
    if info.state not in CONTINUABLE and (info.path / LIVE_FILE).exists():
        yield _thing(LIVE, info.path / LIVE_FILE, info.path)
    yield from (_thing(WRITES, path, info.path) for path in leftovers(info.path))


def _in_project(root: Path, project: str, runs: Sequence[RunInfo], references: References) -> Iterator[Waste]:
    proj_path = root / project
    for path in going_folders(proj_path / RUNS_FOLDER):
        if not is_running(path):
            yield Waste(GOING, path, folder_size(path), partial(finish_removal, path))
    open_runs = {info.name for info in runs if info.state in (RUNNING, DAMAGED, *CONTINUABLE)}
    for path in stale_claims(root, project, open_runs, references):
        yield Waste(CLAIMS, path, 0, partial(release, path))
    if gone := set(read_labels(proj_path)) - {info.name for info in runs}:
        for name in sorted(gone):
            path = proj_path / RUNS_FOLDER / name
            yield Waste(LABELS, path, 0, partial(forget_labels, proj_path, {name}))


def _thing(kind: str, path: Path, run: Path | None = None) -> Waste:
    """Return a file or folder to be removed, unless its run is continued meanwhile."""
    size = folder_size(path) if path.is_dir() else path.lstat().st_size

    def remove_it() -> None:
        if run is None or not is_running(run):
            remove(path)

    return Waste(kind, path, size, remove_it)


def _is_empty(folder: Path) -> bool:
    """Tell whether a run folder holds neither config nor record: an empty journal is none."""
    journal = folder / JOURNAL_FILE
    return not (folder / CONFIG_FILE).exists() and (not journal.exists() or journal.stat().st_size == 0)


def _fault_of(waste: Waste) -> str:
    """Remove something; return what went wrong, "" if nothing did."""
    try:
        waste.remove()
    except MMLError as error:
        return str(error)
    except OSError as error:
        return f"{waste.path}: {error.strerror}."
    return ""


def _amount(found: Sequence[Waste]) -> str:
    return f"{count_text(len(found), 'thing')}, {size_text(sum(waste.size for waste in found))}"


_COLUMNS = [
    Column("what", lambda found: found[0].kind),
    Column("number", lambda found: f"{len(found):,}", number=True),
    Column("size", lambda found: size_text(sum(waste.size for waste in found)), number=True),
]
