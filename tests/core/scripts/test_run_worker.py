"""A worker has the scheduler of the driver, reads the journal as far as it is told, and never writes it."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mml.core.data_loading.claims import claim
from mml.core.scripts.attempts import AttemptFolder
from mml.core.scripts.exceptions import (
    AttemptRevokedError,
    JournalError,
    MMLError,
    MMLMisconfigurationException,
    PlanError,
)
from mml.core.scripts.journal import JOURNAL_FILE, Done, Journal, Opened, PathAnnounced, Planned
from mml.core.scripts.run_account import opened
from mml.core.scripts.run_worker import REPORT_FILE, StepWorker, refuse_misfit
from mml.core.scripts.schedule import Step, StepRecord
from mml.core.scripts.utils import atomic_write
from mml.runners.base import Report, StepOutcome, Work, WorkerSetup
from mml.runners.transport import encode, received_error, report_of
from tests.support.crew import Crew, crew_config, do
from tests.support.tasks import make_task

PLAN = [do("add", "t", "a"), do("add", "t", "b"), do("look", "t", after=[0]), do("nothing", 1, after=None)]


class Run:
    """A run folder with a journal that a test writes, and its one worker."""

    def __init__(self, root: Path, *plan: dict[str, Any], **changes: Any) -> None:
        self.cfg = crew_config(root, *plan, **changes)
        self.folder = root / "results" / "default" / "runs" / "one"
        self.folder.mkdir(parents=True)
        self.steps: list[Step] = Crew(self.cfg).plan()
        self.journal = Journal(self.folder / JOURNAL_FILE)
        now = opened("crew", ["t"])
        self.journal.append(now, Planned(time=1.0, steps=[step.record for step in self.steps]))
        self.now = now
        self.worker: StepWorker | None = None

    def setup(self, **changes: Any) -> WorkerSetup:
        from omegaconf import OmegaConf

        config: Any = OmegaConf.to_container(self.cfg, resolve=True)
        made = WorkerSetup(
            str(self.folder), config, journal=self.journal.size, versions=self.now.versions, code=self.now.code
        )
        return msgspec.structs.replace(made, **changes)

    def start(self, **changes: Any) -> StepWorker:
        self.worker = StepWorker(self.setup(**changes), "w")
        return self.worker

    def work(self, step: int, **changes: Any) -> Work:
        record = self.steps[step].record if step < len(self.steps) else changes.pop("record")
        made = Work(step, record, "1.1", planned=len(self.steps), journal=self.journal.size)
        return msgspec.structs.replace(made, **changes)

    def execute(self, step: int, **changes: Any) -> Report:
        worker = self.worker or self.start()
        return worker.execute(self.work(step, **changes))

    def record(self, report: Report, *, at: float = 2.0) -> None:
        """Write what the driver would, had it come in the order of the plan."""
        assert report.outcome is not None
        outcome = report.outcome
        tasks = msgspec.to_builtins(outcome.tasks)
        self.journal.append(Done(time=at, step=report.step, seconds=0.0, tasks=tasks, value=outcome.value))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worker_data")
    make_task(folder, "t", per_class=1)
    return folder


@pytest.fixture
def make(tmp_path: Path, data: Path) -> Iterator[Callable[..., Run]]:
    (tmp_path / "data").symlink_to(data)
    made: list[Run] = []

    def make_run(*plan: dict[str, Any], **changes: Any) -> Run:
        made.append(Run(tmp_path, *plan, **changes))
        return made[-1]

    yield make_run
    for run in made:
        run.journal.close()
        if run.worker is not None:
            run.worker.close()


def outcome(report: Report) -> StepOutcome:
    assert report.outcome is not None, report.error
    return report.outcome


def error(report: Report) -> BaseException:
    assert report.error is not None
    return received_error(report.error)


def test_step_is_done_and_its_files_were_announced(make: Callable[..., Run]) -> None:
    run = make(*PLAN)
    before = (run.folder / JOURNAL_FILE).read_bytes()
    report = run.execute(0)
    assert (report.step, report.attempt, report.worker) == (0, "1.1", "w")
    assert [path for path, _ in outcome(report).paths] == [
        "default/CREW/t/note_0001.txt",
        "default/CREW_MODELS/t/model_0001.json",
    ]
    assert AttemptFolder(run.folder, "0001.1.1").announced() == [path for path, _ in outcome(report).paths]
    assert (run.folder / JOURNAL_FILE).read_bytes() == before


def test_file_is_announced_before_it_can_exist(make: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(*PLAN)
    run.start()
    order: list[str] = []
    announce = AttemptFolder.announce

    def seen(folder: AttemptFolder, path: str, key: str) -> None:
        announce(folder, path, key)
        order.append(f"announced {Path(path).name}")
        mark = run.folder.parents[1].parent / path
        assert not mark.exists()
        assert not (mark.parent / ".claims" / mark.name).exists()

    monkeypatch.setattr(AttemptFolder, "announce", seen)
    run.execute(0)
    assert order == ["announced note_0001.txt", "announced model_0001.json"]


def test_step_sees_what_is_visible_and_no_more_in_whatever_order_it_asks(make: Callable[..., Run]) -> None:
    run = make(*PLAN)
    for step in (1, 0):
        report = run.execute(step)
        if step == 1:
            run.record(report)
    run.journal.append(
        Done(
            time=3.0,
            step=0,
            seconds=0.0,
            tasks={"t": {**msgspec.to_builtins(outcome(report).tasks["t"]), "keep": 1}},
        )
    )
    seen = [outcome(run.execute(2, visible=visible)).value for visible in ([], [(0, 2)], [(0, 1)], [(1, 2)], [(0, 1)])]
    assert [paths for paths, _, _ in seen] == [[], ["a", "b"], ["a"], ["b"], ["a"]]


def test_journal_is_read_as_far_as_the_work_says_and_waited_for(make: Callable[..., Run]) -> None:
    run = make(*PLAN)
    run.record(run.execute(0))
    assert outcome(run.execute(2, visible=[(0, 1)])).value[0] == ["a"]


def test_machine_that_does_not_see_all_of_the_journal_says_so(
    make: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mml.core.scripts.run_worker._PATIENCE", 0.2)
    run = make(*PLAN)
    run.start()
    failed = error(run.execute(2, journal=run.journal.size + 5000))
    assert isinstance(failed, JournalError)
    assert "has to be shared by all machines" in str(failed)


def test_return_value_is_what_the_work_says(make: Callable[..., Run]) -> None:
    run = make(*PLAN)
    assert outcome(run.execute(2, value=5)).value[2] == 5
    assert outcome(run.execute(3, value={"$float": "nan"})).value is msgspec.UNSET


def test_numbers_are_those_of_the_plan_whoever_is_first(make: Callable[..., Run]) -> None:
    run = make(*PLAN)
    assert outcome(run.execute(1)).paths[0].path.endswith("note_0002.txt")
    assert outcome(run.execute(0)).paths[0].path.endswith("note_0001.txt")


def test_numbers_that_other_runs_have_are_left_out(make: Callable[..., Run], tmp_path: Path) -> None:
    taken = tmp_path / "results/default/CREW/t/note_0003.txt"
    taken.parent.mkdir(parents=True)
    claim(taken, "another run")
    run = make(*PLAN)
    assert outcome(run.execute(1)).paths[0].path.endswith("note_0005.txt")


def test_error_is_reported_with_its_traceback_and_the_next_step_is_done(make: Callable[..., Run]) -> None:
    run = make(do("fail", "boom"), do("value", 3), do("leave", 7))
    report = run.execute(0)
    assert report.error is not None
    assert str(error(report)) == "boom"
    assert "in fail" in report.error.traceback
    assert AttemptFolder(run.folder, "0001.1.1").announced() == ["default/CREW_FAIL/t/note_0001.txt"]
    assert isinstance(error(run.execute(2)), SystemExit)
    assert outcome(run.execute(1)).value == 3


def test_signal_stops_the_step_and_is_reported_as_such(make: Callable[..., Run]) -> None:
    run = make(do("signal", int(signal.SIGTERM)), do("nothing"))
    report = run.execute(0)
    assert report.error is not None
    assert report.error.interrupted == signal.SIGTERM
    assert outcome(run.execute(1)) is not None


def test_attempt_that_was_given_up_before_does_nothing(make: Callable[..., Run]) -> None:
    run = make(*PLAN)
    assert isinstance(error(run.execute(0, fenced=True)), AttemptRevokedError)
    assert not list(run.folder.parents[1].glob("CREW/**/*.txt"))


def test_attempt_that_is_started_again_leaves_nothing_of_its_first_start(
    make: Callable[..., Run], tmp_path: Path
) -> None:
    run = make(*PLAN)
    folder = AttemptFolder(run.folder, "0001.1.1")
    folder.create()
    first = outcome(run.execute(0, fenced=True))
    second = outcome(run.execute(0, fenced=True))
    assert second.paths == first.paths
    assert folder.announced() == [path for path, _ in second.paths]
    names = sorted(path.name for path in (tmp_path / "results/default/CREW/t").iterdir())
    assert names == [".claims", "note_0001.txt"]


def test_attempt_that_is_given_up_meanwhile_puts_no_file_in_its_place(
    make: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = make(*PLAN)
    folder = AttemptFolder(run.folder, "0001.1.1")
    folder.create()
    run.start()

    def add(self: Crew, task: str, name: str) -> None:
        path = self.fm.construct_saving_path(None, "crew", task_name=task)
        folder.revoke()
        with atomic_write(path, "w") as file:
            file.write("too late")

    scheduler: Any = run.worker._scheduler if run.worker else None
    scheduler.commands[0] = add.__get__(scheduler)
    assert isinstance(error(run.execute(0, fenced=True)), AttemptRevokedError)
    assert [path.name for path in (tmp_path / "results/default/CREW/t").iterdir()] == [".claims"]
    with atomic_write(tmp_path / "free.txt", "w") as file:
        file.write("others may write")


def test_result_of_an_attempt_that_is_given_up_is_none(make: Callable[..., Run]) -> None:
    run = make(*PLAN)
    folder = AttemptFolder(run.folder, "0004.1.1")
    folder.create()
    run.start()
    scheduler: Any = run.worker._scheduler if run.worker else None
    scheduler.commands[3] = lambda _: folder.revoke()
    assert isinstance(error(run.execute(3, fenced=True)), AttemptRevokedError)


def test_added_steps_come_back_and_can_be_done_by_their_name(make: Callable[..., Run]) -> None:
    run = make(do("grow", ["value", [5], ["me"]], ["nothing", [], ["last"]]), do("nothing"))
    grown = outcome(run.execute(0)).grown
    assert [(record.command, record.after) for record in grown] == [("value", [0]), ("nothing", [2])]
    again = outcome(run.execute(0, planned=7)).grown
    assert [record.after for record in again] == [[0], [7]]
    record = StepRecord("value", ["added"], [0])
    assert outcome(run.execute(4, record=record, planned=6)).value == "added"
    missing = error(run.execute(5, record=StepRecord("no_such", []), planned=6))
    assert isinstance(missing, PlanError)


def test_what_pending_attempts_changed_is_seen_before_the_journal_has_it(make: Callable[..., Run]) -> None:
    run = make(*PLAN)
    report = run.execute(0)
    folder = AttemptFolder(run.folder, "0001.1.1")
    with atomic_write(folder.path / REPORT_FILE) as file:
        file.write(encode(msgspec.structs.replace(report, outcome=msgspec.structs.replace(report.outcome, value=9))))
    seen = outcome(run.execute(2, visible=[(0, 1)], pending=["0001.1.1"])).value
    assert seen[0] == ["a"]
    assert seen[2] == 9
    run.record(report)
    folder.remove()
    assert outcome(run.execute(2, visible=[(0, 1)], pending=["0001.1.1"])).value[0] == ["a"]


def test_pending_attempt_without_an_outcome_is_an_error(make: Callable[..., Run]) -> None:
    run = make(*PLAN)
    failed = error(run.execute(2, visible=[(0, 1)], pending=["0001.1.1"]))
    assert isinstance(failed, MMLError)
    assert "needs step 1, which is not done" in str(failed)
    folder = AttemptFolder(run.folder, "0001.1.1")
    folder.create()
    (folder.path / REPORT_FILE).write_bytes(b"torn")
    assert "no outcome of attempt 0001.1.1" in str(error(run.execute(2, visible=[(0, 1)], pending=["0001.1.1"])))


def test_hook_gets_the_files_of_the_driver_and_leaves_them(make: Callable[..., Run], tmp_path: Path) -> None:
    run = make(*PLAN, mode__hook_files=1)
    path = tmp_path / "results/default/CREW_HOOK/note_0001.txt"
    path.parent.mkdir(parents=True)
    path.write_text("of the driver")
    claim(path, "one")
    text = "default/CREW_HOOK/note_0001.txt"
    run.journal.append(PathAnnounced(time=2.0, path=text, key="crew_hook", hook="preparation"))
    worker = run.start()
    scheduler: Any = worker._scheduler
    assert scheduler.prepared == path
    assert path.read_text() == "prepared"
    assert [found.name for found in path.parent.iterdir() if found.is_file()] == ["note_0001.txt"]


def test_hook_that_wants_a_file_in_the_worker_alone_is_refused(make: Callable[..., Run]) -> None:
    run = make(*PLAN, mode__hook_files=1)
    with pytest.raises(MMLError, match="has to do the same in every process"):
        run.start()
    assert (run.folder / "workers" / "w" / "exp.log").exists()


def test_worker_with_another_plan_is_refused(make: Callable[..., Run]) -> None:
    run = make(*PLAN)
    config = {**run.setup().config, "mode": {**run.setup().config["mode"], "plan": PLAN[:2]}}
    with pytest.raises(PlanError, match="had 4 steps, now it has 2"):
        run.start(config=config)


# --- versions


def setup(**changes: Any) -> WorkerSetup:
    now: Opened = opened("", [])
    made = WorkerSetup("/run", {}, versions=dict(now.versions), code=dict(now.code))
    return msgspec.structs.replace(made, **{key: {**getattr(made, key), **value} for key, value in changes.items()})


def test_process_with_the_same_code_is_accepted() -> None:
    refuse_misfit(setup())
    refuse_misfit(setup(code={"Python": f"{opened('', []).code['Python'].rpartition('.')[0]}.99"}))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"versions": {"torch": "1.0"}}, r"torch [\d.+a-z]+, the driver has 1\.0"),
        ({"code": {"mml-farm": "0.2"}}, "mml-farm is missing, the driver has 0.2"),
        ({"code": {"Python": "3.9.1"}}, r"Python [\d.]+, the driver has 3\.9\.1"),
        ({"code": {"mml-core": "0.1.0, files 000000000000"}}, "mml-core .*the driver has 0.1.0, files 000000000000"),
    ],
)
def test_process_with_other_code_is_refused_by_what_differs_and_the_fix(changes: Any, named: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=rf"differs from the driver: .*{named}.*Install the same"):
        refuse_misfit(setup(**changes))


def test_time_of_the_step_is_that_of_the_step(make: Callable[..., Run]) -> None:
    run = make(do("nothing"))
    run.start()
    scheduler: Any = run.worker._scheduler if run.worker else None
    scheduler.commands[0] = lambda: time.sleep(0.05)
    assert outcome(run.execute(0)).seconds >= 0.05


def test_report_that_is_pending_may_be_of_an_added_step(make: Callable[..., Run]) -> None:
    run = make(*PLAN)
    folder = AttemptFolder(run.folder, "0001.1.1")
    folder.create()
    with atomic_write(folder.path / REPORT_FILE) as file:
        file.write(encode(report_of(run.work(0), StepOutcome(0.0))))
    assert outcome(run.execute(2, visible=[(0, 1)], pending=["0001.1.1"])).value[0] == []
