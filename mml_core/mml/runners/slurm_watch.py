"""What became of attempts in Slurm: their reports, and the ends of jobs that left none."""

import logging
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mml.core.scripts.attempts import AttemptFolder
from mml.core.scripts.process_deaths import signal_name
from mml.core.scripts.run_files import REPORT_FILE
from mml.core.scripts.worker_lines import last_lines
from mml.runners.base import Report, SentError, Work
from mml.runners.slurm_commands import QueueEntry, account_of, details_of, own_jobs
from mml.runners.slurm_job import read_report, starts_of, worker_name
from mml.runners.slurm_states import after_advice, ended, endless
from mml.runners.transport import lost_report

logger = logging.getLogger(__name__)

# Seconds that a job is seen as over, before its attempt counts as lost: file systems may be slow to show a report,
# most of all that of one that ended well, and Slurm may start one again whose machine failed.
_SURE = {"FAILED": 1.0, "CANCELLED": 1.0, "TIMEOUT": 1.0, "OUT_OF_MEMORY": 1.0, "COMPLETED": 40.0}
_SURE_OF_OTHERS = 6.0
_LOG_LINES = 8
# As Slurm says that it could not write the output of a job; its machine does not see the folder.
_NO_OUTPUT = "0:53"


@dataclass
class Flight:
    """An attempt that Slurm has.

    Attributes:
        work: the attempt.
        folder: of the attempt.
        job: its number.
        state: as Slurm said last, "" when it knows nothing of it.
        over_since: when it was first seen as over, by the monotonic clock.
        told: the reason for waiting that was told.
    """

    work: Work
    folder: Path
    job: str
    state: str = "PENDING"
    over_since: float | None = None
    told: str = ""

    @property
    def worker(self) -> str:
        """Name of the worker that makes it."""
        return (starts_of(self.folder) or [worker_name(self.job)])[-1]


class Watch:
    """Watches over attempts.

    Args:
        run: the run folder.
        logs: folder of the logs of jobs.

    Attributes:
        flights: name of the attempt -> where it is.
        stopping: whether all were asked to stop.
        ending: numbers of jobs that have reported since then, but may not be over yet.
    """

    def __init__(self, run: Path, logs: Path) -> None:
        self._run, self._logs = run, logs
        self.flights: dict[str, Flight] = {}
        self.stopping = False
        self.ending: list[str] = []
        self._returned: list[Report] = []

    @property
    def doubtful(self) -> bool:
        """Whether jobs seem to be over without a report."""
        return any(flight.over_since is not None for flight in self.flights.values())

    def add(self, work: Work, job: str) -> None:
        """Watch over an attempt, too."""
        self.flights[work.name] = Flight(work, AttemptFolder(self._run, work.name).path, job)

    def give_back(self, works: Iterable[Work]) -> None:
        """Have attempts reported as stopped that were never submitted."""
        self._returned += [_stopped(work, "It was not submitted yet.") for work in works]

    def collect(self) -> list[Report]:
        """Return the reports that are there, each once."""
        found, self._returned = self._returned, []
        for name, flight in list(self.flights.items()):
            if _has_report(flight.folder) and (report := read_report(flight.folder)) is not None:
                del self.flights[name]
                self.ending += [flight.job] * self.stopping
                found.append(report)
            elif not flight.folder.exists():
                del self.flights[name]  # its driver has given it up; the job ends by itself
        return found

    def look(self) -> list[Report]:
        """Ask Slurm for all jobs, and return reports of attempts whose job is over without having left one.

        Raises:
            SlurmAwayError: Slurm can't be reached.
            SlurmRefusedError: it does not answer.
        """
        if not self.flights:
            return []
        entries = own_jobs([flight.job for flight in self.flights.values()], str(self._run))
        over = [flight for flight in self.flights.values() if self._is_over(flight, entries.get(flight.job))]
        # The report may have come since they were looked at last.
        reports = self.collect() if over else []
        for flight in over:
            if self.flights.pop(flight.work.name, None) is not None:
                reports.append(self._without_report(flight, entries.get(flight.job)))
        return reports

    def _is_over(self, flight: Flight, entry: QueueEntry | None) -> bool:
        """Take in the state of a job, and tell whether it is over for certain."""
        flight.state = entry.state if entry else ""
        if not ended(flight.state):
            flight.over_since = None
            if entry is not None:
                self._tell_endless(flight, entry)
            return False
        if flight.over_since is None:
            flight.over_since = time.monotonic()
        patience = 0.0 if self._was_cancelled(flight) else _SURE.get(flight.state, _SURE_OF_OTHERS)
        return time.monotonic() - flight.over_since >= patience

    def _was_cancelled(self, flight: Flight) -> bool:
        # Elements of an array that leave the queue before they began are not shown any more.
        return self.stopping and flight.state in ("CANCELLED", "")

    def _tell_endless(self, flight: Flight, entry: QueueEntry) -> None:
        why = endless(entry.state, entry.reason)
        if why and entry.reason != flight.told:
            flight.told = entry.reason
            logger.warning(
                "Slurm job %s of %s waits, and that does not end by itself (%s): %s.",
                flight.job,
                flight.work,
                entry.reason,
                why.replace("<job>", flight.job),
            )

    def _without_report(self, flight: Flight, entry: QueueEntry | None) -> Report:
        if self.stopping:  # it left the queue, or was still about to begin
            return _stopped(flight.work, f"Slurm job {flight.job} has stopped.")
        state, node = (entry.state, entry.node) if entry else account_of(flight.job)
        details = details_of(flight.job)
        text = self._account(flight, state, node or details.get("NodeList", ""), details)
        code = details.get("ExitCode", "")
        if state == "FAILED" and not starts_of(flight.folder) and not _signal_of(code):
            error = SentError(text=_never_began(text, code, self._logs), misfit=True)
            return Report(flight.work.step, flight.work.attempt, error=error, worker=flight.worker)
        return lost_report(flight.work, text, flight.worker)

    def _account(self, flight: Flight, state: str, node: str, details: dict[str, str]) -> str:
        """Say what became of a job that left no report."""
        where = "" if node in ("", "(null)", "None assigned") else f" on {node}"
        how = f"ended as {state}" if state else "is not known to Slurm any more"
        given = [(key, details.get(key, "None")) for key in ("Reason", "ExitCode")]
        more = ", ".join(f"{key} {value}" for key, value in given if value not in ("None", "0:0"))
        said = [f"Slurm job {flight.job}{where} {how}{f' ({more})' if more else ''} before it had reported."]
        if signum := _signal_of(details.get("ExitCode", "")):
            said.append(f"Its process was ended by {signal_name(signum)}.")
        if advice := after_advice(state):
            said.append(advice)
        lines = [*last_lines(self._run, flight.worker, _LOG_LINES), *_tail(self._logs, flight.job)]
        return " ".join(said) + "".join(f"\n  {line}" for line in lines[-2 * _LOG_LINES :])


def _stopped(work: Work, text: str) -> Report:
    return Report(work.step, work.attempt, error=SentError(text=text, interrupted=signal.SIGTERM))


def _never_began(text: str, code: str, logs: Path) -> str:
    if code == _NO_OUTPUT:
        fix = (
            f"Its machine can't write to {logs}: the results folder has to be on a file system that all machines "
            "share under the same path. Choose one with out_dir=<folder>."
        )
    else:
        fix = (
            "It ended before mml was there: does runner.python name an interpreter that has mml with this version on "
            "the machines of the cluster, and do the lines of runner.setup work there?"
        )
    head, _, tail = text.partition("\n")
    return f"{head} {fix}" + (f"\n{tail}" if tail else "")


def _signal_of(code: str) -> int:
    """Return the signal that ended the process of a job, from Slurm's words for its exit code; 0 if none did."""
    status, _, signum = code.partition(":")
    if not (status.isdigit() and signum.isdigit()):
        return 0
    return int(signum) if 0 < int(signum) < 65 and not int(status) and code != _NO_OUTPUT else max(0, int(status) - 128)


def _has_report(folder: Path) -> bool:
    """Tell whether a report is there; listing the folder makes network file systems look anew."""
    try:
        return any(path.name == REPORT_FILE for path in folder.iterdir())
    except OSError:
        return False


def _tail(logs: Path, job: str) -> Iterator[str]:
    """Yield the last lines that a job wrote outside of mml, e.g. those of Slurm itself."""
    for kind in ("out", "err"):
        try:
            text = (logs / f"{job}_0_log.{kind}").read_text(errors="replace")[-4000:]
        except OSError:
            continue
        lines = [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith("submitit INFO")]
        yield from lines[-_LOG_LINES:]


def waited_for(
    seconds: float | None, look: Callable[[], Iterable[Report]], *, idle: Callable[[], bool]
) -> list[Report]:
    """Look for reports until there are some, more and more rarely; signals are let through in between.

    Args:
        seconds: how long at most; None: until there is one.
        look: returns reports.
        idle: tells that none will come.
    """
    end, pause = None if seconds is None else time.monotonic() + seconds, 0.1
    while True:
        if (found := list(look())) or idle():
            return found
        left = pause if end is None else min(pause, end - time.monotonic())
        if left <= 0:
            return []
        time.sleep(left)
        pause = min(1.0, pause * 1.2)
