"""Which run a word means: a name, a part of one, `latest`, `project/run` or a label; and which runs wait to go on."""

import difflib
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from mml.core.scripts.exceptions import MMLError, MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.run_index import FoundRun, project_names
from mml.core.scripts.run_labels import read_labels
from mml.core.scripts.runs import CONTINUABLE, RunInfo, all_runs, run_info

LATEST = "latest"
DEFAULT_PROJECT = "default"
_MOST_CHOICES = 12

Labels = Mapping[tuple[str, str], str]


def find_runs(results_root: Path, project: str | None = None) -> list[FoundRun]:
    """Return all runs, or those of one project, newest first.

    Raises:
        UnknownNameError: there is no such project.
        MMLError: a folder can't be read.
    """
    try:
        if project is None:
            return all_runs(results_root)
        if project not in (known := project_names(results_root)):
            raise UnknownNameError(project, kind="project", known=known, fix=f"Looked for in {results_root}.")
        return all_runs(results_root, [project])
    except OSError as error:
        msg = f"The runs in {results_root} can't be read: {error.filename}: {error.strerror}."
        raise MMLError(msg) from error


def labels_of(results_root: Path, projects: Collection[str]) -> dict[tuple[str, str], str]:
    """Return the labels of projects by project and run."""
    return {(project, run): label for project in projects for run, label in read_labels(results_root / project).items()}


def choose(word: str, results_root: Path, project: str | None = None) -> RunInfo:
    """Return the run that a word means.

    Raises:
        MMLMisconfigurationException: none, or several; names those near to it, or the choices.
    """
    place, _, name = word.rpartition("/")
    if place and project and place != project:
        msg = f"'{word}' and --project {project} name two projects. Leave one of them out."
        raise MMLMisconfigurationException(msg)
    runs = find_runs(results_root, place or project)
    if not runs:
        msg = f"There is no run yet in {results_root}. `mml train task=<name>` starts one; see `mml --help`."
        raise MMLMisconfigurationException(msg)
    if name == LATEST:
        return run_info(runs[0], results_root)
    found = meant(name, runs, labels_of(results_root, {run.project for run in runs}))
    if len(found) == 1:
        return run_info(found[0], results_root)
    raise _ambiguous(word, found) if found else _unknown(word, name, runs, results_root)


def meant(name: str, runs: Sequence[FoundRun], labels: Labels) -> list[FoundRun]:
    """Return the runs that a name means, by the first of these that any run fulfils: name, label, start, part."""
    lower = name.lower()

    def ways() -> Iterator[list[FoundRun]]:
        yield [run for run in runs if run.name == name]
        yield [run for run in runs if labels.get((run.project, run.name)) == name]
        yield [run for run in runs if run.name.startswith(name)]
        yield [run for run in runs if lower in run.name.lower() or lower in _label(run, labels).lower()]

    return next((found for found in ways() if found), []) if name else []


def continue_command(run: RunInfo, out_dir: str | None = None) -> str:
    """Return the command that continues a run, ready to be pasted into a shell.

    Args:
        run: the run.
        out_dir: the folder of all projects as given on the command line, None when it need not be given.
    """
    words = ["mml", "continue", run.name]
    words += [f"proj={run.project}"] if run.project != DEFAULT_PROJECT else []
    return shlex.join([*words, *([f"out_dir={out_dir}"] if out_dir else [])])


def waiting_runs(results_root: Path, project: str | None = None) -> list[RunInfo]:
    """Return the runs that can be continued, newest first.

    Raises:
        MMLError: a folder can't be read.
    """
    projects = None if project is None else [project]
    try:
        # By their journals alone; only the few that may wait are looked at more closely.
        found = [run for run in all_runs(results_root, projects) if run.digest.state in CONTINUABLE and not run.fault]
    except OSError as error:
        msg = f"The runs in {results_root} can't be read: {error.filename}: {error.strerror}."
        raise MMLError(msg) from error
    return [info for run in found if (info := run_info(run, results_root)).state in CONTINUABLE]


def _label(run: FoundRun, labels: Labels) -> str:
    return labels.get((run.project, run.name), "")


def _ambiguous(word: str, found: Sequence[FoundRun]) -> MMLMisconfigurationException:
    names = [f"  {run.project}/{run.name}" for run in found[:_MOST_CHOICES]]
    more = [f"  ... and {len(found) - _MOST_CHOICES} more"] if len(found) > _MOST_CHOICES else []
    lines = [f"'{word}' means {len(found)} runs. Say more of the name, or project/run:", *names, *more]
    return MMLMisconfigurationException("\n".join(lines))


def _unknown(word: str, name: str, runs: Sequence[FoundRun], results_root: Path) -> MMLMisconfigurationException:
    labels = labels_of(results_root, {run.project for run in runs}).values()
    names = dict.fromkeys([*labels, *(run.name for run in runs)])
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.55) or [run.name for run in runs[:3]]
    listed = " or ".join(f"'{name}'" for name in near)
    msg = f"There is no run '{word}' in {results_root}. Did you mean {listed}? `mml runs` lists all."
    return MMLMisconfigurationException(msg)
