"""`mml runs rm`: removes runs and, if asked, what they made; shows what goes, asks, and never touches a running one."""

import argparse
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mml.core.data_loading.cleanup import remove_with_claim
from mml.core.scripts.asking import answered_yes, can_answer
from mml.core.scripts.exceptions import MMLError, MMLMisconfigurationException, RunLockedError
from mml.core.scripts.run_files import ATTEMPTS_FOLDER
from mml.core.scripts.run_labels import forget_labels
from mml.core.scripts.run_lock import LOCK_FILE, read_owner
from mml.core.scripts.run_removal import remove_run
from mml.core.scripts.run_results import References, RunResults, results_of, unfinished_of
from mml.core.scripts.runs import CONTINUABLE, DAMAGED, RUNNING, RunInfo, is_running
from mml.report.tables import Column, as_table, count_text, list_text, show, size_text
from mml.runs_choice import choose
from mml.runs_list import folder_size
from mml.runs_styles import STATE_STYLES
from mml.runs_words import results_root

# A run that has no config yet may be about to write it.
_STARTING_SECONDS = 60
_MOST_KEPT = 8


class Removal(NamedTuple):
    """What is to go with a run.

    Attributes:
        info: the run.
        size: bytes of its folder.
        files: what it made, to be removed, too.
        unfinished: what it had begun to make.
        kept: what it made and what stays nevertheless, each with the reason.
    """

    info: RunInfo
    size: int
    files: list[Path]
    unfinished: list[Path]
    kept: list[tuple[Path, str]]


def rm_command(given: argparse.Namespace) -> int:
    """Remove runs, and return the exit code.

    Raises:
        MMLMisconfigurationException: no run is meant, or nobody is there to be asked.
        RunLockedError: one of them is running.
        MMLError: something could not be removed.
    """
    root = results_root(given.out_dir)
    infos = list({info.path: info for info in (choose(word, root, given.project) for word in given.runs)}.values())
    refuse_running(infos)
    removals = plan_removals(infos, root, results=given.results)
    _show_plan(removals, results=given.results)
    if given.dry_run:
        show("Nothing was removed (--dry-run).")
        return 0
    if not agreed(_question(removals), yes=given.yes):
        show("Nothing was removed.")
        return 0
    size = size_text(sum(map(_whole_size, removals)))
    faults = [fault for removal in removals if (fault := _remove(removal, root))]
    if faults:
        msg = f"{count_text(len(faults), 'thing')} could not be removed:\n" + "\n".join(faults)
        raise MMLError(msg)
    show(f"Removed {count_text(len(removals), 'run')}, {size}.")
    return 0


def refuse_running(infos: Iterable[RunInfo]) -> None:
    """Refuse to remove runs that a process works on.

    Raises:
        RunLockedError: names the first, and the process.
    """
    for info in infos:
        if info.state == RUNNING:
            owner = read_owner(info.path / LOCK_FILE)
            msg = f"Run {info.name} is running{f': {owner}' if owner else ''}. Nothing was removed."
            raise RunLockedError(msg)
        starting = info.changed and time.time() - info.changed.timestamp() < _STARTING_SECONDS
        if info.state == DAMAGED and not info.mode and starting and not (info.path / "config.yaml").exists():
            msg = (
                f"Run {info.name} may be about to start: its folder is new. Nothing was removed. Try again in a minute."
            )
            raise RunLockedError(msg)


def plan_removals(infos: Sequence[RunInfo], root: Path, *, results: bool) -> list[Removal]:
    """Return what goes with each run, with its `results` or without."""
    found, none = list[Removal](), RunResults([], [])
    references = References(root, [info.path for info in infos]) if results else None
    for info in infos:
        made = results_of(info.path, root, references) if references else none
        unfinished = [path for path in unfinished_of(info.path, root) if path not in made.free]
        found.append(Removal(info, folder_size(info.path), made.free, unfinished, made.kept))
    return found


def agreed(question: str, *, yes: bool) -> bool:
    """Ask whether something shall be removed, unless that was said before.

    Raises:
        MMLMisconfigurationException: nobody is there to be asked.
    """
    if yes:
        return True
    if not can_answer():
        msg = "Nobody is there to be asked, so nothing was removed. Add --yes to remove without a question."
        raise MMLMisconfigurationException(msg)
    return answered_yes(question)


def _remove(removal: Removal, root: Path) -> str:
    """Remove a run and what goes with it; return what went wrong, "" if nothing did.

    Its files go first: until the last of them is gone, the run is there to be removed again.
    """
    info = removal.info
    try:
        refuse_running([info._replace(state=RUNNING if is_running(info.path) else info.state)])
        _end_elsewhere(info.path)
        for path in (*removal.files, *removal.unfinished):
            remove_with_claim(path)
            _remove_empty(path.parent, root / info.project)
        remove_run(info.path)
        forget_labels(root / info.project, {info.name})
    except MMLError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or info.path}: {error.strerror}."
    return ""


def _end_elsewhere(folder: Path) -> None:
    """End jobs of a run that may still be in a queue.

    Raises:
        MMLError: nobody knows whether they are over.
    """
    if (folder / ATTEMPTS_FOLDER).is_dir():
        from mml.core.scripts.run_leftovers import end_attempts  # for runs that were left to a queue, which are few

        end_attempts(folder)


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder and those above it, below `root`, as far as they are empty."""
    while folder != root and folder.is_relative_to(root):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _whole_size(removal: Removal) -> int:
    return removal.size + sum(map(_size, (*removal.files, *removal.unfinished)))


def _size(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return folder_size(path)
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _question(removals: Sequence[Removal]) -> str:
    files = sum(len(removal.files) for removal in removals)
    size = size_text(sum(map(_whole_size, removals)))
    return f"Remove {count_text(len(removals), 'run')}{f' and {files:,} files' * bool(files)}, {size}? [y/N] "


def _show_plan(removals: Sequence[Removal], *, results: bool) -> None:
    columns = [
        Column("run", lambda removal: f"{removal.info.project}/{removal.info.name}"),
        Column("state", lambda removal: removal.info.state, style=lambda removal: STATE_STYLES[removal.info.state]),
        Column("folder", lambda removal: size_text(removal.size), number=True),
    ]
    if results:
        columns.append(Column("files it made", lambda removal: f"{len(removal.files):,}", number=True))
        columns.append(Column("that stay", lambda removal: f"{len(removal.kept):,}", number=True, spare=1))
    columns.append(Column("unfinished", lambda removal: f"{len(removal.unfinished):,}", number=True, spare=2))
    show(as_table("To be removed", columns, removals))
    kept = [(path, reason) for removal in removals for path, reason in removal.kept]
    for path, reason in kept[:_MOST_KEPT]:
        show(f"Stays: {path}: {reason}.")
    if len(kept) > _MOST_KEPT:
        show(f"... and {len(kept) - _MOST_KEPT:,} more stay.")
    if not results:
        show("The files that these runs made stay; --results removes them, too.")
    if waiting := [removal.info.name for removal in removals if removal.info.state in CONTINUABLE]:
        show(f"Note: not finished, and can't be continued when this is gone: {list_text(waiting)}.")
