"""Why a process that loads images died, as far as its signal and the machine tell, and what helps."""

import re
import signal
from collections.abc import Iterator
from typing import Any

from mml.core.scripts.process_deaths import likely_cause, signal_name

_DEAD = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? (?P<pids>[\d, ]+)\) "
    r"(?:is killed by signal: (?P<signal>[^.]+)|exited unexpectedly(?: with exit code (?P<code>\d+))?)"
)
_FEWER = "use a smaller sampling.num_workers (0: none) or sampling.batch_size"
_CRASH = (
    "A library crashed, mostly one that reads images, or a torch that does not fit to it: `mml doctor` looks for such, "
    "and with sampling.num_workers=0 the crash shows where it is."
)


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
        return f"{what} was killed by {signal_name(signum)}. {likely_cause(signum, fewer=_FEWER, crash=_CRASH)}"
    ended = "ended without a word" if code is None else f"ended itself with exit code {code}"
    return f"{what} {ended}. With sampling.num_workers=0 its error is shown; if there is none then, {_FEWER}."


def _signal_named(text: str) -> int | None:
    return next((int(signum) for signum in signal.valid_signals() if signal.strsignal(signum) == text.strip()), None)


def _exit_codes(error: BaseException) -> Iterator[int | None]:
    """Yield the exit codes of the workers that the data loader found dead, which its message does not name."""
    trace = error.__traceback__
    while trace is not None:
        workers: Any = trace.tb_frame.f_locals.get("failed_workers", ())
        yield from (getattr(worker, "exitcode", None) for worker in workers)
        trace = trace.tb_next
