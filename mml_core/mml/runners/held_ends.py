"""Ends of pipes that tell others, when they are closed, that this process is dead: a fork of it lets go of them, as it
may live longer.
"""

import os
from contextlib import suppress

_held: set[int] = set()


def hold(end: int) -> None:
    """Keep the end of a pipe open as long as this process lives."""
    _held.add(end)


def let_go(end: int) -> None:
    """Close an end that is held."""
    _held.discard(end)
    os.close(end)


def _forget() -> None:
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


os.register_at_fork(after_in_child=_forget)
