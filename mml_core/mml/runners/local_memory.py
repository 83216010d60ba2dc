"""Whether there is memory left for one more step, whatever the running ones said that they need."""

import time

from mml.core.scripts.machine import free_memory

# What a process with torch and a small model takes.
LEAST = 10**9
_FRESH = 0.1  # seconds


class MemoryGate:
    """Looks how much memory is free, not more often than it changes."""

    def __init__(self) -> None:
        self._free: int | None = None
        self._looked = float("-inf")

    def open_for(self, memory: int | None, promised: int) -> bool:
        """Tell whether a step may begin beside others.

        Args:
            memory: bytes that it needs, as far as it says.
            promised: bytes that others will take which have only just begun.
        """
        now = time.monotonic()
        if now - self._looked > _FRESH:
            self._free, self._looked = free_memory(), now
        return self._free is None or self._free - promised >= max(memory or 0, LEAST)
