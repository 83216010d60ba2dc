"""The jobs of `mml plan --multirun`: those that Hydra would start, as far as they are known before."""

from collections.abc import Callable, Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mml.config_loading import MMLHydra
from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.plan_record import Plan, Totals
from mml.report.tables import Column, as_table, count_text, seconds_text, show, size_text

MOST_JOBS = 20
_BASIC = f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"
_COLUMNS = (
    Column("job", lambda row: str(row[0]), number=True),
    Column("overrides", lambda row: row[1], fold=True),
    Column("steps", lambda row: str(row[2].remaining), number=True),
    Column("time", lambda row: _known(row[2].span, row[2].untimed, seconds_text), number=True),
    Column("disk", lambda row: _known(row[2].size, row[2].unsized, size_text), number=True),
)
Job = tuple[list[str], Plan, Totals]


def jobs_of(hydra: MMLHydra, name: str, overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of each job of a sweep.

    Raises:
        MMLMisconfigurationException: which jobs there are is known only while they run.
    """
    cfg = hydra.compose_config(name, list(overrides), RunMode.MULTIRUN)
    if OmegaConf.select(cfg, "hydra.sweeper._target_") != _BASIC:
        hpo = cfg.hydra.runtime.choices.get("hpo")
        msg = (
            f"With hpo={hpo} the values to try are picked while the jobs run, so there is no plan of all of them. Plan "
            "one job: leave --multirun out, and give each swept key one value."
        )
        raise MMLMisconfigurationException(msg)
    params: DictConfig = OmegaConf.select(cfg, "hydra.sweeper.params") or OmegaConf.create({})
    swept = [f"{key!s}={value}" for key, value in params.items()]
    given: Any = OmegaConf.to_container(cfg.hydra.overrides.task, resolve=False)  # each job has values of its own
    parsed = OverridesParser.create().parse_overrides([*swept, *given])
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    return jobs


def show_jobs(title: str, jobs: Sequence[Job], count: int) -> None:
    """Print a line for each job that was planned, and what all of them come to.

    Args:
        title: of the sweep.
        jobs: that were planned.
        count: number of all jobs.
    """
    first = f", the first {len(jobs)} of them" if len(jobs) < count else ""
    varied = _varied([overrides for overrides, _, _ in jobs])
    rows = [
        (number, " ".join(given), totals)
        for number, (given, (_, _, totals)) in enumerate(zip(varied, jobs, strict=True))
    ]
    show(as_table(f"{title}: {count_text(count, 'job')}{first}", _COLUMNS, rows))
    if jobs:
        show(_sums([totals for _, _, totals in jobs], count / len(jobs)), "")


def _sums(jobs: Sequence[Totals], scale: float) -> str:
    """Return what all jobs come to, so many times what those that were planned do."""
    least = "at least " if any(totals.untimed for totals in jobs) else ""
    took, disk = _sum([totals.span for totals in jobs]), _sum([totals.size for totals in jobs])
    time = "unknown" if took is None else f"{least}{seconds_text(took * scale)}"
    size = "unknown" if disk is None else size_text(int(disk * scale))
    return f"All jobs, one after the other: time {time}, disk {size}."


def _sum(values: Sequence[float | None]) -> float | None:
    """Return the sum of values, None if one of them is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _varied(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the overrides of jobs without those that all of them have."""
    common = set.intersection(*(set(overrides) for overrides in jobs)) if len(jobs) > 1 else set()
    return [[override for override in overrides if override not in common] for overrides in jobs]


def _known(value: Any, unknown: int, text: Callable[[Any], str]) -> str:
    return "?" if value is None else f"{'>' if unknown else '~'} {text(value)}"
