"""StepWorker: a process with the scheduler of a run, which does attempts at its steps for the driver of the run.

It reads the journal, but never writes it: what an attempt changed goes back to the driver with its report.
"""

import platform
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mml.core.data_loading.task_struct import StructState
from mml.core.scripts.attempts import AttemptFolder
from mml.core.scripts.drift_code import PYTHON, same_code
from mml.core.scripts.exceptions import Interrupted, JournalError, MMLError, MMLMisconfigurationException
from mml.core.scripts.journal import JOURNAL_FILE, PREPARATION, Done, RunRecord, read_events
from mml.core.scripts.plugins import load_plugins
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.run_account import opened
from mml.core.scripts.run_log import worker_logging
from mml.core.scripts.run_numbers import NumbersBefore
from mml.core.scripts.run_sight import Sight
from mml.core.scripts.run_steps import Scheduler, begin_hook, cut_plan, execute_step, named_command
from mml.core.scripts.schedule import Step, check_same_plan, restore_step
from mml.core.scripts.seeding import imports_kept_apart
from mml.core.scripts.signals import guarded_signals
from mml.core.scripts.struct_views import StructViews
from mml.core.scripts.utils import WriteCheck
from mml.core.scripts.values import restored_value
from mml.core.scripts.worker_lines import mark_step
from mml.runners.base import Announced, Report, StepOutcome, Work, WorkerSetup
from mml.runners.hosting import hosted
from mml.runners.transport import decode_report, failed_report, report_of

# Seconds until other machines see what the driver wrote on a shared file system.
_PATIENCE = 30.0
REPORT_FILE = "report.bin"  # of an attempt that others are pending on


class StepWorker:
    """Does attempts at the steps of a run.

    Args:
        setup: of the run.
        name: of the worker, unique in the run.

    Raises:
        MMLMisconfigurationException: this process can't do steps of the run: other versions, no plugin, another plan.
    """

    def __init__(self, setup: WorkerSetup, name: str) -> None:
        self._name = name
        self._run = Path(setup.folder)
        self._journal = _JournalReader(self._run / JOURNAL_FILE)
        self._work: Work | None = None
        self._paths: list[Announced] = []
        with ExitStack() as stack:
            folder = stack.enter_context(hosted(setup, name))
            stack.enter_context(worker_logging(folder, setup.log_level))
            self._scheduler = self._make_scheduler(setup)
            progress = self._scheduler.progress = RunProgress(enabled=False)
            progress.live_in(folder)
            stack.enter_context(progress)
            stack.enter_context(imports_kept_apart())
            self._plan = self._prepare(setup)
            self._stack = stack.pop_all()

    def execute(self, work: Work) -> Report:
        """Make an attempt and return what came of it."""
        self._work, self._paths = work, []
        scheduler = self._scheduler
        with guarded_signals() as guard:
            try:
                with self._writing_for(work):
                    scheduler.guard = guard
                    outcome = self._attempt(work)
                    self._check()
                return report_of(work, outcome, self._name)
            except (Exception, SystemExit, Interrupted) as error:  # noqa: BLE001 - every error is a report
                return failed_report(work, error, self._name)
            finally:
                scheduler.guard = None

    def close(self) -> None:
        """Give back what the worker holds."""
        self._stack.close()

    def _make_scheduler(self, setup: WorkerSetup) -> Scheduler:
        load_plugins()
        refuse_misfit(setup)
        if setup.hydra is not None:
            HydraConfig.instance().cfg = OmegaConf.create(setup.hydra)  # type: ignore[assignment]
        cfg = OmegaConf.create(setup.config)
        OmegaConf.set_struct(cfg, True)
        scheduler: Scheduler = instantiate(cfg.mode.scheduler, cfg, _recursive_=False)
        return scheduler

    def _prepare(self, setup: WorkerSetup) -> list[Step]:
        """Make the plan, and bring the scheduler to where the driver's was before its first step.

        Raises:
            PlanError: the plan is not the driver's.
        """
        scheduler, fm = self._scheduler, self._scheduler.fm
        record = self._journal.read_to(setup.journal)
        self._views = StructViews(record.initial)
        for done in record.done.values():  # by earlier processes of the run
            self._views.take(done.step, done.tasks)
        self._journal.views = self._views
        scheduler.structs.watch(self._view)
        scheduler.structs.replay(record.initial)
        fm.global_reusables = {key: fm.roots.to_path(text) for key, text in record.reused.items()}
        plan = scheduler.plan()
        check_same_plan((record.plan or [])[: record.base_plan], [step.record for step in plan])
        fm.open_run(self._run)
        fm.on_path, fm.on_lost_path = self._announce, self._withdraw
        self._numbers = fm.numbers_before = NumbersBefore(plan)
        scheduler.progress.start_steps(len(plan))
        begin_hook(scheduler, PREPARATION)
        with fm.repeating([fm.roots.to_path(text) for text in record.repeated_paths()], keep=True):
            scheduler.after_preparation_hook()
        return plan

    def _writing_for(self, work: Work) -> "_Writing":
        return _Writing(AttemptFolder(self._run, work.name) if work.fenced else None)

    def _attempt(self, work: Work) -> StepOutcome:
        scheduler = self._scheduler
        self._check()
        if work.fenced:
            self._remove_earlier(AttemptFolder(self._run, work.name))
        step = self._numbers.step = self._bring_plan(work)
        mark_step(step.position + 1, str(step.record))
        scheduler.progress.begin_step(step.position + 1, str(step.record))
        scheduler.fm.number_anew()
        scheduler.return_value = restored_value(self._value_before(work))
        outcome = execute_step(scheduler, step)
        if outcome.grown:
            cut_plan(scheduler, work.planned)  # the driver says where they stand
        return msgspec.structs.replace(outcome, paths=self._paths) if self._paths else outcome

    def _remove_earlier(self, folder: AttemptFolder) -> None:
        """Remove what an earlier start of the same attempt left, e.g. of a job that was queued again."""
        fm = self._scheduler.fm
        for text in folder.announced():
            fm.remove_half_written(fm.roots.to_path(text))
            folder.withdraw(text)

    def _bring_plan(self, work: Work) -> Step:
        """Bring the scheduler's plan to what the driver's is, and return the step to do."""
        scheduler = self._scheduler
        cut_plan(scheduler, work.planned)
        missing = work.planned - len(scheduler.commands)
        scheduler.commands += [_of_another_worker] * missing
        scheduler.params += [[]] * missing
        step = restore_step(work.step, work.record, scheduler.fm.roots)
        if work.step >= len(self._plan):
            scheduler.commands[work.step] = named_command(scheduler, work.record)
        return step

    def _view(self, task: str) -> StructState | None:
        """Return what the present step sees of a struct."""
        if self._work is None:  # the hook before the first step
            return self._views.view(task, ())
        self._journal.read_to(self._work.journal)
        return self._pending_views(self._work).view(task, self._work.visible)

    def _pending_views(self, work: Work) -> StructViews:
        """Return the views with what attempts changed that are done, but not in the journal yet."""
        if not work.pending:
            return self._views
        views = StructViews(self._journal.record.initial)
        for done in self._journal.record.done.values():
            views.take(done.step, done.tasks)
        sight = Sight(self._journal.record.plan or [], {})
        for report in self._pending_reports(work):
            seen = sight.of(report.step)  # a change is relative to what its own step saw
            for task, change in (report.outcome.tasks if report.outcome else {}).items():
                made = views.journaled(task, report.step, seen, msgspec.to_builtins(change))
                views.take(report.step, {task: made} if made else {})
        return views

    def _pending_reports(self, work: Work) -> list[Report]:
        """Return the reports of the attempts that this one waited for, in the order of the plan.

        Raises:
            MMLError: there is none, or none of a step that is done.
        """
        reports = []
        for name in sorted(work.pending):
            folder = AttemptFolder(self._run, name)
            report = _read_report(folder.path / REPORT_FILE)
            done = self._journal.read_on().done.get(folder.step)
            if report is not None and report.outcome is not None:
                reports.append(report)
            elif done is None:
                msg = f"{work} needs step {folder.step + 1}, which is not done: there is no outcome of attempt {name}."
                raise MMLError(msg)
        return [report for report in reports if report.step not in self._journal.record.done]

    def _value_before(self, work: Work) -> Any:
        values = [report.outcome.value for report in self._pending_reports(work) if report.outcome]
        return next((value for value in reversed(values) if value is not msgspec.UNSET), work.value)

    def _announce(self, path: Path, key: str) -> None:
        """Write down a file of the attempt before it exists.

        Raises:
            MMLError: the hook before the first step wants a file here that it did not want in the driver.
            AttemptRevokedError: the attempt was given up.
        """
        if self._work is None:
            msg = (
                f"after_preparation_hook asked for {path} in a worker, but not in the driver of the run. It has to do "
                "the same in every process."
            )
            raise MMLError(msg)
        announced = Announced(self._scheduler.fm.roots.to_text(path), key)
        folder = AttemptFolder(self._run, self._work.name)
        if not self._work.fenced and not self._paths:
            folder.create_for_good()
        folder.announce(*announced)
        self._paths.append(announced)

    def _withdraw(self, path: Path) -> None:
        """Take back that a file is the attempt's, as an attempt at another step got it; it must not be removed here."""
        assert self._work is not None, "a path was announced"
        text = self._scheduler.fm.roots.to_text(path)
        AttemptFolder(self._run, self._work.name).withdraw(text)
        self._paths = [announced for announced in self._paths if announced.path != text]

    def _check(self) -> None:
        if WriteCheck.check is not None:
            WriteCheck.check()


class _Writing:
    """Lets an attempt write as long as it has a right to, while the block runs."""

    def __init__(self, folder: AttemptFolder | None) -> None:
        self._check = None if folder is None else folder.check

    def __enter__(self) -> None:
        WriteCheck.check = self._check

    def __exit__(self, *_: object) -> None:
        WriteCheck.check = None


class _JournalReader:
    """Reads the journal of a run as far as the driver says that it counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0
        self.record = RunRecord([])
        self.views: StructViews | None = None

    def read_to(self, size: int) -> RunRecord:
        """Return what the journal says up to a number of bytes, or some more.

        Raises:
            JournalError: this machine does not see so much of it.
        """
        end = time.monotonic() + _PATIENCE
        while self._size < size:
            self.read_on()
            if self._size < size and time.monotonic() > end:
                msg = (
                    f"{self._path} ends after {self._size} bytes on {socket.gethostname()}, but the driver of the run "
                    f"wrote {size}: the results folder has to be shared by all machines of a run."
                )
                raise JournalError(msg)
            if self._size < size:
                time.sleep(0.05)
        return self.record

    def read_on(self) -> RunRecord:
        """Return what the journal says now."""
        events, self._size = read_events(self._path, self._size)
        for event in events:
            self.record.apply(event)
            if isinstance(event, Done) and self.views is not None:
                self.views.take(event.step, event.tasks)
        return self.record


def refuse_misfit(setup: WorkerSetup) -> None:
    """Make sure that this process has the packages and the code of the driver.

    Raises:
        MMLMisconfigurationException: it has not; names what differs, and the fix.
    """
    mine = opened("", [])
    faults = [
        f"{name} {found or 'is missing'}, the driver has {wanted}"
        for name, wanted, found in _versions(setup, mine.versions, mine.code)
        if not _fits(name, wanted, found)
    ]
    if faults:
        here = f"{sys.executable} on {socket.gethostname()}"
        msg = (
            f"A worker can't do steps of this run, as {here} differs from the driver: {'; '.join(faults)}. Install the "
            "same there, or name the interpreter of the driver's environment; if code was changed while the run goes "
            "on, stop the run and continue it."
        )
        raise MMLMisconfigurationException(msg)


def _versions(setup: WorkerSetup, versions: dict[str, str], code: dict[str, str]) -> list[tuple[str, str, str]]:
    wanted = {**setup.versions, **setup.code}
    found = {**versions, **code}
    return [(name, text, found.get(name, "")) for name, text in wanted.items()]


def _fits(name: str, wanted: str, found: str) -> bool:
    if name == PYTHON:
        # Releases of one series differ in mended faults alone.
        return tuple(wanted.split(".")[:2]) == platform.python_version_tuple()[:2]
    return bool(found) and same_code(wanted, found)


def _read_report(path: Path) -> Report | None:
    try:
        return decode_report(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None


def _of_another_worker(*_: Any) -> None:
    """Stand in the plan for a step that was added while running, elsewhere."""
    msg = "this step is another worker's"
    raise AssertionError(msg)
