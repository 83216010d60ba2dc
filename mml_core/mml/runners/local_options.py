"""What users say of the `local` runner in `runner.*`, checked against the machine that they have."""

import logging
import os
from typing import Any

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.resources import read_resources
from mml.report.texts import count_text
from mml.runners.local_machine import Machine

THREADS = "OMP_NUM_THREADS"
_PART_OF_MEMORY = 0.9
_MOST_PER_CORE, _MOST = 16, 64
logger = logging.getLogger(__name__)


def checked_workers(workers: Any, machine: Machine) -> int | None:
    """Return how many steps may run at a time, None for as many as the machine suggests.

    Raises:
        MMLMisconfigurationException: no number, or one that can only be a mistake.
    """
    if workers is None:
        return None
    if type(workers) is not int or workers < 1:
        msg = (
            f"runner.workers={workers} can't be done: give a whole number from 1 on, or null for one step per GPU, "
            "without GPUs one per core."
        )
        raise MMLMisconfigurationException(msg)
    best = machine.slots
    have = machine.gpus_text if machine.gpus else count_text(machine.cores, "core")
    if workers > max(_MOST, _MOST_PER_CORE * machine.cores):
        msg = f"runner.workers={workers} is too much for {have}: give at most {best}, or null for just that."
        raise MMLMisconfigurationException(msg)
    if workers > best:
        hint = "a step has a GPU of its own unless it says otherwise, e.g. runner.gpus=0.5" if machine.gpus else ""
        why = hint or "steps that compute get in each other's way"
        logger.warning("runner.workers=%s for %s: %s.", workers, have, why)
    return workers


def checked_memory(limit: Any, machine: Machine) -> int:
    """Return how many bytes steps at a time may say that they need.

    Raises:
        MMLMisconfigurationException: no amount of memory.
    """
    if limit is None:
        return int(machine.memory * _PART_OF_MEMORY)
    given = read_resources({"memory": limit}, "runner.memory_limit").memory or 0
    if given > machine.memory:
        logger.warning("runner.memory_limit=%s is more than this machine grants: %s.", limit, machine)
    return given


def own_threads(steps: int, machine: Machine) -> int | None:
    """Return with how many threads the user lets everything compute, None when the environment does not say.

    Args:
        steps: how many run at a time.
        machine: what they run on.
    """
    first = os.environ.get(THREADS, "").partition(",")[0].strip()
    if not first.isdecimal() or not int(first):
        return None
    if int(first) * steps > max(machine.cores, steps):
        logger.warning(
            "%s=%s holds for each of up to %s steps at a time, on %s: they get in each other's way.",
            *(THREADS, first, steps, count_text(machine.cores, "core")),
        )
    return int(first)
