"""A worker process dies with its driver, however that dies, and all processes that it started with it.

The driver holds the writing end of a pipe, on which it never writes: when the reading end becomes ready, it is dead.
"""

import ctypes
import fcntl
import os
import select
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def follow(driver: int, lifeline: int) -> None:
    """See to it that the process group of this process dies with the driver.

    Args:
        driver: process id of the driver, which is the parent of this process.
        lifeline: the reading end of its pipe.
    """
    if not _kernel_watches(lifeline):
        threading.Thread(target=_watch, args=(lifeline,), name="lifeline", daemon=True).start()
    if sys.platform == "linux":
        # For the case that a process which the driver had forked holds its end of the pipe longer than it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != driver:
        _end_group()


def _kernel_watches(lifeline: int) -> bool:
    """Let the kernel kill the group; no thread can be as quick, least of all beside code that never lets go."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, int(signal.SIGKILL))
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:  # kernels in user space can't
        return False
    # What became ready before the kernel watched is not told.
    if select.select([lifeline], [], [], 0)[0]:
        _end_group()
    return True


def _watch(lifeline: int) -> None:
    select.select([lifeline], [], [])
    _end_group()


def _end_group() -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
