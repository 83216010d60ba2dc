"""What is told of a worker process that died: who, of what, doing what, what helps, and the end of its log."""

import signal
from collections.abc import Sequence
from pathlib import Path

from mml.core.scripts.exceptions import Interrupted, RunnerError
from mml.core.scripts.machine import memory_kills
from mml.core.scripts.process_deaths import likely_cause, signal_name
from mml.core.scripts.run_files import LOG_FILE, WORKERS_FOLDER
from mml.core.scripts.worker_lines import last_lines
from mml.report.texts import count_text
from mml.runners.base import Report, Work
from mml.runners.local_process import WorkerProcess
from mml.runners.transport import failed_report, lost_report

_LINES = 10
_FEWER = (
    "let fewer steps run at once with runner.workers, say what each needs with runner.memory, or let them need less, "
    "e.g. by sampling.batch_size"
)
_CRASH = "A library crashed; the log says where. `mml doctor` looks for libraries that do not fit to one another."


class Coroner:
    """Finds out why workers of a run died.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kills = memory_kills()

    def report(self, worker: WorkerProcess, work: Work) -> Report:
        """Bury a worker that ended during an attempt, and return the report of that."""
        code, said = worker.bury()
        if worker.interrupted and code in (-signal.SIGTERM, 0, 1):
            return failed_report(work, Interrupted(signal.SIGTERM), worker.name)
        name = worker.name
        lines = last_lines(self._folder, name, _LINES) or said[-_LINES:]
        if code >= 0 and not worker.ready:
            what = f"Worker {name} could not be started: it ended with exit code {code} before it took any work."
            return failed_report(work, RunnerError(what + self._shown(name, lines)), name, misfit=True)
        return lost_report(work, self._what(name, work, code) + self._shown(name, lines), name)

    def _what(self, name: str, work: Work, code: int) -> str:
        if code >= 0:
            return (
                f"Worker {name} ended itself with exit code {code} during {work}, without a word to mml: code of the "
                "step, or a library, leaves the process."
            )
        cause = likely_cause(-code, fewer=_FEWER, crash=_CRASH)
        if code == -signal.SIGKILL and (kills := memory_kills()) > self._kills:
            times = count_text(kills - self._kills, "time")
            cause = f"Memory ran out, for which the kernel killed a process {times} since the run began: {_FEWER}."
        return f"Worker {name} was killed by {signal_name(-code)} during {work}. {cause}"

    def _shown(self, name: str, lines: Sequence[str]) -> str:
        if not lines:
            return " It printed nothing."
        log = self._folder / WORKERS_FOLDER / name / LOG_FILE
        where = f", {log}" if log.exists() else ""
        return "\n".join([f"\nThe last lines of its log{where}:", *(f"  {line}" for line in lines)])
