"""Continuing a run: its stored config counts, and an override may only say *where* it goes on, never change what it is.

Pure functions of overrides and plain configs, and at the end the glue that reads the run folder. Nothing is written.
"""

import difflib
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import InterpolationResolutionError

from mml.core.scripts.drift_config import (
    LOCATION_KEYS,
    MISSING,
    WHERE_GROUPS,
    WHERE_KEYS,
    Difference,
    differences,
    is_where,
    value_text,
)
from mml.core.scripts.exceptions import ContinueError
from mml.core.scripts.run_folder import RUNS_FOLDER, read_overrides, read_stored
from mml.core.scripts.runs import (
    CONTINUABLE,
    DAMAGED,
    FINISHED,
    RunInfo,
    latest_continuable,
    list_runs,
    project_runs,
    read_run,
    run_folders,
)
from mml.core.scripts.utils import did_you_mean
from mml.detaching import attach

LATEST = "latest"
CONTINUE = "continue"
FORK_FLAG = "--fork"
_MOST_LINES = 12
_LOOK_BACK = 50

Compose = Callable[[list[str]], DictConfig]


def find_continue(overrides: Sequence[str]) -> str | None:
    """Return the run that overrides ask to continue, None if they ask for none.

    Raises:
        ContinueError: they ask for several, or for something that is no name.
    """
    return find_named(overrides, CONTINUE)


def find_named(overrides: Sequence[str], key: str) -> str | None:
    """Return the run that overrides name with a key, `continue` or `fork`; None if they name none.

    Raises:
        ContinueError: they name several, or something that is no name.
    """
    asked = [override for override in overrides if key_of(override) == key]
    parsed = [_parse(override) for override in asked]
    if any(override.is_sweep_override() or not _is_name(override.value()) for override in parsed) or len(parsed) > 1:
        done = f"{key}{'d' if key[-1] == 'e' else 'ed'}"
        msg = f"'{' '.join(asked)}' can't be done: one run can be {done}, e.g. {key}=latest or {key}=<run>."
        raise ContinueError(msg)
    return None if not parsed or parsed[0].value() is None else str(parsed[0].value())


def merge_overrides(stored: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Return `stored` followed by `asked`, where of two overrides for one key only the later stays."""
    merged: dict[str, str] = {}
    for override in (*stored, *asked):
        key = _parse(override).get_key_element().lstrip("+~")
        merged.pop(key, None)
        merged[key] = override
    return list(merged.values())


def refusal(run: str, changes: Sequence[Difference], fork: str = "") -> str:
    """Return the message for changes that can't be applied to a run: a table, and what to do.

    Args:
        run: its name.
        changes: what was asked for.
        fork: the command that makes a new run with the changes, empty when there is none.
    """
    rows = [("key", "run has", "you asked for")]
    rows += [(change.key, value_text(change.has), value_text(change.asked)) for change in changes[:_MOST_LINES]]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"  {key:<{widths[0]}}  {has:<{widths[1]}}  {asked}".rstrip() for key, has, asked in rows]
    if len(changes) > _MOST_LINES:
        lines.append(f"  ... and {len(changes) - _MOST_LINES} more")
    may = ", ".join([*WHERE_KEYS, *(f"{group}.*" for group in WHERE_GROUPS), "data_dir"])
    return "\n".join(
        [
            f"Run '{run}' can only be continued as it is; it was not touched.",
            *lines,
            f"Leave this out to continue it, or start a new run. What may change: {may}.",
            *(["A new run, with its finished steps that do not depend on the change:", fork] if fork else []),
        ]
    )


def fork_command(run: RunInfo, asked: Sequence[str]) -> str:
    """Return the command that makes a new run of one and of the changes asked for, ready to be pasted into a shell."""
    where = [override for override in asked if key_of(override) in ("out_dir", "data_dir")]
    project = [f"proj={run.project}"] * (run.project != "default")
    others = [override for override in asked if key_of(override) not in (*LOCATION_KEYS, "mode")]
    return shlex.join(["mml", CONTINUE, run.name, *project, *where, FORK_FLAG, *others])


def pick_run(name: str, proj_path: Path) -> RunInfo:
    """Return the run of a project that `name` means, the newest that can be continued for `latest`.

    A running one is returned, too: its lock refuses a second owner and says who holds it.

    Raises:
        ContinueError: there is none, or it is finished or damaged; names those that can be continued.
    """
    if name == LATEST:
        if run := latest_continuable(proj_path):
            return run
        raise ContinueError(_nothing_open(proj_path))
    names = {folder.name: folder for folder in run_folders(proj_path)}
    if name not in names:
        msg = f"There is no run '{name}' in {proj_path / RUNS_FOLDER}. {_near(name, names)} {_offer(proj_path)}"
        raise ContinueError(" ".join(msg.split()))
    run = read_run(names[name])
    if run.state == FINISHED:
        fork = fork_command(run, ["key=value"])
        msg = (
            f"Run '{name}' of project '{run.project}' is finished; nothing is left to continue. A new run, changed, "
            f"with its steps that do not depend on the change: {fork}. {_offer(proj_path)}"
        )
        raise ContinueError(msg.strip())
    if run.state == DAMAGED:
        msg = f"Run '{name}' of project '{run.project}' can't be continued: {run.error} {_offer(proj_path)}"
        raise ContinueError(msg.strip())
    return run


def continued_config(compose: Compose, overrides: Sequence[str], run: str) -> DictConfig:
    """Return the stored config of a run with the changes of *where* that overrides ask for.

    Args:
        compose: makes the config of overrides.
        overrides: all that were given, also `continue=...` and those that say where the run lies.
        run: `latest`, the name of a run, or `<project>/<run>`.

    Raises:
        ContinueError: there is no such run, it is finished, its records can't be read, or an override would change it.
    """
    asked = [override for override in overrides if key_of(override) != CONTINUE]
    proj, name = split_run(run, asked)
    place = [override for override in asked if key_of(override) in LOCATION_KEYS]
    place += [f"proj='{proj}'"] if proj and not any(key_of(override) == "proj" for override in place) else []
    located = compose(place)
    proj_path = Path(located.out_dir) / str(located.proj)
    info = pick_run(name, proj_path)
    stored = read_stored(info.path)
    others = [override for override in asked if override not in place]
    composed = located
    if others:
        composed, changes = _compare(compose, info, asked)
        apply_changes(stored, changes)
    attach(stored, [key_of(override) for override in asked])
    stored.update({"proj": located.proj, "out_dir": located.out_dir, CONTINUE: info.name})
    if any(key_of(override) == "data_dir" for override in place):
        stored["data_dir"] = located.data_dir
    return with_hydra(composed, stored)


def _compare(compose: Compose, run: RunInfo, asked: list[str]) -> tuple[DictConfig, list[Difference]]:
    """Compose a run's overrides with and without those asked for; return the former and what may and does change."""
    started = [override for override in read_overrides(run.path) if key_of(override) != CONTINUE]
    hydras = [override for override in asked if key_of(override).startswith("hydra.")]
    try:
        base = compose([*started, *hydras])
    except HydraException as error:
        reason = str(error).splitlines()[0]
        msg = f"The overrides of run '{run.name}' can't be composed any more: {reason}. Continue it without others."
        raise ContinueError(msg) from error
    try:
        composed = compose(merge_overrides(_still_meant(started, asked), asked))
    except HydraException:
        # The overrides of the run may not go with another option, e.g. another mode: that option is the news then.
        others = _other_options(base.hydra.runtime.choices, asked)
        if not others or not _composes(compose, asked):
            raise
        raise ContinueError(refusal(run.name, others)) from None
    if refused := _refused(base, composed):
        same_mode = all(change.key != "mode" for change in refused)
        raise ContinueError(refusal(run.name, refused, fork_command(run, asked) if same_mode else ""))
    # With what was asked for also changes what refers to it.
    return composed, differences(plain(base, resolve=True), plain(composed, resolve=True))


def _still_meant(started: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Return the overrides of a run without keys of another runner, logging or the like than the one asked for now."""
    chosen = {key_of(override) for override in asked}.intersection(WHERE_GROUPS)
    groups = [(override, *key_of(override).partition(".")[:2]) for override in started]
    return [override for override, group, dot in groups if not (dot and group in chosen)]


def _refused(base: DictConfig, composed: DictConfig) -> list[Difference]:
    """Return the changes that would make another run of it, those of a group whose option changes as that option."""
    refused = [change for change in changed_leaves(base, composed) if not is_where(change.key)]
    options = differences(plain(base.hydra.runtime.choices), plain(composed.hydra.runtime.choices))
    return by_option(refused, [option for option in options if _counts(option.key, refused, base)])


def changed_leaves(base: DictConfig, other: DictConfig) -> list[Difference]:
    """Return what differs as written and in value: neither a reference to what differs, nor one to an equal value."""
    written = {difference.key for difference in differences(plain(base), plain(other))}
    valued = differences(plain(base, resolve=True), plain(other, resolve=True))
    return [change for change in valued if any(f"{change.key}.".startswith(f"{key}.") for key in written)]


def by_option(changes: Sequence[Difference], options: Sequence[Difference]) -> list[Difference]:
    """Return changes in which all keys of a group whose option changes are replaced by that option."""
    groups = {option.key for option in options}
    return [*options, *(change for change in changes if change.key.partition(".")[0] not in groups)]


def _counts(group: str, refused: Sequence[Difference], base: DictConfig) -> bool:
    """Tell whether another option of a group changes the run: a key in it does, or what it says is for Hydra alone."""
    return group not in base or any(change.key.partition(".")[0] == group for change in refused)


def _other_options(choices: Mapping[str, Any], asked: Sequence[str]) -> list[Difference]:
    """Return the overrides that choose another option of a group than the run has."""
    known = [(key, text.partition("=")[2]) for text in asked if (key := key_of(text)) in choices]
    return [Difference(key, choices[key], option) for key, option in known if choices[key] != option]


def _composes(compose: Compose, overrides: list[str]) -> bool:
    try:
        compose(overrides)
    except HydraException:
        return False
    return True


def apply_changes(stored: DictConfig, changes: Iterable[Difference]) -> None:
    """Make changes, apart from those of places, in a stored config."""
    for key, _, asked in changes:
        if key in LOCATION_KEYS:
            continue
        if asked is MISSING:
            _remove(stored, key)
        else:
            OmegaConf.update(stored, key, asked, force_add=True)


def _remove(stored: DictConfig, key: str) -> None:
    """Remove a key, and the groups that it leaves empty; one that shall stay, without keys, is a change of its own."""
    parent, _, last = key.rpartition(".")
    group = OmegaConf.select(stored, parent) if parent else stored
    if isinstance(group, DictConfig) and group.pop(last, MISSING) is not MISSING and parent and not group:
        _remove(stored, parent)


def with_hydra(composed: DictConfig, stored: DictConfig) -> DictConfig:
    """Return a composed config whose keys, apart from Hydra's, are those of a stored one."""
    with flag_override(composed, ["struct", "readonly"], [False, False]):
        for key in [key for key in composed if key != "hydra"]:
            del composed[key]
        for key in stored:
            composed[key] = stored._get_node(key)
    return composed


def split_run(run: str, overrides: Sequence[str]) -> tuple[str | None, str]:
    """Split `<project>/<run>`; the project is None when only the run is named."""
    proj, _, name = run.rpartition("/")
    given = [str(_parse(override).value()) for override in overrides if key_of(override) == "proj"]
    if "/" in proj or proj in (".", ".."):
        msg = f"continue={run} can't be the name of a run. Say <run> or <project>/<run>, and where with out_dir=<path>."
        raise ContinueError(msg)
    if proj and given and given[-1] != proj:
        msg = f"continue={run} and proj={given[-1]} name two projects. Leave one of them out."
        raise ContinueError(msg)
    return proj or None, name


def _nothing_open(proj_path: Path) -> str:
    """Say why there is nothing to continue in a project, and where there is."""
    folders = run_folders(proj_path)
    if not folders:
        reason = f"There is no run in {proj_path / RUNS_FOLDER}."
    else:
        newest = read_run(folders[-1])
        reason = (
            f"No run of project '{newest.project}' waits to be continued; the newest is {newest.state}: {newest.name}."
        )
    return f"{reason} {_offer(proj_path)}".strip()


def _offer(proj_path: Path) -> str:
    """Name the newest runs that can be continued: of this project or, without one, of the others beside it."""
    here = [run for run in project_runs(proj_path, newest=_LOOK_BACK) if run.state in CONTINUABLE]
    runs = here or [run for run in list_runs(proj_path.parent, newest=_LOOK_BACK) if run.state in CONTINUABLE]
    commands = [f"mml continue {run.name}" + f" proj={run.project}" * (run.project != "default") for run in runs[-5:]]
    return f"What can be continued: {'; '.join(reversed(commands))}." if commands else ""


def _near(name: str, names: Iterable[str]) -> str:
    return did_you_mean(name, names) if difflib.get_close_matches(name, names, n=1, cutoff=0.55) else ""


def plain(cfg: DictConfig, resolve: bool = False) -> dict[str, Any]:
    """Return a config without Hydra's part as plain containers; unresolved if it refers to what only a run knows."""
    with flag_override(cfg, ["struct", "readonly"], [False, False]):
        own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    try:
        plain = OmegaConf.to_container(own, resolve=resolve)
    except InterpolationResolutionError:  # refers to what only a run knows
        plain = OmegaConf.to_container(own, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _is_name(value: Any) -> bool:
    return value is None or (isinstance(value, str | int) and value != "")


def key_of(override: str) -> str:
    """Return the key of an override as it is written, without a sign that adds or removes it."""
    return override.partition("=")[0].lstrip("+~").strip()


def _parse(override: str) -> Override:
    return OverridesParser.create().parse_overrides([override])[0]
