"""What a step needs of a machine: cores, GPUs and memory, as plan and configuration say it. Pure values, no disk."""

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError

KINDS = ("cpus", "gpus", "memory")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"(?i)\s*(\d+(?:\.\d+)?)\s*([kmgt]i?|)b?\s*")


class Resources(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a step needs; None where nothing is said.

    Attributes:
        cpus: cores, so many threads it may use.
        gpus: GPUs; a part of 1 for a step that shares one.
        memory: bytes.
    """

    cpus: float | None = None
    gpus: float | None = None
    memory: int | None = None

    def over(self, other: "Resources") -> "Resources":
        """Return these, with what they leave open taken from `other`."""
        return Resources(
            cpus=other.cpus if self.cpus is None else self.cpus,
            gpus=other.gpus if self.gpus is None else self.gpus,
            memory=other.memory if self.memory is None else self.memory,
        )

    def __str__(self) -> str:
        texts = [] if self.cpus is None else [f"{self.cpus:g} CPUs"]
        texts += [] if self.gpus is None else [f"{self.gpus:g} GPUs"]
        texts += [] if self.memory is None else [f"{self.memory / 1e9:.3g} GB"]
        return ", ".join(texts)


NOTHING = Resources()


def read_resources(given: Any, what: str) -> Resources:
    """Return resources as a plan or a configuration gives them, e.g. `{"cpus": 2, "memory": "8GB"}`.

    Args:
        given: kind -> amount; memory in bytes, or as text with a unit (KB, MB, GB, TB; KiB, MiB, GiB, TiB).
        what: whose they are, for the message.

    Raises:
        MMLMisconfigurationException: an unknown kind, or what can't be an amount; names it.
    """
    if given is None or isinstance(given, Resources):
        return given or NOTHING
    if not isinstance(given, Mapping):
        msg = f"Resources of {what} can't be {given!r}: give amounts by kind, e.g. {{cpus: 2, gpus: 1, memory: 8GB}}."
        raise MMLMisconfigurationException(msg)
    for kind in given:
        if kind not in KINDS:
            raise UnknownNameError(str(kind), kind=f"resource of {what}", known=KINDS)
    amounts = {kind: _amount(kind, value, what) for kind, value in given.items() if value is not None}
    memory = amounts.pop("memory", None)
    return Resources(**amounts, memory=None if memory is None else int(memory))


def _amount(kind: str, value: Any, what: str) -> float:
    if isinstance(value, str) and kind == "memory" and (match := _SIZE.fullmatch(value)):
        return float(match[1]) * _UNITS[match[2].lower()]
    least = 0 if kind == "gpus" else math.ulp(0)
    if type(value) in (int, float) and math.isfinite(value) and value >= least and (kind != "gpus" or _divides(value)):
        return float(value)
    allowed = {
        "cpus": "a number of cores above 0",
        "gpus": "a whole number of GPUs, or a part of one between 0 and 1",
        "memory": "a number of bytes, or text with a unit as 8GB or 512MiB",
    }
    msg = f"{kind}={value} can't be done for {what}: give {allowed[kind]}."
    raise MMLMisconfigurationException(msg)


def _divides(gpus: float) -> bool:
    return gpus <= 1 or gpus == int(gpus)
