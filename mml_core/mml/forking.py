"""Forks: a new run with the settings of another and changes, that takes over the steps which don't depend on these.

Here only the config of the new run is made; what it takes over is found out when it begins.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from mml.continuing import (
    CONTINUE,
    LATEST,
    Compose,
    apply_changes,
    find_named,
    key_of,
    merge_overrides,
    plain,
    split_run,
    with_hydra,
)
from mml.core.scripts.drift_config import LOCATION_KEYS, differences
from mml.core.scripts.exceptions import ContinueError
from mml.core.scripts.run_folder import RUNS_FOLDER, read_overrides, read_stored
from mml.core.scripts.runs import DAMAGED, RunInfo, read_run, run_folders
from mml.core.scripts.utils import did_you_mean

FORK = "fork"


def find_fork(overrides: Sequence[str]) -> str | None:
    """Return the run that overrides ask to fork, None if they ask for none.

    Raises:
        ContinueError: they ask for several, for something that is no name, or to continue one at the same time.
    """
    run = find_named(overrides, FORK)
    if run is not None and find_named(overrides, CONTINUE) is not None:
        msg = "A run is either continued or forked: leave out continue=... or fork=..."
        raise ContinueError(msg)
    return run


def forked_config(compose: Compose, overrides: Sequence[str], run: str) -> DictConfig:
    """Return the config of a new run: the stored one of a run, with the changes that overrides ask for.

    Args:
        compose: makes the config of overrides.
        overrides: all that were given, also `fork=...` and those that say where the run lies.
        run: `latest`, the name of a run, or `<project>/<run>`.

    Raises:
        ContinueError: there is no such run, its records can't be read, or another mode is asked for.
        HydraException: an override can't be read, or names what does not exist.
    """
    asked = [override for override in overrides if key_of(override) != FORK]
    located = compose([override for override in asked if key_of(override) in LOCATION_KEYS])
    info = _source(run, asked, located)
    stored = read_stored(info.path)
    started = _started(info, stored)
    composed = compose(merge_overrides(started, asked))
    _refuse_other_mode(info, stored, composed)
    # What was not asked for is as it was recorded, whatever the config tree says of it today.
    apply_changes(stored, _changes(compose, started, composed, info))
    given = {key_of(override) for override in asked}
    stored.update(
        {
            "proj": located.proj if "proj" in given else info.project,
            "out_dir": located.out_dir,
            "data_dir": located.data_dir if "data_dir" in given else stored.get("data_dir", located.data_dir),
            CONTINUE: None,
            FORK: f"{info.project}/{info.name}",
        }
    )
    return with_hydra(composed, stored)


def _source(run: str, asked: Sequence[str], located: DictConfig) -> RunInfo:
    """Return the run to fork, whatever its state. It is looked for first in the project of the new run, `proj`.

    Raises:
        ContinueError: there is none, there are several, or it is damaged.
    """
    root, given = Path(located.out_dir), str(located.proj)
    place, name = split_run(run, [override for override in asked if key_of(override) != "proj"])
    projects = [place] if place else [given]
    if name == LATEST:
        found = [info for info in map(read_run, reversed(_folders(root, projects))) if info.state != DAMAGED][:1]
    else:
        everywhere = projects if place else [given, *_projects(root, given)]
        found = _named(root, everywhere, name)
    if len(found) == 1 and found[0].state != DAMAGED:
        return found[0]
    raise ContinueError(_source_fault(found, run, root, projects))


def _named(root: Path, projects: Iterable[str], name: str) -> list[RunInfo]:
    """Return the runs of a name: that of the first project, which is the one asked for, or those of all others."""
    first, *others = [root / project / RUNS_FOLDER / name for project in projects]
    if "/" in name or name in ("", ".", ".."):
        return []
    return [read_run(folder) for folder in ([first] if first.is_dir() else others) if folder.is_dir()]


def _source_fault(found: Sequence[RunInfo], run: str, root: Path, projects: Sequence[str]) -> str:
    if len(found) > 1:
        choices = ", ".join(f"{info.project}/{info.name}" for info in found)
        return f"There are several runs '{run}'. Say which is to be forked: {choices}."
    if found:
        return f"Run '{run}' can't be forked: {found[0].error}"
    folders = _folders(root, projects)
    if run == LATEST or not folders:
        fix = "Name it: mml continue <project>/<run> --fork key=value"
        return f"There is no run to fork in {root / projects[0] / RUNS_FOLDER}. {fix}"
    known = did_you_mean(run.rpartition("/")[2], [folder.name for folder in folders])
    return f"There is no run '{run}' in {root / projects[0] / RUNS_FOLDER}. {known}"


def _folders(root: Path, projects: Iterable[str]) -> list[Path]:
    return [folder for project in projects for folder in run_folders(root / project)]


def _projects(root: Path, other_than: str) -> list[str]:
    if not root.is_dir():
        return []
    return sorted(path.name for path in root.iterdir() if path.name not in (other_than,) and path.name[0] != ".")


def _started(info: RunInfo, stored: DictConfig) -> list[str]:
    """Return the overrides of a run, without those that say which run it was; its mode is always among them."""
    without = (CONTINUE, FORK, "proj")
    started = [override for override in read_overrides(info.path) if key_of(override) not in without]
    mode = OmegaConf.select(stored, "mode.id")
    named = any(key_of(override) == "mode" for override in started)
    return started if named or not mode else [f"mode={mode}", *started]


def _refuse_other_mode(info: RunInfo, stored: DictConfig, composed: DictConfig) -> None:
    then, now = (OmegaConf.select(config, "mode.id") for config in (stored, composed))
    if then != now:
        msg = f"Run '{info.name}' is of mode {then}: nothing of it is of use to mode {now}. Start a new run: mml {now}"
        raise ContinueError(msg)


def _changes(compose: Compose, started: list[str], composed: DictConfig, info: RunInfo) -> list[Any]:
    try:
        base = compose(started)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        msg = f"The overrides of run '{info.name}' can't be composed any more: {reason}. Start a new run."
        raise ContinueError(msg) from error
    has: Mapping[str, Any] = plain(base, resolve=True)
    return differences(has, plain(composed, resolve=True))
