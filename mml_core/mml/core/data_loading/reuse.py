"""Reuse: finding files of other projects for `reuse.<key>=<project>`, `[<project>, ...]` or `<project>#<number>`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mml.core.data_loading.path_templates import GLOBAL_REUSABLE, PathTemplate, number_path, numbers_taken
from mml.core.scripts.exceptions import ReuseError, UnknownNameError
from mml.core.scripts.utils import as_list, did_you_mean

CLEAN_UP = "clean_up"


class ReuseSource(NamedTuple):
    """Where to look for files of one kind.

    Attributes:
        project: name of a project below the results root.
        number: of the file, None for the newest.
    """

    project: str
    number: int | None = None

    def __str__(self) -> str:
        return self.project if self.number is None else f"{self.project}#{self.number}"


def parse_source(text: Any, key: str) -> ReuseSource:
    """Read `<project>` or `<project>#<number>`.

    Raises:
        ReuseError: it is neither.
    """
    match = re.fullmatch(r"(?P<project>[^#/\\]+)(?:#(?P<number>\d+))?", str(text))
    if match is None or match["project"] in (".", ".."):
        msg = f"reuse.{key}={text} is refused. Give a project, <project>#<number>, or a list of them."
        raise ReuseError(msg)
    return ReuseSource(match["project"], int(match["number"]) if match["number"] else None)


def parse_reuse(config: Mapping[str, Any], templates: Mapping[str, PathTemplate]) -> dict[str, list[ReuseSource]]:
    """Read the reuse part of a config; keys without a value are left out.

    Raises:
        UnknownNameError: a key that no template has.
        ReuseError: a key whose files can't be reused, or a value that names no project.
    """
    asked = {key: as_list(value) for key, value in config.items() if key != CLEAN_UP and value is not False}
    wanted = {key: texts for key, texts in asked.items() if texts}
    reusable = [key for key, template in templates.items() if template.reusable]
    for key in wanted:
        if key not in templates:
            raise UnknownNameError(key, kind="reuse key", known=reusable)
        if not templates[key].reusable:
            msg = f"Files of key '{key}' can't be reused. {did_you_mean(key, reusable)}"
            raise ReuseError(msg)
    return {key: [parse_source(text, key) for text in texts] for key, texts in wanted.items()}


def check_projects(sources: Mapping[str, list[ReuseSource]], results_root: Path) -> None:
    """Make sure that every project exists.

    Raises:
        UnknownNameError: one does not; names the nearest ones.
    """
    for key, listed in sources.items():
        for source in listed:
            if not (results_root / source.project).is_dir():
                kind, fix = f"project in reuse.{key}", f"Results: {results_root}."
                raise UnknownNameError(source.project, kind=kind, known=_projects(results_root), fix=fix)


def find_files(template: PathTemplate, source: ReuseSource, results_root: Path, task: str | None) -> list[Path]:
    """Return the files of a kind in a project, oldest first; with a number, only that one."""
    path = template.fill(results_root / source.project, task, None)
    if not template.numbered:
        return [path] if source.number is None and path.exists() else []
    numbers = [source.number] if source.number is not None else sorted(numbers_taken(path, _names(path.parent)))
    return [numbered for number in numbers if (numbered := number_path(path, number)).exists()]


def find_by_project(
    template: PathTemplate, sources: list[ReuseSource], results_root: Path, task: str | None = None
) -> list[list[Path]]:
    """Return the files of each project that has some, in the order of the projects, oldest first in each."""
    found = (find_files(template, source, results_root, task) for source in sources)
    return [files for files in found if files]


def find_global(
    requests: Mapping[str, list[ReuseSource]], templates: Mapping[str, PathTemplate], results_root: Path
) -> dict[str, Path]:
    """Return key -> file, for the requests of kinds of which a project has one file.

    Raises:
        ReuseError: a request finds nothing.
    """
    found = {}
    for key, sources in requests.items():
        if not is_global(templates[key]):
            continue
        files = find_by_project(templates[key], sources, results_root)
        if not files:
            raise missing_error(key, sources, None)
        found[key] = files[0][-1]
    return found


def missing_error(key: str, sources: list[ReuseSource], task: str | None) -> ReuseError:
    """Return the error for a request that finds nothing at all."""
    listed = ", ".join(str(source) for source in sources)
    what = f"for task '{task}'" if task else "of the project"
    return ReuseError(
        f"reuse.{key}={listed}: there is no file of kind '{key}' {what}. Create it there first, name another project "
        f"(a list is searched in order), or set reuse.{key}=null."
    )


def is_global(template: PathTemplate) -> bool:
    """Tell whether a project has one file of this kind for all tasks."""
    return template.reusable == GLOBAL_REUSABLE


def _projects(results_root: Path) -> list[str]:
    return [path.name for path in results_root.iterdir() if path.is_dir()] if results_root.is_dir() else []


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []
