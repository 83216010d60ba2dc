"""From a config to a plan: the scheduler plans, records say what is done, and earlier runs what the rest takes."""

from collections.abc import Iterable, Mapping

from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.notify import read_notify
from mml.core.scripts.resources import Resources
from mml.core.scripts.run_failure import encodable
from mml.core.scripts.run_folder import RUNS_FOLDER, plain_config
from mml.core.scripts.run_place import RunnerPlace
from mml.core.scripts.run_unrecorded import log_level
from mml.core.scripts.schedule import Step
from mml.plan_estimates import Estimates, Present, tasks_of
from mml.plan_history import History, read_history
from mml.plan_place import free_space, refuse_unwritable
from mml.plan_record import Plan, PlannedStep, State
from mml.plan_states import foreseen_steps
from mml.report.texts import count_text, list_text


class PlanMaker:
    """Makes plans; the history of a project is read once for all of them."""

    def __init__(self) -> None:
        self._histories: dict[str, History] = {}

    def make(self, scheduler: AbstractBaseScheduler, title: str) -> Plan:
        """Return the plan of a scheduler.

        Args:
            scheduler: of the run, which has not begun.
            title: of the plan.

        Raises:
            MMLMisconfigurationException: `mml` would refuse the run, too.
            RunLockedError: the run to continue is running.
            JournalError: the journal of the run to continue or to fork is damaged.
        """
        fm, cfg = scheduler.fm, scheduler.cfg
        foreseen = foreseen_steps(scheduler)
        _refuse_as_at_the_start(scheduler)
        place = RunnerPlace(cfg)
        resources = place.resources_of(foreseen.steps)
        history = self._history(scheduler)
        present = Present(
            mode=str(cfg.mode.get("id", "")),
            config=plain_config(cfg) if history.steps else {},  # takes as long as all the rest
            step_config=scheduler.step_config,
            roots=fm.roots,
            project=fm.proj_path.name,
        )
        steps = _planned(foreseen.steps, foreseen.states, resources, scheduler.task_list)
        estimates = Estimates(history, present)
        return Plan(
            title=title,
            steps=[step._replace(estimate=estimates.of(step)) if step.remains else step for step in steps],
            runner=place.name,
            room=place.room,
            folder=str(fm.results_root),
            free=free_space(fm.proj_path),
            notes=tuple(_notes(history)),
            run=foreseen.run,
            recorded=scheduler.records_run,
        )

    def _history(self, scheduler: AbstractBaseScheduler) -> History:
        place = str(scheduler.fm.proj_path)
        if place not in self._histories:
            self._histories[place] = read_history(scheduler.fm.results_root, scheduler.fm.proj_path.name)
        return self._histories[place]


def _refuse_as_at_the_start(scheduler: AbstractBaseScheduler) -> None:
    """Refuse what a run would refuse before its first step.

    Raises:
        MMLMisconfigurationException: a level, a notification or a folder that can't be had.
    """
    log_level(scheduler)
    if scheduler.records_run:
        read_notify(scheduler.cfg)
        refuse_unwritable(scheduler.fm.proj_path / RUNS_FOLDER)


def _planned(
    steps: Iterable[Step], states: Mapping[int, State], resources: Mapping[int, Resources], tasks: Iterable[str]
) -> list[PlannedStep]:
    known = frozenset(tasks)
    return [
        PlannedStep(
            position=step.position,
            record=step.record,
            key=step.key,
            needs=step.needs,
            resources=resources[step.position],
            state=state.name,
            reason=state.reason,
            tasks=tasks_of(step.record.params, known),
            seconds=state.seconds,
        )
        for step in steps
        for state in [states.get(step.position, State())]
    ]


def _notes(history: History) -> list[str]:
    """Return what else a user should know of a plan."""
    notes = []
    if history.unread:
        runs = list_text([encodable(folder.name) for folder in history.unread], most=3)
        notes.append(f"No estimates from {count_text(len(history.unread), 'run')} with a damaged journal: {runs}.")
    if history.left_out:
        notes.append(f"No estimates from {count_text(history.left_out, 'run')} with the largest journals.")
    return notes
