"""Which files of a run may go with it: those that it made, that are still its own, and that no other run refers to."""

import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from mml.core.data_loading.claims import CLAIMS_FOLDER, NO_OWNER, claim_owner
from mml.core.scripts.exceptions import JournalError
from mml.core.scripts.journal import JOURNAL_FILE, PathAnnounced, RunRecord, read_events
from mml.core.scripts.portable_paths import DATA_PREFIX
from mml.core.scripts.run_files import RUNS_FOLDER
from mml.core.scripts.run_index import project_names

# Where a record refers to files: what steps changed, what `reuse` found, and return values.
_REFERRING = (b'{"event":"plan",', b'{"event":"done",', b'{"event":"finishing",', b'{"event":"finished",')
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"')


class RunResults(NamedTuple):
    """Files of a run outside of its folder.

    Attributes:
        free: those that may go with it.
        kept: those that stay, each with the reason.
    """

    free: list[Path]
    kept: list[tuple[Path, str]]


class References:
    """What the records of all runs but some refer to.

    Args:
        results_root: folder of all projects.
        without: run folders that are to be removed.
    """

    def __init__(self, results_root: Path, without: Collection[Path] = ()) -> None:
        self._texts: dict[bytes, str] = {}
        self._takers: dict[str, list[RunRecord]] = {}
        for folder in _run_folders(results_root):
            if folder not in without:
                self._read(folder)

    def referrer(self, text: str) -> str | None:
        """Return a run whose record refers to a file, None if there is none."""
        return self._texts.get(msgspec.json.encode(text))

    def taken_steps(self, run: str) -> set[str]:
        """Return the keys of the steps that others took over from a run."""
        records = self._takers.get(run, [])
        return {
            record.plan[step].key
            for record in records
            for step, done in record.done.items()
            if _run_of(done.source) == run and record.plan is not None and step < len(record.plan)
        }

    def _read(self, folder: Path) -> None:
        try:
            data = (folder / JOURNAL_FILE).read_bytes()
        except OSError:
            return
        name = f"{folder.parent.parent.name}/{folder.name}"
        for line in data.split(b"\n"):
            if line.startswith(_REFERRING):
                self._texts.update(dict.fromkeys(_TEXT.findall(line), name))
        if b'"source":"' in data:
            record = _record(folder)
            for source in {done.source for done in record.done.values() if done.source}:
                self._takers.setdefault(_run_of(source), []).append(record)


def _run_of(source: str) -> str:
    """Return the name of a run that may be named with its project; one of that name in another project counts, too."""
    return source.rpartition("/")[2]


def results_of(folder: Path, results_root: Path, references: References) -> RunResults:
    """Return the files that a run announced and that are there, apart from those in its own folder."""
    record, found = _record(folder), RunResults([], [])
    taken = references.taken_steps(folder.name)
    own = f"{folder.parent.parent.name}/{RUNS_FOLDER}/{folder.name}/"
    for event, step_key in _announced(record):
        path = results_root / event.path.removeprefix("./")
        if event.path.startswith((own, DATA_PREFIX, "/")) or not os.path.lexists(path):
            continue
        if reason := _reason_to_keep(event, path, folder, results_root, references):
            found.kept.append((path, reason))
        elif step_key in taken:
            found.kept.append((path, "made by a step that another run took over"))
        else:
            found.free.append(path)
    return found


def unfinished_of(folder: Path, results_root: Path) -> list[Path]:
    """Return the files that a run which did not finish had begun, and the numbers that it reserved for them."""
    paths = (results_root / text.removeprefix("./") for text in _record(folder).unfinished_paths() if _is_result(text))
    return [path for path in paths if claim_owner(path) == folder.name and _is_reached_plainly(path, results_root)]


def stale_claims(results_root: Path, project: str, open_runs: Collection[str], references: References) -> list[Path]:
    """Return the paths that are reserved for nothing: not written, by runs that do not go on, and referred to by none.

    Args:
        results_root: folder of all projects.
        project: name of the project to look at.
        open_runs: names of its runs that are running or can be continued.
        references: of all runs.
    """
    found = []
    for root, folders, _ in os.walk(results_root / project):
        here = Path(root)
        folders[:] = sorted(name for name in folders if name not in (RUNS_FOLDER, CLAIMS_FOLDER))
        for name in _names(here / CLAIMS_FOLDER):
            path, owner = here / name, claim_owner(here / name)
            if os.path.lexists(path) or owner in (None, "", NO_OWNER) or owner in open_runs:
                continue
            if references.referrer(path.relative_to(results_root).as_posix()) is None:
                found.append(path)
    return found


def _reason_to_keep(
    event: PathAnnounced, path: Path, folder: Path, results_root: Path, references: References
) -> str | None:
    if not _is_reached_plainly(path, results_root):
        return "reached through a link"
    if claim_owner(path) != folder.name:
        return "not this run's any more"
    referrer = references.referrer(event.path)
    return f"run {referrer} refers to it" if referrer else None


def _announced(record: RunRecord) -> Iterator[tuple[PathAnnounced, str | None]]:
    """Yield each path once, with the key of the step that announced it."""
    seen = set()
    for maker, events in record.announced.items():
        known = isinstance(maker, int) and record.plan is not None and maker < len(record.plan)
        key = record.plan[maker].key if known and record.plan is not None and isinstance(maker, int) else None
        for event in events:
            if event.path not in seen:
                seen.add(event.path)
                yield event, key


def _is_result(text: str) -> bool:
    return not text.startswith((DATA_PREFIX, "/"))


def _is_reached_plainly(path: Path, results_root: Path) -> bool:
    """Tell whether a path lies below a folder, and no link leads out of it; it may be a link itself."""
    root = results_root.resolve()
    plain = root / path.relative_to(results_root)
    return path.parent.resolve() == plain.parent and plain.parent.is_relative_to(root) and ".." not in path.parts


def _record(folder: Path) -> RunRecord:
    """Return the record of a run, an empty one where it can't be read."""
    try:
        return RunRecord(read_events(folder / JOURNAL_FILE)[0])
    except JournalError:
        return RunRecord([])


def _run_folders(results_root: Path) -> Iterator[Path]:
    for project in project_names(results_root):
        runs = results_root / project / RUNS_FOLDER
        yield from (runs / name for name in _names(runs) if name[0] != ".")


def _names(folder: Path) -> Iterable[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 # names only, a Path per file is slow
    except OSError:
        return []
