"""What would become of each step of a run to be continued or forked, told from records; wanted by few plans."""

import time
from pathlib import Path

from omegaconf import OmegaConf

from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.drift_takeover import foresee
from mml.core.scripts.drift_watch import data_digests
from mml.core.scripts.exceptions import RunLockedError
from mml.core.scripts.journal import JOURNAL_FILE, AnyEvent, Planned, RunRecord, Started, read_events
from mml.core.scripts.run_course import refuse_misfit
from mml.core.scripts.run_driver import recall_start
from mml.core.scripts.run_folder import find_run_folder
from mml.core.scripts.run_lock import LOCK_FILE, is_held, read_owner
from mml.core.scripts.run_steps import extend_plan
from mml.core.scripts.schedule import check_same_plan, refuse_cycles
from mml.plan_record import DONE, FAILED, TAKEN, TO_DO, Foreseen, State


def forked(scheduler: AbstractBaseScheduler) -> Foreseen:
    """Return the steps of a new run that is a fork of another, and which of them it would take over.

    Raises:
        MMLMisconfigurationException: `mml` would refuse the run, too.
        JournalError: the journal of the other run is damaged.
    """
    steps = scheduler.plan()
    fm = scheduler.fm
    planned = Planned(
        time=time.time(),
        steps=[step.record for step in steps],
        tasks=scheduler.structs.initial_changes(scheduler.task_list),
        reused={key: fm.roots.to_text(path) for key, path in fm.global_reusables.items()},
        data=data_digests(scheduler),
    )
    states = _taken_over(scheduler, [planned])
    return Foreseen(scheduler.steps_from(0), states)


def continued(scheduler: AbstractBaseScheduler) -> Foreseen:
    """Return the steps of a run to be continued, and what became of them.

    Raises:
        MMLMisconfigurationException: `mml` would refuse to continue it, too.
        RunLockedError: it is running.
        JournalError: its journal is damaged.
    """
    folder = find_run_folder(scheduler.fm.proj_path, str(scheduler.cfg["continue"]))
    _refuse_running(folder)
    recall_start(scheduler)
    steps = scheduler.plan()
    events, _ = read_events(folder / JOURNAL_FILE)
    record = RunRecord(events)
    refuse_misfit(record, steps, folder)
    if record.plan is not None and not record.finishing:
        check_same_plan(record.plan[: record.base_plan], [step.record for step in steps])
    extend_plan(scheduler, (record.plan or [])[record.base_plan :])
    states = _taken_over(scheduler, events) if record.plan is not None and scheduler.cfg.get("fork") else {}
    begun = {event.step for event in events if isinstance(event, Started)} if record.plan is not None else set()
    states |= {position: State(TO_DO, "was begun") for position in begun}
    states |= {position: _before(record, position) for position in {*record.done, *record.failed, *record.skipped}}
    steps = scheduler.steps_from(0)
    refuse_cycles(steps)
    return Foreseen(steps, states, folder.name)


def _before(record: RunRecord, position: int) -> State:
    """Return the state of a step that the run has done or given up."""
    if done := record.done.get(position):
        return State(TAKEN, f"from {done.source}") if done.source else State(DONE, seconds=done.seconds)
    if failed := record.failed.get(position):
        return State(FAILED, f"failed: {failed.error}")
    return State(TO_DO, f"was skipped, as it needs step {record.skipped[position].needs + 1}")


def _taken_over(scheduler: AbstractBaseScheduler, events: list[AnyEvent]) -> dict[int, State]:
    """Return the states of the steps of a fork."""
    source = str(OmegaConf.select(scheduler.cfg, "fork"))
    return {
        verdict.step.position: State(TAKEN, f"from {source}") if verdict.done else State(TO_DO, verdict.reason)
        for verdict in foresee(scheduler, events)
    }


def _refuse_running(folder: Path) -> None:
    if is_held(folder):
        owner = read_owner(folder / LOCK_FILE) or f"a process that did not write itself into {folder / LOCK_FILE}"
        msg = f"Run {folder.name} is running: {owner}. `mml status {folder.name}` shows where it is."
        raise RunLockedError(msg)
