"""What differs when a run begins: from its own record if it goes on, and from the runs whose files it reuses.

The work is bounded: a project may have thousands of runs, and a run that begins should not wait for them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from omegaconf import OmegaConf

from mml.core.data_loading.claims import claim_owner
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.drift import Drift, config_rows, data_drift, show_drift, version_drift
from mml.core.scripts.drift_config import RECORD_KEYS, concerning, differences
from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.journal import JOURNAL_FILE, Opened, Planned, RunRecord, decode_line
from mml.core.scripts.redaction import URLS
from mml.core.scripts.run_folder import RUNS_FOLDER, plain_config, read_stored
from mml.core.scripts.run_steps import Scheduler
from mml.core.scripts.runs import run_folders

# Keys that say which run this is, not how something is made.
_OF_THE_RUN = ("mode", "task", "task_list", "tasks", "pivot", "reuse", "hpo", "search_space", "seed")
# Of each kind and project, newest first: whose claims are looked at, and of whose runs the config is compared.
_MOST_FILES = 100
_MOST_RUNS = 5
# Where a file has no claim (it was copied without), the newest journals are searched for its name.
_MOST_JOURNALS = 20
_MOST_BYTES = 16_000_000


def data_digests(scheduler: Scheduler) -> dict[str, str]:
    """Return task -> digest of its description, for all tasks of a run; of tasks that it makes itself there is none."""
    index = scheduler.fm.task_index
    return {name: index.digest(name) for name in scheduler.task_list} if scheduler.needs_tasks else {}


def tell_drift(scheduler: Scheduler, folder: Path, record: RunRecord, now: Opened) -> None:
    """Print what differs between the record of a run and what it goes on with; nothing when it is new, or all is equal.

    Args:
        scheduler: of the run that goes on.
        folder: of the run that was recorded.
        record: of that run, as it was.
        now: what this process is.
    """
    if not record.openings:
        return
    rows = [
        *config_rows(_changes(folder, plain_config(scheduler.cfg))),
        *version_drift(record.openings, now),
        *data_drift(record.data, data_digests(scheduler) if record.data else {}),
    ]
    show_drift(f"Changed since run {folder.name} was started:", rows)


def tell_reused(scheduler: Scheduler, planned: Planned, now: Opened, commands: Iterable[str]) -> None:
    """Print how the runs whose files are reused differ from this one, as far as it matters; nothing when they don't.

    Args:
        scheduler: of the run that begins.
        planned: with the files that `reuse` found.
        now: what this process is.
        commands: of all steps.
    """
    found = reused_files(planned)
    if not found:
        return
    config = plain_config(scheduler.cfg)
    keys = _keys_that_matter(scheduler, commands)
    alike: dict[tuple[Drift, ...], list[str]] = {}
    for folder in makers(scheduler.fm, found):
        rows = _maker_drift(folder, config, keys, now)
        alike.setdefault(tuple(rows), []).append(f"{folder.parent.parent.name}/{folder.name}")
    for differing, names in alike.items():
        runs, were = ("run", "was") if len(names) == 1 else ("runs", "were")
        title = f"Changed since {runs} {', '.join(sorted(names))}, which made what is reused, {were} started:"
        show_drift(title, differing)


def reused_files(planned: Planned) -> list[str]:
    """Return the files, as portable paths, that `reuse` found."""
    found = list(planned.reused.values())
    for change in planned.tasks.values():
        plain = msgspec.to_builtins(change)
        found += plain.get("paths", {}).values()
        found += [model.get("storage") or model["parameters"] for model in plain.get("models", ())]
    return list(dict.fromkeys(found))


def makers(fm: MMLFileManager, texts: Sequence[str]) -> list[Path]:
    """Return the folders of the runs that made files, those of the newest first; of many files only some are asked.

    Args:
        fm: knows where results lie.
        texts: files, as portable paths.
    """
    asked: dict[Path, list[Path]] = {}
    for path in (fm.roots.to_path(text) for text in texts):
        if path.is_relative_to(fm.results_root):
            asked.setdefault(path.parent, []).append(path)
    found: dict[Path, None] = {}
    journals = cache(_newest_journals)
    for paths in asked.values():
        for path in sorted(paths, key=lambda path: (len(path.name), path.name), reverse=True)[:_MOST_FILES]:
            if (folder := _maker(fm, path, journals)) is not None:
                found[folder] = None
            if len(found) == _MOST_RUNS:
                return list(found)
    return list(found)


def _maker(fm: MMLFileManager, path: Path, journals: Callable[[Path], dict[Path, bytes]]) -> Path | None:
    """Return the folder of the run that made a file, None when nobody knows."""
    project = fm.results_root / path.relative_to(fm.results_root).parts[0]
    owner = claim_owner(path)
    if owner is not None:
        folder = project / RUNS_FOLDER / owner
        return folder if folder.is_dir() else None
    wanted = fm.roots.to_text(path).encode()
    return next((folder for folder, journal in journals(project).items() if wanted in journal), None)


def _newest_journals(project: Path) -> dict[Path, bytes]:
    """Return folder -> journal of the newest runs of a project, the newest first."""
    return {folder: _journal_bytes(folder) for folder in reversed(run_folders(project)[-_MOST_JOURNALS:])}


def _journal_bytes(folder: Path) -> bytes:
    try:
        with (folder / JOURNAL_FILE).open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return b""


def _keys_that_matter(scheduler: Scheduler, commands: Iterable[str]) -> list[str] | None:
    """Return the keys that the steps of a plan depend on, None for all."""
    wanted: list[str] = []
    for command in dict.fromkeys(commands):
        keys = scheduler.step_config(command)
        if keys is None:
            return None
        wanted += [key for key in keys if key not in wanted]
    return wanted


def _maker_drift(folder: Path, config: Mapping[str, Any], keys: list[str] | None, now: Opened) -> list[Drift]:
    changes = concerning(_changes(folder, config), keys)
    rows = config_rows(change for change in changes if change.key.partition(".")[0] not in _OF_THE_RUN)
    opened = _first_opening(folder)
    return rows if opened is None else [*rows, *version_drift([opened], now)]


def _changes(folder: Path, config: Mapping[str, Any]) -> list[Any]:
    """Return how a config differs from that of a run; nothing when that can't be read any more."""
    try:
        stored: Any = OmegaConf.to_container(read_stored(folder))
    except MMLError:
        return []
    hidden = (*RECORD_KEYS, URLS)
    return [change for change in differences(stored, config) if change.key not in hidden]


def _first_opening(folder: Path) -> Opened | None:
    """Return the first event of a journal, without reading the rest of it."""
    try:
        with (folder / JOURNAL_FILE).open("rb") as file:
            event = decode_line(file.readline().rstrip(b"\n"))
    except (OSError, ValueError):
        return None
    return event if isinstance(event, Opened) else None
