"""What a job asks Slurm for: the keys of `runner` and the resources of a step as options of sbatch. Pure values."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.resources import Resources

# Options that decide how mml finds its jobs and hears of them.
_OWN = ("array", "comment", "dependency", "error", "job-name", "open-mode", "output", "signal", "requeue", "wait")
_NAMED = {
    "partition": "partition",
    "time": "time_limit",
    "account": "account",
    "qos": "qos",
    "constraint": "constraint",
}
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")
_UNLIMITED = ("infinite", "unlimited", "-1")


class SlurmOptions(NamedTuple):
    """What all jobs of a run ask for.

    Attributes:
        partition: name, or several with commas between; None: the default of the cluster. As the following.
        time_limit: minutes, or Slurm's text, e.g. `1-12:00:00`.
        account: whose time is used.
        qos: quality of service.
        constraint: features of machines.
        extra: any other option of sbatch -> value.
        setup: shell lines before the step.
        python: interpreter on the machines; None: that of the driver.
        array_parallelism: elements of an array that run at once.
        signal_delay_s: seconds before the time limit at which a training is asked to write a checkpoint.
    """

    partition: str | None = None
    time_limit: str | float | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    extra: Mapping[str, Any] = {}
    setup: Sequence[str] = ()
    python: str | None = None
    array_parallelism: int = 256
    signal_delay_s: int = 90


def check_options(options: SlurmOptions) -> None:
    """Refuse options that can't be given to sbatch.

    Raises:
        MMLMisconfigurationException: names the key, the value and the fix.
    """
    time_minutes(options.time_limit)
    for name in options.extra:
        key = plain_name(name)
        if key in _OWN:
            msg = f"runner.extra can't set --{key}, which mml needs to find its jobs. Leave it out."
            raise MMLMisconfigurationException(msg)
        if key in _NAMED:
            msg = f"runner.extra.{name} has a key of its own: set runner.{_NAMED[key]} instead."
            raise MMLMisconfigurationException(msg)
    for key, least in (("array_parallelism", 1), ("signal_delay_s", 0)):
        value = getattr(options, key)
        if type(value) is not int or value < least:
            msg = f"runner.{key}={value} can't be: give a whole number from {least} on."
            raise MMLMisconfigurationException(msg)


def plain_name(option: str) -> str:
    """Return the name of an option of sbatch without its dashes in front, and with dashes between its words."""
    return str(option).lstrip("-").replace("_", "-")


def time_minutes(limit: str | float | None) -> float | None:
    """Return a time limit in minutes; None when there is none.

    Args:
        limit: minutes, or one of Slurm's forms: `90`, `90:00`, `1:30:00`, `1-12`, `1-12:30`, `1-12:30:00`, `infinite`.

    Raises:
        MMLMisconfigurationException: it is nothing of the kind.
    """
    if limit is None or (isinstance(limit, str) and limit.strip().lower() in _UNLIMITED):
        return None
    if isinstance(limit, int | float) and not isinstance(limit, bool) and limit > 0 and math.isfinite(limit):
        return float(limit)
    if isinstance(limit, str) and (match := _TIME.fullmatch(limit.strip())) and (minutes := _minutes(match)):
        return minutes
    msg = (
        f"runner.time_limit={limit} can't be read as a time: give minutes, e.g. 90, or text as 1:30:00 (hours) or "
        "1-12:00:00 (days-hours), in quotes in a YAML file."
    )
    raise MMLMisconfigurationException(msg)


def _minutes(match: re.Match[str]) -> float:
    parts = [int(part) for part in match["parts"].split(":")]
    if match["days"] is not None:
        hours, minutes, seconds = [*parts, 0, 0][:3]
        return (int(match["days"]) * 24 + hours) * 60 + minutes + seconds / 60
    if len(parts) == 3:
        return parts[0] * 60 + parts[1] + parts[2] / 60
    return parts[0] + (parts[1] / 60 if len(parts) == 2 else 0)


def sbatch_options(options: SlurmOptions, resources: Resources) -> dict[str, Any]:
    """Return what a job asks for as options of sbatch: name without dashes -> value, True for one without a value."""
    minutes = time_minutes(options.time_limit)
    time = math.ceil(minutes) if minutes and not isinstance(options.time_limit, str) else options.time_limit
    asked = {
        "partition": options.partition,
        "time": time,
        "account": options.account,
        "qos": options.qos,
        "constraint": options.constraint,
        "cpus-per-task": None if resources.cpus is None else math.ceil(resources.cpus),
        "gpus-per-node": None if not resources.gpus else math.ceil(resources.gpus),
        "mem": None if resources.memory is None else f"{max(1, math.ceil(resources.memory / 2**20))}M",
        **{plain_name(name): value for name, value in options.extra.items()},
    }
    return {name: value for name, value in asked.items() if value is not None and value is not False}


def as_words(asked: Mapping[str, Any]) -> list[str]:
    """Return options as words of a command line."""
    return [f"--{name}" if value is True else f"--{name}={value}" for name, value in asked.items()]


def signal_seconds(options: SlurmOptions) -> int:
    """Return how long before its time limit a job is told; a third of it at most, or it would be told at once."""
    minutes = time_minutes(options.time_limit)
    return options.signal_delay_s if minutes is None else min(options.signal_delay_s, int(minutes * 20))


def thread_lines(resources: Resources) -> list[str]:
    """Return shell lines that let libraries use the cores that a job has got, not those of the whole machine."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    if resources.cpus is not None:
        return [f"export {name}={max(1, int(resources.cpus))}" for name in names]
    return [f'export {name}="${{{name}:-${{SLURM_CPUS_ON_NODE:-1}}}}"' for name in names]
