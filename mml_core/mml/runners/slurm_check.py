"""Whether Slurm would ever run a job: asked before the first step, and not found out in the queue after hours."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.resources import Resources
from mml.runners.slurm_commands import SlurmRefusedError, ask
from mml.runners.slurm_options import SlurmOptions, as_words, sbatch_options, time_minutes

_GPUS = re.compile(r"(?:^|,)gpu:(?:[^:,()]+:)?(\d+)")
_CROWDED = re.compile(r"(?i)submit limit|job limit|QOSMaxSubmit|AssocMaxSubmit|MaxSubmitJob|too many jobs")
# What sbatch says -> what it means, and the key to change.
_MEANINGS = (
    (r"invalid partition", "there is no such partition, or you may not use it", "runner.partition"),
    (r"invalid account|account/partition", "the account is not valid here", "runner.account"),
    (r"invalid qos", "the quality of service is not valid here", "runner.qos"),
    (r"invalid feature", "no machine has these features", "runner.constraint"),
    (r"time limit|--time", "the time limit is not allowed", "runner.time_limit"),
    (
        r"node configuration|node count|cpu count|memory spec|invalid generic resource|gres",
        "no machine has what it asks for",
        "cpus, gpus or memory of the step",
    ),
    (r"policy|limit", "your account may not submit more, or not jobs of this size, now", "runner.max_jobs"),
    (r"unrecognized option|ambiguous|invalid argument|invalid --", "sbatch does not know an option", "runner.extra"),
)


class Nodes(NamedTuple):
    """Machines of a partition that are alike.

    Attributes:
        partition: its name.
        default: whether jobs that name no partition go there.
        up: whether it takes jobs.
        minutes: longest time of a job, None when unlimited.
        cpus: of each machine.
        memory_mb: of each.
        gpus: of each.
        number: of machines.
    """

    partition: str
    default: bool
    up: bool
    minutes: float | None
    cpus: int
    memory_mb: int
    gpus: int
    number: int

    def has(self, resources: Resources) -> bool:
        """Tell whether one of the machines is enough for a step."""
        wanted = (resources.cpus or 0, resources.gpus or 0, (resources.memory or 0) / 2**20)
        return all(want <= have for want, have in zip(wanted, (self.cpus, self.gpus, self.memory_mb), strict=True))

    def __str__(self) -> str:
        gpus = f", {self.gpus} GPUs" if self.gpus else ""
        return f"{self.partition}: {self.number} x {self.cpus} CPUs, {self.memory_mb * 2**20 / 1e9:.3g} GB{gpus}"


def cluster_nodes() -> list[Nodes]:
    """Return the machines of all partitions, as sinfo tells them.

    Raises:
        SlurmAwayError: Slurm can't be reached.
        SlurmRefusedError: it does not answer.
    """
    lines = ask("sinfo", "-h", "-e", "-o", "%P|%a|%l|%c|%m|%D|%G", seconds=20).splitlines()
    return [_nodes(line.split("|", 6)) for line in lines if line.count("|") >= 6]


def _nodes(fields: Sequence[str]) -> Nodes:
    name, up, limit, cpus, memory, number, gres = fields
    return Nodes(
        name.rstrip("*"),
        name.endswith("*"),
        up == "up",
        _limit(limit),
        _first_number(cpus),
        _first_number(memory),
        sum(int(count) for count in _GPUS.findall(gres)),
        _first_number(number),
    )


def _limit(text: str) -> float | None:
    try:
        return time_minutes(text) if text.count(":") != 1 or "-" in text else time_minutes(f"0:{text}")
    except MMLMisconfigurationException:  # n/a
        return None


def _first_number(text: str) -> int:
    match = re.match(r"\d+", text)
    return int(match[0]) if match else 0


def check_step(options: SlurmOptions, resources: Resources, what: str, cluster: Sequence[Nodes]) -> None:
    """Make sure that Slurm would run a step some time.

    Args:
        options: of all jobs.
        resources: of the step.
        what: the step, for the message.
        cluster: from `cluster_nodes`.

    Raises:
        MMLMisconfigurationException: it would not; says who has what, or what sbatch says.
        SlurmAwayError: Slurm can't be reached.
    """
    if nodes := _wanted_nodes(options, cluster):
        _check_open(nodes)
        _check_time(nodes, options)
        _check_size(nodes, resources, what, cluster)
    _try_submission(options, resources, what)


def _wanted_nodes(options: SlurmOptions, cluster: Sequence[Nodes]) -> list[Nodes]:
    """Return the machines of the partitions that jobs go to; all when nobody knows which.

    Raises:
        UnknownNameError: there is no such partition.
    """
    wanted = [name for name in (options.partition or "").split(",") if name]
    known = {node.partition for node in cluster}
    for name in wanted if cluster else ():
        if name not in known:
            raise UnknownNameError(name, kind="Slurm partition", known=known, fix="Set runner.partition.")
    if wanted:
        return [node for node in cluster if node.partition in wanted]
    return [node for node in cluster if node.default] or list(cluster)


def _check_open(nodes: Sequence[Nodes]) -> None:
    if not any(node.up for node in nodes):
        msg = f"Slurm takes no jobs to partition {_names(nodes)} now: it is down. Set runner.partition."
        raise MMLMisconfigurationException(msg)


def _check_time(nodes: Sequence[Nodes], options: SlurmOptions) -> None:
    asked = time_minutes(options.time_limit)
    limits = [float("inf") if node.minutes is None else node.minutes for node in nodes if node.up]
    if asked is not None and asked > max(limits):
        msg = (
            f"runner.time_limit={options.time_limit} is above what partition {_names(nodes)} allows, {max(limits):g} "
            "minutes. Set less, a training that needs longer goes on in its next job; or set another runner.partition."
        )
        raise MMLMisconfigurationException(msg)


def _names(nodes: Sequence[Nodes]) -> str:
    return ", ".join(sorted({node.partition for node in nodes}))


def _check_size(nodes: Sequence[Nodes], resources: Resources, what: str, cluster: Sequence[Nodes]) -> None:
    if any(node.has(resources) for node in nodes):
        return
    elsewhere = sorted({node.partition for node in cluster if node.up and node.has(resources)})
    fix = f"Set runner.partition={elsewhere[0]}" if elsewhere else "Ask for less"
    msg = (
        f"No machine has what {what} needs, {resources}. They have: {'; '.join(sorted({str(n) for n in nodes}))}. "
        f"{fix}, or set runner.resources.<command>."
    )
    raise MMLMisconfigurationException(msg)


def _try_submission(options: SlurmOptions, resources: Resources, what: str) -> None:
    """Let sbatch say whether it would take such a job; nothing is submitted."""
    words = as_words(sbatch_options(options, resources))
    try:
        ask("sbatch", "--test-only", *words, told="#!/bin/sh\ntrue\n", seconds=30)
    except SlurmRefusedError as error:
        raise refused_submission(error.said, options, what) from error


def refused_submission(said: str, options: SlurmOptions, what: str) -> MMLMisconfigurationException:
    """Return the error for what sbatch said when it refused a job."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("Try ")]
    words = " ".join(re.sub(r"^(sbatch: )?(error: )?", "", line) for line in lines[-2:])
    meaning, key = next(
        ((meaning, key) for pattern, meaning, key in _MEANINGS if re.search(pattern, said, re.IGNORECASE)),
        ("it can't be submitted as it is", "the keys of runner"),
    )
    name = key.removeprefix("runner.")
    value = getattr(options, name, None) if key.startswith("runner.") and name not in ("extra", "max_jobs") else None
    given = f"{key}={value}" if value is not None else key
    msg = f"Slurm refuses a job for {what}: {meaning}. Its own words: {words}. See {given}."
    return MMLMisconfigurationException(msg)


def crowded(said: str) -> bool:
    """Tell whether sbatch refused because too many jobs are in the queue, which ends by itself."""
    return _CROWDED.search(said) is not None
