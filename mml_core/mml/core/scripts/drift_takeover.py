"""Taking steps over: a run that is a fork of another finds what that has done, and makes it its own record.

Nothing of the other run is touched: its files stay where they are, and this run only refers to them.
"""

import logging
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from omegaconf import OmegaConf

from mml.core.data_loading.claims import claim_owner
from mml.core.data_loading.file_manager import TEMP_FOLDER, MMLFileManager
from mml.core.scripts.drift_fork import COMES_AFTER, NewRun, OldRun, Takeover, Verdict
from mml.core.scripts.drift_watch import tell_drift
from mml.core.scripts.exceptions import ContinueError
from mml.core.scripts.journal import JOURNAL_FILE, AnyEvent, Done, Opened, RunRecord, Started, read_events
from mml.core.scripts.run_book import RunBook
from mml.core.scripts.run_folder import RUNS_FOLDER, plain_config, read_stored
from mml.core.scripts.run_steps import Scheduler, extend_plan
from mml.core.scripts.runs import FINISHED, read_run
from mml.core.scripts.schedule import Step
from mml.core.scripts.values import restored_value
from mml.report.tables import Column, as_table, count_text, show

logger = logging.getLogger(__name__)

# Pictures for people: no step goes on with them, so a step counts without them, too.
_PICTURES = ("plots", "sample_grid")
_MOST_ROWS = 40
_COLUMNS = (
    Column("step", lambda row: row[0]),
    Column("taken over", lambda row: row[1]),
    Column("because", lambda row: row[2], fold=True),
)
_TAKEN = "done, and nothing that it depends on differs"


def fork_source(scheduler: Scheduler) -> Path | None:
    """Return the folder of the run that this one is a fork of, None if it is none.

    Raises:
        ContinueError: `fork` is not the name of a run.
    """
    text = scheduler.cfg.get("fork")
    if not text:
        return None
    project, _, name = str(text).rpartition("/")
    folder = scheduler.fm.results_root / (project or scheduler.fm.proj_path.name) / RUNS_FOLDER / name
    if "/" in project or {project, name} & {".", ".."} or not folder.is_dir():
        msg = f"There is no run '{text}' in {scheduler.fm.results_root}, whose steps could be taken over."
        raise ContinueError(msg)
    return folder


def tell_differences(scheduler: Scheduler, book: RunBook, now: Opened) -> None:
    """Print what differs between the record of a run, of a new fork that of its source, and what it goes on with.

    Args:
        scheduler: of the run.
        book: of the run, as it was.
        now: what this process is.
    """
    if book.record.openings:
        tell_drift(scheduler, book.folder, book.record, now)
    elif source := fork_source(scheduler):
        tell_drift(scheduler, source, RunRecord(read_events(source / JOURNAL_FILE)[0]), now)


def take_over(scheduler: Scheduler, book: RunBook) -> list[Step]:
    """Take over what can be, in journal and scheduler, say so in a table, and return the whole plan as it is then.

    Once a step of its own has begun, a run takes over nothing more.

    Args:
        scheduler: with the whole plan; nothing is done if its run is no fork.
        book: of its run, with the plan.
    """
    events, _ = read_events(book.folder / JOURNAL_FILE) if scheduler.cfg.get("fork") else ([], 0)
    source = None if any(isinstance(event, Started) for event in events) else _source_still(scheduler)
    if source is None:
        return scheduler.steps_from(0)
    verdicts, fresh = _decided_on(scheduler, source, RunRecord(events))
    for number, done in enumerate(fresh, start=1):
        # One flush for all: what a power cut takes is taken over again.
        book.append(done, durable=number == len(fresh))
    book.catch_up()
    show_takeover(verdicts, book.folder.name, _name(source, scheduler.fm))
    return scheduler.steps_from(0)


def foresee(scheduler: Scheduler, events: Sequence[AnyEvent]) -> list[Verdict]:
    """Return what `take_over` would decide, and record nothing; none if nothing would be taken over.

    Args:
        scheduler: with the whole plan, which steps that are taken over may extend.
        events: of the run's journal, at least its plan.
    """
    source = None if any(isinstance(event, Started) for event in events) else _source_still(scheduler)
    return [] if source is None else _decided_on(scheduler, source, RunRecord(events))[0]


def _decided_on(scheduler: Scheduler, source: Path, record: RunRecord) -> tuple[list[Verdict], list[Done]]:
    """Decide on all steps of a run, given the folder of the run to take steps from, and its own record."""
    old = OldRun(_name(source, scheduler.fm), RunRecord(read_events(source / JOURNAL_FILE)[0]), _config(source))
    files = _Files(scheduler.fm)
    new = NewRun(record, plain_config(scheduler.cfg), scheduler.step_config, files.fault, scheduler.step_fault)
    return _decided(scheduler, old, new)


def _source_still(scheduler: Scheduler) -> Path | None:
    """Return the run to take steps from; None if there is none, or if it has gone since the run was started."""
    try:
        return fork_source(scheduler)
    except ContinueError as error:
        if not scheduler.continue_status:
            raise
        logger.warning("%s All steps are carried out.", error)
        return None


def show_takeover(verdicts: Sequence[Verdict], run: str, source: str) -> None:
    """Print which steps a run takes over and which it carries out, each with the reason."""
    rows = [(str(verdict.step.record), *_outcome(verdict)) for verdict in verdicts]
    if len(rows) > _MOST_ROWS:
        rows = _summed_up(verdicts)
    taken = sum(verdict.done is not None for verdict in verdicts)
    title = f"Run {run} takes over {taken} of {count_text(len(verdicts), 'step')} of run {source}:"
    show(as_table(title, _COLUMNS, rows), file=sys.stderr)


def _outcome(verdict: Verdict) -> tuple[str, str]:
    return ("yes", _TAKEN) if verdict.done else ("no", verdict.reason)


def _summed_up(verdicts: Sequence[Verdict]) -> list[tuple[str, str, str]]:
    """Return one row for all steps of a command with the same reason; of steps that come after others, one for all."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for verdict in verdicts:
        taken, reason = _outcome(verdict)
        after = reason.startswith(COMES_AFTER)
        counts[verdict.step.record.command, taken, f"{COMES_AFTER}a step that runs anew" if after else reason] += 1
    return [
        (f"{command}, {count_text(count, 'step')}", taken, reason) for (command, taken, reason), count in counts.items()
    ]


def _decided(scheduler: Scheduler, old: OldRun, new: NewRun) -> tuple[list[Verdict], list[Done]]:
    """Decide on all steps, those included that steps taken over had added, and bring scheduler and record up to date.

    Returns:
        What becomes of each step, and what the journal does not say yet.
    """
    steps = scheduler.steps_from(0)
    takeover = Takeover(old, new, steps[: new.record.base_plan])
    verdicts: list[Verdict] = []
    fresh: list[Done] = []
    while len(verdicts) < len(steps):
        step = steps[len(verdicts)]
        if step.position in new.record.done:
            verdicts.append(takeover.accept(step))
            continue
        verdicts.append(takeover.decide(step, len(steps)))
        if done := verdicts[-1].done:
            fresh.append(done)
            new.record.apply(done)
            steps += _brought_in(scheduler, done)
    return verdicts, fresh


def _brought_in(scheduler: Scheduler, done: Done) -> list[Step]:
    """Make a step's changes those of the scheduler; return the steps that it adds to the plan."""
    scheduler.structs.replay(done.tasks)
    if done.value is not msgspec.UNSET:
        scheduler.return_value = restored_value(done.value)
    first = len(scheduler.commands)
    extend_plan(scheduler, done.grown)
    return scheduler.steps_from(first)


class _Files:
    """Tells whether files that a step made can be referred to: they have to be there, and to stay.

    Args:
        fm: knows where files lie.
    """

    def __init__(self, fm: MMLFileManager) -> None:
        self._fm = fm
        templates = [template for template in fm.templates().values() if not template.temporary]
        self._patterns = [(template.key, template.pattern()) for template in templates]
        self._removed_later: dict[Path, frozenset[str]] = {}

    def fault(self, texts: Iterable[str]) -> str:
        """Return why a step can't be taken over, given its files as portable paths; empty if it can."""
        return next((fault for text in texts if (fault := self._fault(text))), "")

    def _fault(self, text: str) -> str:
        path = self._fm.roots.to_path(text)
        parts = path.relative_to(self._fm.results_root).parts if path.is_relative_to(self._fm.results_root) else ()
        kinds = self._kinds(path, parts)
        if not path.exists():
            return "" if kinds & {*_PICTURES} else f"made {text}, which is gone"
        if parts[1:2] == (RUNS_FOLDER,) and TEMP_FOLDER in parts:
            return f"made {text}, which is temporary"
        owner = claim_owner(path) if parts else None
        if owner is None or not kinds & self._removed_by(self._fm.results_root / parts[0] / RUNS_FOLDER / owner):
            return ""
        return f"made {text}, which goes when run {owner} is finished"

    def _kinds(self, path: Path, parts: tuple[str, ...]) -> set[str]:
        """Return the kinds of files that a path may be of."""
        if not parts:
            return set()
        below = path.relative_to(self._fm.results_root / parts[0]).as_posix()
        return {key for key, pattern in self._patterns if pattern.fullmatch(below)}

    def _removed_by(self, folder: Path) -> frozenset[str]:
        """Return the kinds of files that a run is going to remove when it finishes."""
        if folder not in self._removed_later:
            self._removed_later[folder] = _kinds_removed_by(folder)
        return self._removed_later[folder]


def _kinds_removed_by(folder: Path) -> frozenset[str]:
    if not folder.is_dir() or read_run(folder).state == FINISHED:
        return frozenset()
    try:
        clean_up = _config(folder).get("reuse", {}).get("clean_up") or {}
    except ContinueError:  # it can't be continued either
        return frozenset()
    return frozenset(kind for kind, wanted in clean_up.items() if wanted)


def _name(source: Path, fm: MMLFileManager) -> str:
    """Return how this run refers to another: by its name, with the project where that is another one."""
    project = source.parent.parent
    return source.name if project == fm.proj_path else f"{project.name}/{source.name}"


def _config(folder: Path) -> Any:
    return OmegaConf.to_container(read_stored(folder))
