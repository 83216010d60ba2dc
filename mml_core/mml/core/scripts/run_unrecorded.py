"""Runs that leave no trace on disk, for modes that only look: they start without what a record needs."""

import logging
from typing import Any

from omegaconf import OmegaConf

from mml.core.scripts.exceptions import UnknownNameError
from mml.core.scripts.journal import FINISHING, PREPARATION
from mml.core.scripts.run_log import run_logging
from mml.core.scripts.run_steps import Scheduler, begin_hook, execute_step
from mml.core.scripts.schedule import Step


def run_unrecorded(scheduler: Scheduler, steps: list[Step]) -> Any:
    """Run a plan and return the scheduler's return value."""
    with run_logging(None, log_level(scheduler), scheduler.progress.console), scheduler.progress:
        begin_hook(scheduler, PREPARATION)
        scheduler.after_preparation_hook()
        while steps:
            for step in steps:
                execute_step(scheduler, step)
            steps = scheduler.steps_from(steps[-1].position + 1)
        begin_hook(scheduler, FINISHING)
        scheduler.before_finishing_hook()
    scheduler.report()
    return scheduler.return_value


def log_level(scheduler: Scheduler) -> str:
    """Return the level that `logging.level` names.

    Raises:
        UnknownNameError: there is no such level.
    """
    level = str(OmegaConf.select(scheduler.cfg, "logging.level", default="INFO")).upper()
    if level not in logging.getLevelNamesMapping():
        raise UnknownNameError(level, kind="logging.level", known=logging.getLevelNamesMapping())
    return level
