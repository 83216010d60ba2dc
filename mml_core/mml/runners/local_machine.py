"""What this machine has for steps that run side by side. torch is not asked: it takes seconds, and binds to GPUs."""

import logging
import re
import shutil
import subprocess
from collections.abc import Mapping
from itertools import takewhile
from typing import NamedTuple

from mml.core.scripts.machine import granted_cores, granted_memory
from mml.report.texts import count_text, size_text

GPUS_VARIABLE = "CUDA_VISIBLE_DEVICES"
_LISTED = re.compile(r"^(?P<part>\s*)(?:GPU|MIG)\b.*\(UUID: (?P<id>[^)\s]+)\)\s*$")
_PATIENCE = 30  # seconds; without its daemon, nvidia-smi wakes every GPU up first
logger = logging.getLogger(__name__)


class Machine(NamedTuple):
    """What steps may use.

    Attributes:
        gpus: as `CUDA_VISIBLE_DEVICES` names them.
        cores: those that the system and the container grant.
        memory: bytes, likewise.
        source: where the GPUs are known from.
    """

    gpus: tuple[str, ...]
    cores: int
    memory: int
    source: str = ""

    def __str__(self) -> str:
        gpus = f"{self.gpus_text}, " if self.gpus else ""
        return f"{gpus}{count_text(self.cores, 'core')} and {size_text(self.memory)} of memory"

    @property
    def slots(self) -> int:
        """How many steps at a time suit it."""
        return len(self.gpus) or self.cores

    @property
    def gpus_text(self) -> str:
        """The GPUs by name, e.g. `2 GPUs (0, 1 by CUDA_VISIBLE_DEVICES)`."""
        names = f"{', '.join(self.gpus)} " if self.gpus else ""
        return f"{count_text(len(self.gpus), 'GPU')} ({names}by {self.source})"


def this_machine(environment: Mapping[str, str]) -> Machine:
    """Return what this machine has, as the environment restricts it."""
    gpus, source = _gpus(environment)
    return Machine(gpus, granted_cores(), granted_memory(), source)


def _gpus(environment: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    value = environment.get(GPUS_VARIABLE)
    if value is not None:
        # CUDA ignores what follows a name that is none, such as -1.
        names = takewhile(_is_device, (name.strip() for name in value.split(",")))
        return tuple(dict.fromkeys(names)), GPUS_VARIABLE
    return tuple(_listed_gpus()), "nvidia-smi"


def _is_device(name: str) -> bool:
    return name.isdecimal() or name.startswith(("GPU-", "MIG-"))


def _listed_gpus() -> list[str]:
    """Return the identifiers of all GPUs; of one that is divided, those of its parts."""
    if (program := shutil.which("nvidia-smi")) is None:
        return []
    try:
        done = subprocess.run(
            [program, "-L"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("nvidia-smi does not tell which GPUs there are, so that steps run without: %s", error)
        return []
    found: list[str] = []
    whole = False
    for match in filter(None, map(_LISTED.match, done.stdout.splitlines())):
        if match["part"] and whole:
            found.pop()
        whole = not match["part"]
        found.append(match["id"])
    return found
