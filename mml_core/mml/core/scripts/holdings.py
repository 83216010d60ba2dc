"""Holdings: all that a project and the data folder hold and that can be removed, by kind. Looking changes nothing."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from mml.core.data_loading.cleanup import find_kind_files, find_leftovers
from mml.core.data_loading.file_manager import TEMP_FOLDER
from mml.core.data_loading.path_templates import PathTemplate
from mml.core.scripts.run_lock import is_held
from mml.core.scripts.runs import CONTINUABLE, DAMAGED, FINISHED, RUNNING, RunInfo, read_run, run_folders

RUN_KINDS = {state: f"runs_{state}" for state in (FINISHED, *CONTINUABLE, DAMAGED)}
CREATIONS, CACHE = "creations", "cache"
TEMP = "temp"
# Where tasks are made and images are decoded to. The modules that do so load NumPy, which a mere look does without.
CREATING_FOLDER, CACHE_FOLDER = ".creating", "cache"
# How the folders are named: <task>-<digest> for decoded images, <run>-<8 digits> for the task creation of a run.
_CACHE = re.compile(r"(?P<task>.+)-[0-9a-f]{12}")
_CREATION = re.compile(r"(?P<run>.+)-[0-9a-f]{8}")


class Holding(NamedTuple):
    """Something that can be removed.

    Attributes:
        kind: key of a path template, or one of the kinds above.
        path: a file or a folder; for a reserved number, the file that was never written.
        tasks: names of the tasks that it belongs to.
        owner: name of the run that it belongs to, None when no run is known.
        leftover: whether a killed run left it: a reserved number, or an unfinished write.
    """

    kind: str
    path: Path
    tasks: tuple[str, ...] = ()
    owner: str | None = None
    leftover: bool = False


class Measured(NamedTuple):
    """How much there is of something."""

    files: int
    size: int


def all_kinds(templates: Iterable[str]) -> list[str]:
    """Return the names of all kinds, in the order in which they are shown."""
    return [*templates, *RUN_KINDS.values(), CREATIONS, CACHE]


def project_holdings(
    templates: Mapping[str, PathTemplate], proj_path: Path, runs: Iterable[RunInfo]
) -> Iterator[Holding]:
    """Yield what a project holds, but for what belongs to its running runs.

    Args:
        templates: all path templates by key.
        proj_path: the project's folder.
        runs: all runs of the project.
    """
    idle = [run for run in runs if run.state != RUNNING and not run.path.is_symlink()]
    running = {run.name for run in runs if run.state == RUNNING}
    whole = ((found, False) for found in find_kind_files(templates.values(), proj_path))
    leftovers = ((found, True) for found in find_leftovers(templates.values(), proj_path))
    for found, leftover in chain(whole, leftovers):
        if found.owner not in running:
            yield Holding(found.key, found.path, (found.task,) if found.task else (), found.owner, leftover)
    for run in idle:
        yield from _temporary(templates.values(), run.path / TEMP_FOLDER, run)
        yield Holding(RUN_KINDS[run.state], run.path, run.tasks, run.name)
    yield from _temporary(templates.values(), proj_path / TEMP_FOLDER, None)


def creation_holdings(tasks_folder: Path) -> Iterator[Holding]:
    """Yield what task creations left that no living process works on.

    Args:
        tasks_folder: the folder of all tasks.
    """
    idle = (folder for folder in _real_folders(tasks_folder / CREATING_FOLDER) if not is_held(folder))
    for made in (made for folder in idle for made in _real_folders(folder)):
        if match := _CREATION.fullmatch(made.name):
            yield Holding(CREATIONS, made, (made.parent.name,), match["run"])


def cache_holdings(data_path: Path) -> Iterator[Holding]:
    """Yield the folders of decoded images, which are made anew when a training needs them."""
    for folder in _real_folders(data_path / CACHE_FOLDER):
        if match := _CACHE.fullmatch(folder.name):
            yield Holding(CACHE, folder, (match["task"],))


def running_tasks(results_root: Path) -> set[str]:
    """Return the names of all tasks that running runs of any project work on."""
    folders = (folder for project in _real_folders(results_root) for folder in run_folders(project))
    return {task for folder in folders if is_held(folder) for task in read_run(folder).tasks}


def measure(path: Path) -> Measured:
    """Count files and bytes below a path, links unfollowed; nothing when it is not there."""
    if path.is_symlink() or path.is_file():
        return Measured(1, path.lstat().st_size)
    files = size = 0
    for root, _, names in os.walk(path):
        files += len(names)
        size += sum((Path(root) / name).lstat().st_size for name in names)
    return Measured(files, size)


def _temporary(templates: Iterable[PathTemplate], folder: Path, run: RunInfo | None) -> Iterator[Holding]:
    """Yield the files of a temporary folder; what no other template describes is plainly `temp`."""
    patterns = [(t.key, t.pattern()) for t in templates if t.temporary and t.key != TEMP]
    owner, tasks = (run.name, run.tasks) if run else (None, ())
    for root, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(root) / name
            relative = path.relative_to(folder).as_posix()
            key = next((key for key, pattern in patterns if pattern.fullmatch(relative)), TEMP)
            yield Holding(key, path, tasks, owner)


def _real_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, links left out."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
