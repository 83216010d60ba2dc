"""What the steps of a plan are likely to need, from the earlier runs that are most like it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml

from mml.core.scripts.drift_config import Difference, concerning, differences
from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.run_files import CONFIG_FILE
from mml.plan_history import History, PastRun, PastStep, read_file, size_on_disk
from mml.plan_record import UNKNOWN, Estimate, PlannedStep

_LONGEST_CONFIG = 1_000_000  # bytes
_MOST = 20  # earlier steps that an estimate is made of
_SAME, _SAME_KIND = "same step", "same command, task and settings"
_CHANGED, _SAME_TASK, _COMMAND = "same step, other settings", "same command and task", "same command"
_OTHER_MODE = "same command of another mode"


class Present(NamedTuple):
    """The run that is planned, as far as earlier ones are compared with it.

    Attributes:
        mode: its name.
        config: composed and plain.
        step_config: command -> dotted keys and groups that its result depends on, None for all.
        roots: what recorded paths are relative to.
        project: its name.
    """

    mode: str
    config: Mapping[str, Any]
    step_config: Callable[[str], Sequence[str] | None]
    roots: PathRoots
    project: str


class Estimates:
    """Finds estimates in the history of runs.

    Args:
        history: of earlier runs.
        present: the run that is planned.
    """

    def __init__(self, history: History, present: Present) -> None:
        self._present = present
        self._settings = _Settings(present)
        self._by_command: dict[str, list[PastStep]] = defaultdict(list)
        self._by_key: dict[str, list[PastStep]] = defaultdict(list)
        for step in history.steps:
            self._by_command[step.record.command].append(step)
            self._by_key[step.key].append(step)
        self._known: dict[tuple[str, ...], Estimate] = {}
        self._sizes: dict[int, int | None] = {}

    def of(self, step: PlannedStep) -> Estimate:
        """Return the estimate for a step, from those earlier ones that are most like it."""
        same = [past for past in self._by_key.get(step.key, ()) if past.run.mode == self._present.mode]
        if equal := [past for past in same if self._settings.agree(past)]:
            return self._made(equal, _SAME)
        # Steps of a command and tasks, of which none is known, share the rest.
        place = (step.record.command, *step.tasks)
        if place not in self._known:
            self._known[place] = self._of_command(step)
        near = self._known[place]
        return self._made(same, _CHANGED) if same and near.source != _SAME_KIND else near

    def _of_command(self, step: PlannedStep) -> Estimate:
        everywhere = self._by_command.get(step.record.command, [])
        in_mode = [past for past in everywhere if past.run.mode == self._present.mode]
        of_task = [past for past in in_mode if tasks_of(past.record.params, past.run.tasks) == step.tasks]
        if kind := [past for past in of_task if self._settings.agree(past)]:
            return self._made(kind, _SAME_KIND)
        for found, source in ((of_task, _SAME_TASK), (in_mode, _COMMAND), (everywhere, _OTHER_MODE)):
            if found:
                return self._made(found, source)
        return UNKNOWN

    def _made(self, found: Sequence[PastStep], source: str) -> Estimate:
        """Return the median of the newest steps, those of this project alone if there are any."""
        own = [past for past in found if past.run.project == self._present.project]
        used = (own or found)[:_MOST]
        sizes = [size for past in used if (size := self._size(past)) is not None]
        size = None if not sizes else round(median(sizes))
        return Estimate(median(past.seconds for past in used), size, source, len({past.run.folder for past in used}))

    def _size(self, past: PastStep) -> int | None:
        if id(past) not in self._sizes:
            roots = self._present.roots
            self._sizes[id(past)] = size_on_disk(past, roots.results, roots.data)
        return self._sizes[id(past)]


class _Settings:
    """Tells whether steps were done with the settings that they would be done with now."""

    def __init__(self, present: Present) -> None:
        self._present = present
        self._changes: dict[Path, list[Difference] | None] = {}
        self._answers: dict[tuple[Path, str], bool] = {}

    def agree(self, past: PastStep) -> bool:
        """Tell whether nothing that a step depends on differs."""
        place = past.run.folder, past.record.command
        if place not in self._answers:
            changes = self._changed(past.run)
            keys = self._present.step_config(past.record.command)
            self._answers[place] = changes is not None and not concerning(_own(changes, past, keys), keys)
        return self._answers[place]

    def _changed(self, run: PastRun) -> list[Difference] | None:
        """Return in what the settings of a run differ from those of now, None if they can't be read."""
        if run.folder not in self._changes:
            config = _config(run.folder)
            self._changes[run.folder] = None if config is None else differences(config, self._present.config)
        return self._changes[run.folder]


def _config(folder: Path) -> dict[str, Any] | None:
    """Return the config that a run was started with, None if it can't be used."""
    try:
        text = read_file(folder / CONFIG_FILE, _LONGEST_CONFIG)
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is ten times as fast
        # An alias in an alias in an alias is a small file and an endless config; mml itself writes none.
        if text is None or (b"*" in text and any(isinstance(e, yaml.AliasEvent) for e in yaml.parse(text, loader))):
            return None
        config = yaml.load(text, Loader=loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None
    return config if isinstance(config, dict) and all(isinstance(key, str) for key in config) else None


def _own(changes: Iterable[Difference], past: PastStep, keys: Sequence[str] | None) -> list[Difference]:
    """Return changes without those of what a step says itself: its task; which other tasks there are is no matter."""
    if keys is not None or not tasks_of(past.record.params, past.run.tasks):
        return list(changes)
    return [change for change in changes if change.key not in ("task", "task_list", "pivot.name")]


def tasks_of(params: Iterable[Any], tasks: Iterable[str]) -> tuple[str, ...]:
    """Return the tasks that the params of a step name, in their order."""
    known = frozenset(tasks)
    return tuple(param for param in params if isinstance(param, str) and param in known)
