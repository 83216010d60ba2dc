"""What would become of each step of a run: of a new one, all would run; of others, their records say more."""

from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.plan_record import Foreseen


def foreseen_steps(scheduler: AbstractBaseScheduler) -> Foreseen:
    """Plan, and find out what would become of each step. Nothing is written.

    Raises:
        MMLMisconfigurationException: `mml` would refuse the run, too.
        RunLockedError: the run to continue is running.
        JournalError: a journal that is needed is damaged.
    """
    if scheduler.records_run and (scheduler.continue_status or scheduler.cfg.get("fork")):
        from mml.plan_recorded import continued, forked  # loads all that a run goes on with

        return continued(scheduler) if scheduler.continue_status else forked(scheduler)
    return Foreseen(scheduler.plan())
