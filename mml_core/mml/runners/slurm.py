"""The runner that has Slurm do steps: each attempt is a job, those of a kind are an array, submitted through submitit.

Jobs report by files and need no driver: it may end, and another one may take up what is in the queue.
"""

import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from mml.core.scripts.attempts import AttemptFolder
from mml.core.scripts.exceptions import MMLMisconfigurationException, RunnerError
from mml.core.scripts.resources import Resources
from mml.core.scripts.run_files import SLURM_FOLDER
from mml.report.tables import list_text
from mml.runners.base import Earlier, Report, Room, RunSetup, Work
from mml.runners.extras import refuse_missing, require
from mml.runners.slurm_check import Nodes, check_step, cluster_nodes
from mml.runners.slurm_commands import QueueEntry, SlurmAwayError, SlurmRefusedError, cancel_jobs
from mml.runners.slurm_job import STOP_FILE, read_report
from mml.runners.slurm_options import SlurmOptions, check_options
from mml.runners.slurm_outbox import Outbox, Patience
from mml.runners.slurm_queue import await_jobs, end_jobs, entries_noted, read_note
from mml.runners.slurm_watch import Watch, waited_for

logger = logging.getLogger(__name__)

COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
# From one question to Slurm to the next: as a rule, when jobs seem to be over, and when it is away.
_ASK_SECONDS, _DOUBTFUL_SECONDS, _AWAY_SECONDS = 3.0, 1.0, 10.0
_END_SECONDS = 120.0  # that cancelled jobs get to end


class SlurmRunner:
    """Runs steps as jobs of Slurm.

    Args:
        partition: and the following up to `signal_delay_s`: see `slurm_options.SlurmOptions`.
        max_jobs: in the queue at once, unless the driver detaches.
        max_requeues: how often a job whose time is up may ask to be started again.
        patience: minutes that Slurm may be away before the run ends.
        detach: whether the driver ends as soon as all jobs are in the queue.
        for_driver: keys that are the driver's.
    """

    in_process: ClassVar[bool] = False
    fenced: ClassVar[bool] = True

    def __init__(  # noqa: PLR0913 # the keys of its configuration
        self,
        *,
        partition: str | None = None,
        time_limit: str | float | None = None,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        extra: Mapping[str, Any] | None = None,
        setup: Sequence[str] = (),
        python: str | None = None,
        array_parallelism: int = 256,
        signal_delay_s: int = 90,
        max_jobs: int = 500,
        max_requeues: int = 20,
        patience: float = 60.0,
        detach: bool = False,
        **for_driver: Any,  # noqa: ARG002 # the loop reads them
    ) -> None:
        lines = [setup] if isinstance(setup, str) else list(setup or ())
        asked = (partition, time_limit, account, qos, constraint, dict(extra or {}), lines, python)
        self._options = SlurmOptions(*asked, array_parallelism, signal_delay_s)
        self._max_jobs, self._max_requeues = max_jobs, max_requeues
        self._patience = Patience(patience)
        self.chained = self.detaches = bool(detach)
        self._watch = Watch(Path(), Path())
        self._outbox: Outbox | None = None
        self._cluster: list[Nodes] = []
        self._ask_at = 0.0
        self._found: list[Report] = []

    def room(self) -> Room:
        """Return what may be in the queue at once."""
        refuse_missing("submitit", "slurm")
        where = f", partition {self._options.partition}" if self._options.partition else ""
        return Room(slots=None if self.detaches else self._max_jobs, text=f"Slurm{where}", shared=True)

    def open(self, run: RunSetup) -> list[Work]:
        """Find Slurm, and the jobs of an earlier process that are in its queue or have reported.

        Raises:
            MMLMisconfigurationException: Slurm is not there, or can't be used.
            RunnerError: nobody knows what became of a job of an earlier process.
        """
        check_options(self._options)
        _check_folder(run.folder)
        require("submitit", "slurm")
        self._cluster = _find_cluster()
        from mml.runners.slurm_launch import Launcher

        logs = run.folder / SLURM_FOLDER
        launcher = Launcher(logs, run.folder, self._options)
        self._watch = Watch(run.folder, logs)
        self._outbox = Outbox(
            run, launcher, self._options, self._watch, max_requeues=self._max_requeues, patience=self._patience
        )
        return [earlier.work for earlier in run.earlier if self._takes_up(run, earlier)]

    def _takes_up(self, run: RunSetup, earlier: Earlier) -> bool:
        """Take up an attempt that has reported, or whose job is in the queue; end it otherwise."""
        note = read_note(earlier.job)
        folder = AttemptFolder(run.folder, earlier.work.name).path
        if note is None:
            return False
        if (report := read_report(folder)) is not None:
            if report.error is None or not report.error.interrupted:
                self._watch.add(earlier.work, note.job)
                return True
            return False  # it stopped where it can go on from, as it was told
        entries = entries_noted(note)
        if len(entries) == 1 and self._may_go_on(run.folder, folder, entries[0]):
            self._watch.add(earlier.work, entries[0].job)
            run.take_down(earlier.work, note.numbered(entries[0].job).as_job())
            return True
        if left := end_jobs([entry.job for entry in entries], _END_SECONDS):
            msg = f"Slurm job {left[0]} of an earlier process does not end; `scontrol show job {left[0]}` says more."
            raise RunnerError(msg)
        return False

    def _may_go_on(self, run: Path, attempt: Path, entry: QueueEntry) -> bool:
        """Tell whether a job in the queue is to be left there.

        One that was told to stop ends soon; one whose driver died at once does not know what to do; and one that waits
        for others is submitted by this driver when it is its turn, which knows what to do when the others fail.
        """
        if (attempt / STOP_FILE).exists() or not (run / SLURM_FOLDER / f"{entry.job}_submitted.pkl").exists():
            return False
        return self.detaches or not entry.reason.startswith("Dependency")

    def check(self, resources: Resources, what: str) -> None:
        """Make sure that Slurm would run such a step some time.

        Raises:
            MMLMisconfigurationException: it would not; says who has what.
        """
        self._cluster = self._cluster or _find_cluster()  # plans ask before the runner is opened
        try:
            check_step(self._options, resources, what, self._cluster)
        except SlurmAwayError as error:
            logger.warning("Slurm does not say whether it would run %s: %s", what, error)

    def has_room(self, resources: Resources) -> bool:  # noqa: ARG002 # the queue has room for all that it would run
        """Tell whether another job may be in the queue."""
        return self.detaches or len(self._box.waiting) + len(self._watch.flights) < self._max_jobs

    def submit(self, work: Work) -> None:
        """Take an attempt; the next `wait` submits it, in an array with others of its kind."""
        self._box.waiting.append(work)

    def wait(self, seconds: float | None) -> list[Report]:
        """Wait for reports; where the driver detaches, also until all attempts are in the queue.

        Raises:
            RunnerError: Slurm was away for too long.
        """
        while self.detaches and self._box.waiting and not self._found:
            self._found += self._box.flush()
            time.sleep(min(1.0, self._box.seconds_left))
        if not self._found:
            self._found = waited_for(seconds, self._look, idle=self._is_idle)
        # One at a time: an error of one may end the run, and the others still count then.
        return [self._found.pop(0)] if self._found else []

    def _is_idle(self) -> bool:
        return not self._watch.flights and not self._box.waiting

    def _look(self) -> list[Report]:
        found = [*self._watch.collect(), *self._box.flush()]
        if not found and self._watch.flights and time.monotonic() >= self._ask_at:
            pause = _ASK_SECONDS
            try:
                found = self._watch.look()
                self._patience.answered()
                pause = _DOUBTFUL_SECONDS if self._watch.doubtful else _ASK_SECONDS
            except (SlurmAwayError, SlurmRefusedError) as error:
                self._patience.away(error)
                pause = _AWAY_SECONDS
            self._ask_at = time.monotonic() + pause
        return found

    def interrupt(self) -> None:
        """Ask all jobs to stop as soon as they can go on from there; those that have not begun leave the queue."""
        self._watch.stopping, self.detaches, self._ask_at = True, False, 0.0
        self._watch.give_back(self._box.waiting)
        self._box.waiting.clear()
        for flight in self._watch.flights.values():
            with suppress(OSError):  # it was given up
                (flight.folder / STOP_FILE).touch()
        jobs = [flight.job for flight in self._watch.flights.values()]
        with _told("Jobs could not be told to stop"):
            cancel_jobs(jobs, "--state=PENDING")
            # Unlike SIGTERM, it is not taken for the end by processes that load images; all of a job get it.
            cancel_jobs(jobs, "--signal=USR1")

    def close(self) -> None:
        """Cancel all jobs and wait until they are over, unless the driver leaves them to the queue."""
        if self._outbox is None or self.detaches:
            return
        with _told("Jobs may still be in the queue"):
            self._outbox.end_unclear()
            jobs = [flight.job for flight in self._watch.flights.values()]
            left = [*end_jobs(jobs, _END_SECONDS), *await_jobs(self._watch.ending, _END_SECONDS)]
            if left:
                logger.warning("Slurm was told to cancel job %s, but it does not end.", list_text(left))
        self._watch.flights.clear()
        self._watch.ending.clear()
        self._outbox.waiting.clear()

    @property
    def _box(self) -> Outbox:
        assert self._outbox is not None, "the runner is not open"
        return self._outbox


def _check_folder(folder: Path) -> None:
    """Refuse a run folder whose name Slurm would read as something else.

    Raises:
        MMLMisconfigurationException: it has such a name.
    """
    if "%" in str(folder) or "\\" in str(folder) or "\n" in str(folder):
        msg = f"Slurm can't write to {folder}: % and \\ mean something else to it. Choose another out_dir."
        raise MMLMisconfigurationException(msg)


def _find_cluster() -> list[Nodes]:
    """Return the machines of the cluster.

    Raises:
        MMLMisconfigurationException: there is no Slurm, or it does not answer.
    """
    if missing := [name for name in COMMANDS if shutil.which(name) is None]:
        msg = (
            f"runner=slurm needs the commands of Slurm, and this machine has no {', '.join(missing)}. Start mml on a "
            "login node of the cluster, or choose another runner, e.g. runner=local."
        )
        raise MMLMisconfigurationException(msg)
    try:
        return cluster_nodes()
    except (SlurmAwayError, SlurmRefusedError) as error:
        msg = f"Slurm can't be used: {error} `scontrol ping` tells whether it runs; runner=local needs none."
        raise MMLMisconfigurationException(msg) from error


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Tell of a Slurm that is away instead of failing."""
    try:
        yield
    except (SlurmAwayError, SlurmRefusedError) as error:
        logger.warning("%s, as Slurm can't be asked: %s", what, error)
