"""Why a process died, as far as its signal and the machine tell."""

import shutil
import signal
from pathlib import Path

from mml.core.scripts.machine import CGROUPS, memory_kills, memory_limit, total_memory
from mml.report.texts import count_text, size_text

_SHARED_MEMORY = Path("/dev/shm")
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)


def signal_name(signum: int) -> str:
    """Return e.g. `SIGKILL`."""
    try:
        return signal.Signals(signum).name
    except ValueError:  # real-time signals between the first and the last have none
        return f"signal {signum}"


def likely_cause(signum: int, *, fewer: str, crash: str) -> str:
    """Return a sentence on why a process gets a signal, and what helps.

    Args:
        signum: of the signal that ended the process.
        fewer: what makes such processes use less memory.
        crash: the sentence for one that crashed.
    """
    if signum == signal.SIGKILL:
        return f"The kernel does so when memory runs out{_memory_facts()}: {fewer}."
    if signum == signal.SIGBUS:
        return (
            f"That is what happens when shared memory is full{_shared_facts()}: make it larger (for containers, e.g. "
            f"docker run --shm-size=8g), or {fewer}."
        )
    if signum in _CRASHES:
        return crash
    return "Somebody or something outside of mml sent that signal."


def _shared_facts() -> str:
    try:
        usage = shutil.disk_usage(_SHARED_MEMORY)
    except OSError:
        return ""
    return f" ({_SHARED_MEMORY} holds {size_text(usage.total)}, {size_text(usage.free)} of them free now)"


def _memory_facts() -> str:
    """Return what the control group, e.g. of a container or a Slurm job, says of memory."""
    kills, limit = memory_kills(CGROUPS), memory_limit(CGROUPS)
    facts = [f"it did so {count_text(kills, 'time')} here"] if kills else []
    facts += [f"the limit is {size_text(limit)}"] if limit is not None and limit < total_memory() else []
    return f" ({', '.join(facts)})" if facts else ""
