"""What would become of each step of a run: told from its plan and, for one to be continued or forked, from records."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from omegaconf import OmegaConf

from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.drift_takeover import foresee
from mml.core.scripts.drift_watch import data_digests
from mml.core.scripts.exceptions import RunLockedError
from mml.core.scripts.journal import JOURNAL_FILE, AnyEvent, Planned, RunRecord, read_events
from mml.core.scripts.run_course import refuse_misfit
from mml.core.scripts.run_driver import recall_start
from mml.core.scripts.run_folder import find_run_folder
from mml.core.scripts.run_lock import LOCK_FILE, is_held, read_owner
from mml.core.scripts.run_steps import extend_plan
from mml.core.scripts.schedule import Step, check_same_plan, refuse_cycles
from mml.plan_record import DONE, FAILED, TAKEN, TO_DO


class State(NamedTuple):
    """What would become of a step.

    Attributes:
        name: one of `plan_record.SIGNS`.
        reason: why, empty where nothing is to be said.
        seconds: that it took, None for a step that is not done.
    """

    name: str = TO_DO
    reason: str = ""
    seconds: float | None = None


class Foreseen(NamedTuple):
    """The steps of a run and what would become of them.

    Attributes:
        steps: the whole plan, as far as it is known.
        states: position -> state, of steps about which more is known than that they would run.
        run: name of the run that would go on, empty for a new one.
    """

    steps: list[Step]
    states: Mapping[int, State] = {}
    run: str = ""


def foreseen_steps(scheduler: AbstractBaseScheduler) -> Foreseen:
    """Plan, and find out what would become of each step. Nothing is written.

    Raises:
        MMLMisconfigurationException: `mml` would refuse the run, too.
        RunLockedError: the run to continue is running.
        JournalError: a journal that is needed is damaged.
    """
    if scheduler.records_run and scheduler.continue_status:
        return _continued(scheduler)
    steps = scheduler.plan()
    if not scheduler.records_run or not scheduler.cfg.get("fork"):
        return Foreseen(steps)
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


def _continued(scheduler: AbstractBaseScheduler) -> Foreseen:
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
