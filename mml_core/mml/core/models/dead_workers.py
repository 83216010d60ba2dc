"""Why a process that loads images died, as far as its signal and the machine tell, and what helps."""

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mml.report.tables import count_text, size_text

_DEAD = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? (?P<pids>[\d, ]+)\) "
    r"(?:is killed by signal: (?P<signal>[^.]+)|exited unexpectedly(?: with exit code (?P<code>\d+))?)"
)
_SHARED_MEMORY = Path("/dev/shm")
_CGROUPS = Path("/sys/fs/cgroup")
_FEWER = "use a smaller sampling.num_workers (0: none) or sampling.batch_size"
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)


def dead_worker(error: BaseException) -> str | None:
    """Return what to tell of an error of a data loader whose worker died, None for other errors."""
    match = _DEAD.search(str(error))
    if match is None:
        return None
    what = f"A process that loads images (pid {match['pids']})"
    code = int(match["code"]) if match["code"] else None
    signum = _signal_named(match["signal"]) if match["signal"] else None
    if signum is None and code is None:
        code = next((code for code in _exit_codes(error) if code), None)
    if code is not None and code < 0:
        signum = -code
    if signum is not None:
        return f"{what} was killed by {_name(signum)}. {_cause(signum)}"
    ended = "ended without a word" if code is None else f"ended itself with exit code {code}"
    return f"{what} {ended}. With sampling.num_workers=0 its error is shown; if there is none then, {_FEWER}."


def _signal_named(text: str) -> int | None:
    return next((int(signum) for signum in signal.valid_signals() if signal.strsignal(signum) == text.strip()), None)


def _name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:  # real-time signals between the first and the last have none
        return f"signal {signum}"


def _exit_codes(error: BaseException) -> Iterator[int | None]:
    """Yield the exit codes of the workers that the data loader found dead, which its message does not name."""
    trace = error.__traceback__
    while trace is not None:
        workers: Any = trace.tb_frame.f_locals.get("failed_workers", ())
        yield from (getattr(worker, "exitcode", None) for worker in workers)
        trace = trace.tb_next


def _cause(signum: int) -> str:
    if signum == signal.SIGKILL:
        return f"The kernel does so when memory runs out{_memory_facts()}: {_FEWER}."
    if signum == signal.SIGBUS:
        return (
            f"That is what happens when shared memory is full{_shared_facts()}: make it larger (for containers, e.g. "
            f"docker run --shm-size=8g), or {_FEWER}."
        )
    if signum in _CRASHES:
        return (
            "A library crashed, mostly one that reads images, or a torch that does not fit to it: `mml doctor` looks "
            "for such, and with sampling.num_workers=0 the crash shows where it is."
        )
    return "Somebody or something outside of mml sent that signal."


def _shared_facts() -> str:
    try:
        usage = shutil.disk_usage(_SHARED_MEMORY)
    except OSError:
        return ""
    return f" ({_SHARED_MEMORY} holds {size_text(usage.total)}, {size_text(usage.free)} of them free now)"


def _memory_facts() -> str:
    """Return what the control group, e.g. of a container or a Slurm job, says of memory."""
    facts: list[str] = []
    for folder in _own_groups():
        if (kills := _kills(folder)) and not facts:
            facts.append(f"it did so {count_text(kills, 'time')} here")
        if (limit := _first_word(folder / "memory.max")).isdigit():
            facts.append(f"the limit is {size_text(int(limit))}")
            break
    return f" ({', '.join(facts)})" if facts else ""


def _own_groups() -> Iterator[Path]:
    """Yield the folder of this process's control group and those above it."""
    inside = next((line[3:] for line in _lines(Path("/proc/self/cgroup")) if line.startswith("0::")), "/")
    folder = _CGROUPS / inside.strip("/")
    yield from (group for group in (folder, *folder.parents) if group.is_relative_to(_CGROUPS))


def _kills(folder: Path) -> int:
    counts = dict(line.split(" ", 1) for line in _lines(folder / "memory.events") if " " in line)
    text = counts.get("oom_kill", "")
    return int(text) if text.isdigit() else 0


def _first_word(path: Path) -> str:
    return next(iter(_lines(path)), "")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
