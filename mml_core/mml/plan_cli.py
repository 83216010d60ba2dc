"""`mml plan ...`: what a command would do, told without doing any of it."""

import argparse
import copy
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, flag_override, open_dict

from mml.config_loading import CONFIG_NAME, MMLHydra
from mml.continuing import CONTINUE
from mml.core.scripts.environment import load_env
from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.redaction import redacted
from mml.core.scripts.run_failure import encodable
from mml.hydra_app import (
    MULTIRUN,
    VERBS,
    make_scheduler,
    opened,
    parse_flags,
    refuse_idle_space,
)
from mml.plan_making import PlanMaker
from mml.plan_record import Plan, Totals
from mml.plan_slots import totals_of
from mml.plan_words import own_flags, read_words

# Flags of Hydra that ask for something else than a run.
_NOT_A_RUN = {"cfg": "--cfg", "info": "--info", "hydra_help": "--hydra-help", "shell_completion": "-sc"}


def run_plan(words: Sequence[str]) -> int:
    """Carry out the words after `mml plan` and return the exit code.

    Raises:
        MMLMisconfigurationException: what they ask for can't be done, as without `plan`.
    """
    given, rest = read_words(words)
    if not rest:
        return 0
    target = _target(given.out)
    flags = _read_flags(rest)
    load_env()
    with opened(flags) as hydra:
        title = encodable(shlex.join(["mml", *redacted(rest)]))
        _Planning(hydra, flags, title).show(given, target)
    return 0


def _target(text: str | None) -> Path | None:
    """Return the file to write, None for none; loads what writes files only when it is wanted."""
    if text is None:
        return None
    from mml.plan_files import check_target

    return check_target(text)


def _read_flags(words: Sequence[str]) -> argparse.Namespace:
    """Return Hydra's flags and the overrides of the command to plan.

    Raises:
        MMLMisconfigurationException: a flag is not known, or asks for something that has no plan.
    """
    if words[0] in VERBS and words[0] != CONTINUE:
        msg = f"`mml {words[0]}` has no plan: it makes no run. Plan a mode, e.g. mml plan train task=digits."
        raise MMLMisconfigurationException(msg)
    flags = parse_flags(words, own_flags())
    for name, flag in _NOT_A_RUN.items():
        if getattr(flags, name):
            msg = f"{flag} does not go with `mml plan`: it starts no run. Leave one of them out."
            raise MMLMisconfigurationException(msg)
    return flags


class _Planning:
    """Makes and shows the plan of a command, or those of the jobs of a sweep."""

    def __init__(self, hydra: MMLHydra, flags: argparse.Namespace, title: str) -> None:
        self._hydra, self._title = hydra, title
        self._name: str = flags.config_name or CONFIG_NAME
        self._overrides: list[str] = flags.overrides
        self._sweeps = bool(flags.multirun) or MULTIRUN in flags.overrides
        self._maker = PlanMaker()

    def show(self, given: argparse.Namespace, target: Path | None) -> None:
        """Print what was asked for, and write the file."""
        if not self._sweeps:
            cfg = self._composed(self._overrides)
            self._sweeps = cfg.hydra.mode == RunMode.MULTIRUN
            if not self._sweeps:
                refuse_idle_space(cfg)
                plan = self._plan(cfg, self._title)
                return _put_out(plan, totals_of(plan), given, target)
        return self._show_jobs(given, target)

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        return self._hydra.compose_config(self._name, list(overrides), RunMode.RUN)

    def _plan(self, cfg: DictConfig, title: str, job: int | None = None) -> Plan:
        """Return the plan of a config, which Hydra knows as that of this process meanwhile.

        Args:
            cfg: with Hydra's part, in which that is entered which Hydra enters when it starts a job.
            title: of the plan.
            job: number of a job of a sweep.
        """
        with flag_override(cfg, ["readonly", "struct"], [False, False]):
            cfg.hydra.mode = RunMode.RUN
            if job is not None:
                cfg.hydra.job.id = cfg.hydra.job.num = job
        HydraConfig.instance().set_config(cfg)  # references to it may be in the name of the folder
        folder = cfg.hydra.run.dir if job is None else cfg.hydra.sweep.dir
        with flag_override(cfg.hydra, ["readonly", "struct"], [False, False]):
            cfg.hydra.runtime.output_dir = str(Path(folder).absolute())
        HydraConfig.instance().set_config(cfg)
        own = copy.deepcopy(cfg)
        with flag_override(own, "readonly", False), open_dict(own):
            del own["hydra"]
        return self._maker.make(make_scheduler(own), title)

    def _show_jobs(self, given: argparse.Namespace, target: Path | None) -> None:
        from mml.plan_jobs import MOST_JOBS, jobs_of, show_jobs

        found = jobs_of(self._hydra, self._name, self._overrides)
        jobs = []
        for number, overrides in enumerate(found if given.all or given.json else found[:MOST_JOBS]):
            plan = self._plan(self._composed(overrides), f"{self._title} (job {number})", number)
            jobs.append((overrides, plan, totals_of(plan)))
        if given.json:
            from mml.plan_files import jobs_text

            sys.stdout.write(jobs_text([(plan, totals) for _, plan, totals in jobs]))
            return
        show_jobs(self._title, jobs, len(found))
        for _, plan, totals in jobs[:1]:
            _put_out(plan, totals, given, target)
        return


def _put_out(plan: Plan, totals: Totals, given: argparse.Namespace, target: Path | None) -> None:
    """Print a plan, and write it to a file if one is named."""
    if given.json:
        from mml.plan_files import json_text

        sys.stdout.write(json_text(plan, totals))
    else:
        from mml.plan_table import show_plan

        show_plan(plan, totals, every=given.all)
    if target is not None:
        from mml.plan_files import write_plan

        write_plan(target, plan, totals, every=given.all)
