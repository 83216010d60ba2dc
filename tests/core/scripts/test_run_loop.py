"""Steps that fail: others go on, attempts are repeated, and nothing that a failed attempt did is left."""

import os
import random
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from mml.core.scripts import journal
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.exceptions import (
    Interrupted,
    MMLError,
    MMLMisconfigurationException,
    RunLockedError,
    StepsFailedError,
)
from mml.core.scripts.journal import Done, Failed, RunRecord, Skipped, Started, Stopped, read_events
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.run_policy import RunPolicy
from mml.core.scripts.schedule import StepDetails
from tests.support.tasks import make_task
from tests.support.toy_scheduler import only_run, outcome, runs_of, start_child, toy_config

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHECKOUT = Path(__file__).parents[3]
GO_ON = {"on_error": "continue"}
AT_ONCE = {"retries": 2, "retry_pause": 0}
Act = Callable[["Planned"], None]


class Planned(AbstractBaseScheduler):
    """A scheduler whose steps are functions given by a test, alone or with what they come after."""

    def __init__(self, cfg: DictConfig, *steps: Act | tuple[Act, Iterable[int]]) -> None:
        super().__init__(cfg, ["work"])
        self.script = [step if isinstance(step, tuple) else (step, None) for step in steps]
        self.seen: list[Any] = []
        self.finished = 0

    def create_routine(self) -> None:
        for number, (_, after) in enumerate(self.script):
            self.add_step(self.act, number, {"list": [number]}, after=after)

    def act(self, number: int, _options: dict[str, Any]) -> None:
        self.script[number][0](self)

    def late(self, value: Any) -> None:
        self.seen.append(value)

    def late_failure(self, _value: Any) -> None:
        raise ValueError("late")

    def before_finishing_hook(self) -> None:
        self.finished += 1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy_data")
    for name in ("t", "u"):
        make_task(folder, name, per_class=1)
    return folder


@pytest.fixture
def root(tmp_path: Path, data: Path) -> Path:
    (tmp_path / "data").symlink_to(data)
    return tmp_path


def events(root: Path) -> list[journal.AnyEvent]:
    return read_events(runs_of(root)[-1] / "journal.jsonl")[0]


def kinds(root: Path) -> list[str]:
    """Return the events of steps in order, e.g. `Started 0`."""
    shown = (Started, Done, Failed, Skipped, Stopped)
    return [f"{type(event).__name__} {event.step}" for event in events(root) if isinstance(event, shown)]


def nothing(_: Planned) -> None:
    pass


def fail(_: Planned) -> None:
    raise ValueError("boom")


def fails_first(times: int, error: Callable[[], BaseException] = lambda: OSError("flaky")) -> Act:
    """Return a step that fails a number of times before it works; it notes down each attempt."""

    def act(scheduler: Planned) -> None:
        scheduler.seen.append(random.random())
        if len(scheduler.seen) <= times:
            raise error()

    return act


def note(name: str) -> Act:
    return lambda scheduler: scheduler.seen.append(name)


# --- going on without a step that failed


def test_steps_that_do_not_need_the_one_that_failed_are_done(root: Path) -> None:
    scheduler = Planned(toy_config(root, **GO_ON), fail, (note("b"), [0]), (note("c"), ()), (note("d"), [2]))
    with pytest.raises(StepsFailedError) as caught:
        scheduler.run()
    assert scheduler.seen == ["c", "d"]
    step, skipped = caught.value.accounts
    assert (step.step, step.what, step.reason) == ("step 1, act(0, {'list': [0]})", "failed", "ValueError: boom")
    assert step.traceback is not None
    assert step.traceback.read_text().endswith("ValueError: boom\n")
    assert (skipped.what, skipped.reason) == ("skipped", "needs step 1, act(0, {'list': [0]}), which failed")
    assert kinds(root) == [
        "Started 0",
        "Failed 0",
        "Skipped 1",
        "Started 2",
        "Done 2",
        "Started 3",
        "Done 3",
        "Failed None",
    ]


def test_step_needs_the_one_before_it_unless_it_says_otherwise(root: Path) -> None:
    scheduler = Planned(toy_config(root, **GO_ON), fail, note("b"), note("c"))
    with pytest.raises(StepsFailedError) as caught:
        scheduler.run()
    assert scheduler.seen == []
    assert [account.what for account in caught.value.accounts] == ["failed", "skipped", "skipped"]
    assert caught.value.accounts[2].reason.endswith("which was skipped")
    skipped = [event for event in events(root) if isinstance(event, Skipped)]
    assert [(event.step, event.needs) for event in skipped] == [(1, 0), (2, 1)]


def test_run_with_failures_is_failed_and_not_finished(root: Path) -> None:
    scheduler = Planned(toy_config(root, **GO_ON), fail, (nothing, ()))
    with pytest.raises(StepsFailedError) as caught:
        scheduler.run()
    assert scheduler.finished == 0
    run = only_run(root)
    assert caught.value.continue_command == f"mml continue {run.name}"  # type: ignore[attr-defined]
    record = RunRecord(events(root))
    assert record.ended_by is not None
    assert record.ended_by.error == "1 of 2 steps failed; all others are done."
    assert list(record.failed) == [0]
    assert not record.finished
    assert len(list((run / "errors").iterdir())) == 1


def test_continued_it_tries_failed_and_skipped_steps_again_and_no_other(root: Path) -> None:
    with pytest.raises(StepsFailedError):
        Planned(toy_config(root, **GO_ON), fail, (nothing, [0]), (nothing, ())).run()
    cfg = toy_config(root, **GO_ON, **{"continue": only_run(root).name})
    scheduler = Planned(cfg, note("a"), (note("b"), [0]), (fail, ()))
    scheduler.run()
    assert scheduler.seen == ["a", "b"]
    assert scheduler.finished == 1
    record = RunRecord(events(root))
    assert record.finished
    assert (record.failed, record.skipped) == ({}, {})


def test_step_that_fails_again_is_the_only_one_tried_again(root: Path) -> None:
    with pytest.raises(StepsFailedError):
        Planned(toy_config(root, **GO_ON), fail, (nothing, ())).run()
    for _ in range(2):
        with pytest.raises(StepsFailedError, match="1 of 2 steps failed"):
            Planned(toy_config(root, **GO_ON, **{"continue": only_run(root).name}), fail, (fail, ())).run()
    assert kinds(root).count("Started 0") == 3
    assert kinds(root).count("Started 1") == 1
    assert list(RunRecord(events(root)).failed) == [0]


def test_step_that_needs_a_finished_one_is_done_in_a_continued_run(root: Path) -> None:
    with pytest.raises(StepsFailedError):
        Planned(toy_config(root, **GO_ON), nothing, (fail, ()), (fail, [0])).run()
    scheduler = Planned(
        toy_config(root, **GO_ON, **{"continue": only_run(root).name}), fail, (fail, ()), (note("c"), [0])
    )
    with pytest.raises(StepsFailedError, match="1 of 3 steps failed"):
        scheduler.run()
    assert scheduler.seen == ["c"]


def test_steps_that_a_failed_one_added_are_forgotten_and_those_of_others_are_done(root: Path) -> None:
    def grow(value: str, command: str = "late", **after: Any) -> Act:
        return lambda scheduler: scheduler.add_step(getattr(scheduler, command), value, **after) and None

    def grow_and_fail(scheduler: Planned) -> None:
        grow("never", after=())(scheduler)
        fail(scheduler)

    steps = [grow_and_fail, (grow("kept", after=()), ()), (grow("broken", "late_failure", after=()), ())]
    scheduler = Planned(toy_config(root, **GO_ON), *steps)
    with pytest.raises(StepsFailedError, match="2 of 5 steps failed"):
        scheduler.run()
    assert scheduler.seen == ["kept"]
    assert [str(step) for step in RunRecord(events(root)).plan or []][3:] == ["late('kept')", "late_failure('broken')"]
    scheduler = Planned(toy_config(root, **GO_ON, **{"continue": only_run(root).name}), grow("now"), *steps[1:])
    with pytest.raises(StepsFailedError, match="1 of 6 steps failed, 1 was skipped"):  # the step before it failed
        scheduler.run()


def test_system_exit_of_a_step_is_a_failure_of_that_step(root: Path) -> None:
    scheduler = Planned(toy_config(root, **GO_ON, **AT_ONCE), lambda _: sys.exit(3), (note("b"), ()))
    with pytest.raises(StepsFailedError):
        scheduler.run()
    assert scheduler.seen == ["b"]
    assert kinds(root).count("Started 0") == 1


@pytest.mark.parametrize("error", [RunLockedError("held"), Interrupted(signal.SIGTERM), KeyboardInterrupt()])
def test_what_is_no_failure_of_a_step_ends_the_run(root: Path, error: BaseException) -> None:
    def stop(_: Planned) -> None:
        raise error

    scheduler = Planned(toy_config(root, **GO_ON, **AT_ONCE), stop, (note("b"), ()))
    with pytest.raises(type(error)):
        scheduler.run()
    assert scheduler.seen == []
    assert kinds(root) == ["Started 0", "Failed 0" if isinstance(error, RunLockedError) else "Stopped 0"]


def test_what_a_step_makes_of_a_signal_is_no_failure(root: Path) -> None:
    def turn_into_an_error(_: Planned) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException:  # noqa: BLE001 # as some libraries do
            raise ValueError("worker is gone") from None

    for policy in ({}, GO_ON, AT_ONCE):
        scheduler = Planned(toy_config(root, **policy), turn_into_an_error, (note("b"), ()))
        with pytest.raises(Interrupted):
            scheduler.run()
        assert scheduler.seen == []
        assert kinds(root) == ["Started 0", "Stopped 0"]


def test_signal_between_a_failure_and_the_next_step_ends_the_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, calls = journal._sync, []

    def sync_and_be_stopped(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 3:  # after those of `opened` and `plan`: the failure
            os.kill(os.getpid(), signal.SIGINT)
        sync(handle)

    monkeypatch.setattr(journal, "_sync", sync_and_be_stopped)
    scheduler = Planned(toy_config(root, **GO_ON), fail, (note("b"), ()))
    with pytest.raises(Interrupted):
        scheduler.run()
    assert kinds(root) == ["Started 0", "Failed 0", "Stopped None"]


def test_journal_that_can_not_be_written_ends_the_run_whatever_the_step_makes_of_it(root: Path) -> None:
    code = (
        "import resource, signal, sys\n"
        f"sys.path.insert(0, {str(CHECKOUT)!r})\n"
        "from pathlib import Path\n"
        "from tests.core.scripts.test_run_loop import GO_ON, Planned, note, toy_config\n"
        "from tests.support.toy_scheduler import only_run\n"
        f"root, how = Path({str(root)!r}), sys.argv[1]\n"
        "def fill(scheduler):\n"
        "    size = (only_run(root) / 'journal.jsonl').stat().st_size + 3\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        scheduler.fm.construct_saving_path(None, 'toy_all')\n"
        "    except OSError as error:\n"
        "        if how == 'other':\n"
        "            raise ValueError('other') from error\n"
        "        if how == 'raise':\n"
        "            raise\n"
        "    finally:\n"  # there is space again, but a file may have been announced in vain
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "Planned(toy_config(root, **GO_ON, retries=2, retry_pause=0), fill, (note('b'), ())).run()\n"
    )
    for how in ("raise", "other", "swallow"):
        child = subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, check=False)
        assert child.returncode == 1
        assert child.stderr.splitlines()[-1].startswith(("OSError", "BlockingIOError"))
        assert kinds(root) == ["Started 0", "Failed 0"]
        only_run(root).rename(root / how)


def test_failure_is_said_at_once_with_its_traceback(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(StepsFailedError) as caught:
        Planned(toy_config(root, **GO_ON), fail, nothing).run()
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "step 1, act(0, {'list': [0]}) failed: ValueError: boom\nThe run goes on with the steps" in said
    assert f"The traceback is in {caught.value.accounts[0].traceback}" in said
    assert "step 2, act(1, {'list': [1]}) is skipped: it needs step 1" in said


def test_what_the_frames_of_a_failed_step_held_is_freed_for_the_next(root: Path) -> None:
    class Big:
        pass

    held: list[weakref.ref[Big]] = []

    def hold_and_fail(_: Planned) -> None:
        big = Big()
        held.append(weakref.ref(big))
        try:
            fail(_)
        except ValueError as error:
            kept = error  # holds this frame, which holds the error
            raise RuntimeError from kept

    scheduler = Planned(toy_config(root, **GO_ON), hold_and_fail, (lambda s: s.seen.append(held[0]()), ()))
    with pytest.raises(StepsFailedError):
        scheduler.run()
    assert scheduler.seen == [None]


# --- what is left of a failed step


def spoil(scheduler: Planned) -> None:
    """Change everything that a step may change, and fail."""
    struct = scheduler.get_struct("t")
    path = scheduler.fm.construct_saving_path(None, "toy", task_name="t")
    path.write_text("half")
    struct.paths.pop("toy", None)
    struct.paths["spoilt"] = path
    for model in struct.models:
        model.performance = 99.0
    struct.models.append(ModelStorage(task="t", fold=7, parameters=path, created=NOW))
    scheduler.get_struct("u").paths["spoilt"] = path
    if isinstance(scheduler.return_value, list):
        scheduler.return_value.append("spoilt")
    scheduler.fm.construct_saving_path(None, "toy_scrap").write_text("spoilt")
    scheduler.params[0] = ["spoilt"]
    scheduler.add_step(scheduler.late, "spoilt", after=())
    random.random()
    fail(scheduler)


def build(scheduler: Planned) -> None:
    """Change everything that a step may change, depending on what it finds."""
    struct = scheduler.get_struct("t")
    found = [
        sorted(struct.paths),
        [model.performance for model in struct.models],
        sorted(scheduler.get_struct("u").paths),
    ]
    path = scheduler.fm.construct_saving_path(None, "toy", task_name="t")
    path.write_text(f"{found} {random.random()}")
    struct.paths["toy"] = path
    model = ModelStorage(task="t", fold=len(struct.models), parameters=path, performance=random.random(), created=NOW)
    model.store(scheduler.fm.construct_saving_path(model, "toy_model", task_name="t"), scheduler.fm.roots)
    struct.models.append(model)
    scheduler.return_value = [*(scheduler.return_value or []), path.name, random.random()]


def test_steps_find_everything_as_if_the_failed_one_had_never_been_tried(root: Path) -> None:
    with pytest.raises(StepsFailedError):
        Planned(toy_config(root, **GO_ON), build, (spoil, ()), (build, ())).run()
    scheduler = Planned(toy_config(root, proj="other"), build, nothing, (build, ()))
    scheduler.run()
    left = {
        path.removeprefix("default/"): text for path, text in outcome(root).items() if path.startswith("default/TOY")
    }
    expected = {
        path.removeprefix("other/"): text for path, text in outcome(root).items() if path.startswith("other/TOY")
    }
    assert left == {path: text.replace("other/", "default/") for path, text in expected.items()}
    assert RunRecord(events(root)).value == scheduler.return_value
    first = read_events(only_run(root) / "journal.jsonl")[0]
    second = read_events(only_run(root, "other") / "journal.jsonl")[0]
    changes = [[event.tasks for event in found if isinstance(event, Done) and event.tasks] for found in (first, second)]
    assert str(changes[0]) == str(changes[1]).replace("other/", "default/")


def test_scheduler_in_the_same_process_goes_on_with_structs_as_they_were(root: Path) -> None:
    def look(scheduler: Planned) -> None:
        struct = scheduler.get_struct("t")
        scheduler.seen.append((dict(struct.paths), [model.performance for model in struct.models]))
        scheduler.seen.append(scheduler.get_struct("u").paths)
        scheduler.seen.append((scheduler.return_value, len(scheduler.commands), dict(scheduler.details)))

    before, after = (
        Planned(toy_config(root), build, look),
        Planned(toy_config(root, **GO_ON, proj="b"), build, (spoil, ()), (look, [0])),
    )
    before.run()
    with pytest.raises(StepsFailedError):
        after.run()
    (paths, performances), _, (value, _, _) = before.seen
    assert after.seen[0] == (
        {key: Path(str(path).replace("default", "b")) for key, path in paths.items()},
        performances,
    )
    assert after.seen[1] == {}
    assert after.seen[2] == (value, 3, {1: StepDetails([]), 2: StepDetails([0])})


def test_what_reuse_attached_stays_when_the_step_that_found_it_fails(root: Path) -> None:
    Planned(toy_config(root), build).run()

    def look(scheduler: Planned) -> None:
        scheduler.seen.append(sorted(scheduler.get_struct("t").paths))

    cfg = toy_config(root, **GO_ON, proj="b", reuse={"toy": "default"})
    scheduler = Planned(cfg, spoil, (look, ()), (look, ()))
    with pytest.raises(StepsFailedError):
        scheduler.run()
    assert scheduler.seen == [["toy"], ["toy"]]


def test_file_of_a_finished_step_stays_when_a_failed_one_had_it_too(root: Path) -> None:
    def scrap(scheduler: Planned) -> None:
        scheduler.fm.construct_saving_path(None, "toy_scrap").write_text("kept")

    def announce_too(scheduler: Planned) -> None:
        path = scheduler.fm.construct_saving_path(None, "toy_scrap")
        path.unlink()
        scheduler.fm.construct_saving_path(None, "toy_scrap").write_text("kept")
        fail(scheduler)

    with pytest.raises(StepsFailedError):
        Planned(toy_config(root, **GO_ON), scrap, (announce_too, ())).run()
    assert (only_run(root) / "temp" / "scrap.txt").read_text() == "kept"


def test_files_that_a_forked_process_announced_are_removed_too(root: Path) -> None:
    def fork_and_fail(scheduler: Planned) -> None:
        if (child := os.fork()) == 0:
            try:
                scheduler.fm.construct_saving_path(None, "toy_all").write_text("of a child")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert list((root / "results/default/TOY").glob("all_*"))
        fail(scheduler)

    with pytest.raises(StepsFailedError):
        Planned(toy_config(root, **GO_ON), fork_and_fail).run()
    assert not list((root / "results/default/TOY").glob("**/*.txt"))


# --- trying again


def test_flaky_step_is_done_at_a_later_attempt(root: Path) -> None:
    scheduler = Planned(toy_config(root, **AT_ONCE), fails_first(2), nothing)
    scheduler.run()
    assert len(scheduler.seen) == 3
    assert len(set(scheduler.seen)) == 1, "each attempt has the seed of the first"
    assert kinds(root) == [
        "Started 0",
        "Failed 0",
        "Started 0",
        "Failed 0",
        "Started 0",
        "Done 0",
        "Started 1",
        "Done 1",
    ]
    failed = [event for event in events(root) if isinstance(event, Failed)]
    assert [(event.attempt, event.goes_on) for event in failed] == [(1, True), (2, True)]
    assert len({event.traceback for event in failed}) == 2
    record = RunRecord(events(root))
    assert record.finished
    assert record.failed == {}


def test_results_equal_those_of_an_undisturbed_run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("whole")
    (other / "data").symlink_to(root / "data")
    tried: list[int] = []

    def spoil_twice(scheduler: Planned) -> None:
        tried.append(1)
        if len(tried) < 3:
            spoil(scheduler)
        build(scheduler)

    disturbed = Planned(toy_config(root, **AT_ONCE), build, spoil_twice, build)
    whole = Planned(toy_config(other), build, build, build)
    assert disturbed.run() == whole.run()
    assert outcome(root) == outcome(other)


def test_attempts_get_params_as_they_were_planned(root: Path) -> None:
    class Greedy(Planned):
        def act(self, number: int, options: dict[str, Any]) -> None:
            self.seen.append(options["list"].pop())
            if len(self.seen) == 1:
                raise OSError

    scheduler = Greedy(toy_config(root, **AT_ONCE), nothing)
    scheduler.run()
    assert scheduler.seen == [0, 0]


def test_last_attempt_that_fails_ends_the_run(root: Path) -> None:
    with pytest.raises(OSError, match="flaky") as caught:
        Planned(toy_config(root, **AT_ONCE), fails_first(9), nothing).run()
    last = events(root)[-1]
    assert isinstance(last, Failed)
    assert (last.step, last.attempt, last.goes_on) == (0, 3, False)
    assert hasattr(caught.value, "continue_command")
    assert RunRecord(events(root)).ended_by == last


def test_last_attempt_that_fails_is_counted_with_the_others_when_the_run_goes_on(root: Path) -> None:
    with pytest.raises(StepsFailedError) as caught:
        Planned(toy_config(root, **GO_ON, **AT_ONCE), fails_first(9), (nothing, ())).run()
    assert caught.value.accounts[0].what == "failed 3 times"
    assert kinds(root)[-3:] == ["Started 1", "Done 1", "Failed None"]


@pytest.mark.parametrize("error", [MMLMisconfigurationException("no"), NameError("no")])
def test_step_that_would_fail_alike_is_not_tried_again(root: Path, error: Exception) -> None:
    scheduler = Planned(toy_config(root, **AT_ONCE), fails_first(9, lambda: error))
    with pytest.raises(type(error)):
        scheduler.run()
    assert len(scheduler.seen) == 1


def test_failed_value_is_tried_again_too(root: Path) -> None:
    def put(scheduler: Planned) -> None:
        scheduler.seen.append(1)
        scheduler.return_value = object() if len(scheduler.seen) == 1 else 5

    assert Planned(toy_config(root, **AT_ONCE), put).run() == 5
    assert "can't be journaled" in next(event.error for event in events(root) if isinstance(event, Failed))


def test_next_attempt_is_announced(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    Planned(toy_config(root, **AT_ONCE), fails_first(1)).run()
    assert "failed: OSError: flaky\nIt is tried again in 0.00 s, with 2 more attempts." in caplog.text


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signal_ends_the_pause_before_the_next_attempt_at_once(root: Path, name: str) -> None:
    timer = threading.Timer(0.05, os.kill, [os.getpid(), getattr(signal, name)])

    def start_timer_and_fail(scheduler: Planned) -> None:
        timer.start()
        fail(scheduler)

    scheduler = Planned(toy_config(root, retries=1, retry_pause=10_000), start_timer_and_fail)
    with pytest.raises(Interrupted):
        scheduler.run()
    timer.join()
    assert kinds(root) == ["Started 0", "Failed 0", "Stopped 0"]
    scheduler = Planned(toy_config(root, **{"continue": only_run(root).name}), note("now"))
    scheduler.run()
    assert scheduler.seen == ["now"]


def test_killed_while_it_waits_the_run_is_neither_failed_nor_lost(root: Path) -> None:
    cfg = toy_config(root, mode__trap="begin1:error", retries=3, retry_pause=10_000)
    with start_child(cfg) as child:
        assert child.stderr is not None
        while "tried again" not in child.stderr.readline():
            assert child.poll() is None
        child.kill()
    record = RunRecord(events(root))
    assert record.ended_by is None
    assert isinstance(record.last, Failed)


def test_thousands_of_failures_cost_no_more_each_than_the_first(root: Path) -> None:
    class Many(Planned):
        def create_routine(self) -> None:
            for number in range(200):
                self.add_step(self.act, number, {}, after=())

        def act(self, number: int, _options: dict[str, Any]) -> None:
            if number % 2:
                self.fm.construct_saving_path(None, "toy_scrap")
                raise MMLError(f"number {number}")

    with pytest.raises(StepsFailedError, match="100 of 200 steps failed") as caught:
        Many(toy_config(root, **GO_ON, logging__level="CRITICAL")).run()
    assert len(caught.value.accounts) == 100


def test_policy_of_a_scheduler_is_refused_before_anything_is_made(root: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match="Unknown on_error 'go'"):
        Planned(toy_config(root, on_error="go"), nothing)
    assert not (root / "results").exists()
    assert Planned(toy_config(root, **GO_ON), nothing).policy == RunPolicy("continue")
