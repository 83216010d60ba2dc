"""Runs that fail, are stopped and are killed, and what is left of them when they are continued."""

import json
import logging
import os
import random
import re
import resource
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts import journal
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.exceptions import (
    ContinueError,
    Interrupted,
    JournalError,
    MMLError,
    PlanError,
    RunLockedError,
    UnknownNameError,
)
from mml.core.scripts.journal import Done, Failed, Finished, Opened, Planned, RunRecord, Started, Stopped, read_events
from mml.core.scripts.plugins import HOOKS
from mml.core.scripts.run_driver import continue_command, given_overrides
from mml.core.scripts.runs import read_run
from mml.core.scripts.schedule import Step
from tests.support import toy_scheduler
from tests.support.tasks import make_task
from tests.support.toy_scheduler import Toy, only_run, outcome, runs_of, start_child, toy_config

WAIT = 60
PLACES = ("prepare", "begin0", "half1", "end1", "half100", "finish", "half_finish", "end_finish")
SETTINGS: dict[str, Any] = {
    "mode__n": 2,
    "mode__grow_at": 1,
    "task_list": ["t"],
    "reuse": {"clean_up": {"toy_all": True}},
}


class Scripted(AbstractBaseScheduler):
    """A scheduler whose steps are functions given by a test."""

    def __init__(self, cfg: DictConfig, *steps: Callable[["Scripted"], None]) -> None:
        super().__init__(cfg, ["work", "rest"])
        self.script = steps
        self.seen: list[Any] = []
        self.prepare: Callable[[Scripted], None] = lambda _: None
        self.finish: Callable[[Scripted], None] = lambda _: None

    def create_routine(self) -> None:
        for number in range(len(self.script)):
            self.add_step(self.act, number)

    def act(self, number: int) -> None:
        self.script[number](self)

    def late(self, value: Any) -> None:
        self.seen.append(value)

    def after_preparation_hook(self) -> None:
        self.prepare(self)

    def before_finishing_hook(self) -> None:
        self.finish(self)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy_data")
    make_task(folder, "t", per_class=1)
    return folder


@pytest.fixture
def root(tmp_path: Path, data: Path) -> Path:
    (tmp_path / "data").symlink_to(data)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Path) -> tuple[dict[str, str], Any]:
    """What an uninterrupted run of the toy leaves and returns."""
    root = tmp_path_factory.mktemp("whole")
    (root / "data").symlink_to(data)
    value = Toy(toy_config(root, **SETTINGS)).run()
    return outcome(root), value


def events(root: Path) -> list[journal.AnyEvent]:
    return read_events(only_run(root) / "journal.jsonl")[0]


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Everything below a folder, itself included: bytes and time of change."""
    paths = [folder, *sorted(folder.rglob("*"))]
    return {str(path): (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns) for path in paths}


def fail(_: Scripted) -> None:
    raise ValueError("boom")


def nothing(_: Scripted) -> None:
    pass


# --- stopping and going on


@pytest.mark.parametrize("what", ["error", "SIGINT", "SIGTERM"])
@pytest.mark.parametrize("place", PLACES)
def test_stopped_anywhere_it_continues_to_what_an_uninterrupted_run_leaves(
    root: Path, whole: tuple[dict[str, str], Any], place: str, what: str
) -> None:
    trace = root / "trace"
    cfg = toy_config(root, **SETTINGS, mode__trace=str(trace))
    with pytest.raises((ValueError, Interrupted)):
        Toy(toy_config(root, **SETTINGS, mode__trace=str(trace), mode__trap=f"{place}:{what}")).run()
    done = len(RunRecord(events(root)).done)
    cfg["continue"] = only_run(root).name
    value = Toy(cfg).run()
    assert (outcome(root), value) == whole
    ends = [line for line in trace.read_text().split() if line in ("end0", "end1", "end100")]
    assert len(ends) == 3 + (place == "end1")  # that one had ended, but was not recorded
    assert done == {"half1": 1, "end1": 1, "half100": 2}.get(place, 3 if "finish" in place else 0)


def test_stopped_at_every_step_in_turn_it_arrives_all_the_same(root: Path, whole: tuple[dict[str, str], Any]) -> None:
    changes: dict[str, Any] = {}
    for place in PLACES:
        with pytest.raises(ValueError, match="boom"):
            Toy(toy_config(root, **SETTINGS, **changes, mode__trap=f"{place}:error")).run()
        changes = {"continue": only_run(root).name}
    value = Toy(toy_config(root, **SETTINGS, **changes)).run()
    assert (outcome(root), value) == whole


def test_continued_run_returns_the_value_of_the_whole_run(root: Path) -> None:
    with pytest.raises(Interrupted):
        Toy(toy_config(root, mode__trap="begin2:SIGTERM")).run()
    value = Toy(toy_config(root, **{"continue": only_run(root).name})).run()
    assert [number for number, _ in value["steps"]] == [0, 1, 2]


def test_time_of_a_continued_run_is_that_of_all_its_steps(root: Path) -> None:
    with pytest.raises(ValueError, match="boom"):
        Toy(toy_config(root, mode__trap="begin2:error")).run()
    scheduler = Toy(toy_config(root, **{"continue": only_run(root).name}))
    scheduler.run()
    assert scheduler.seconds == sum(event.seconds for event in events(root) if isinstance(event, Done))


def test_journal_tells_what_happened_in_order(root: Path) -> None:
    Scripted(toy_config(root), nothing, nothing).run()
    kinds = [type(event).__name__ for event in events(root)]
    assert kinds == ["Opened", "Planned", "Started", "Done", "Started", "Done", "Finishing", "Finished"]


def test_opened_line_names_the_process_the_mode_and_the_versions(root: Path) -> None:
    Toy(toy_config(root, task_list=["t"])).run()
    first = events(root)[0]
    assert isinstance(first, Opened)
    assert (first.pid, first.mode, first.tasks) == (os.getpid(), "toy", ["t"])
    assert first.versions["numpy"] == np.__version__
    assert first.command == sys.argv


def test_failed_step_is_recorded_with_its_traceback(root: Path) -> None:
    with pytest.raises(ValueError, match="boom") as caught:
        Scripted(toy_config(root), nothing, fail).run()
    last = events(root)[-1]
    assert isinstance(last, Failed)
    assert (last.step, last.error) == (1, "ValueError: boom")
    dump = only_run(root) / last.traceback
    assert dump.name.startswith("step_0002")
    assert dump.read_text().endswith("ValueError: boom\n")
    assert caught.value.traceback_file == dump  # type: ignore[attr-defined]


def test_own_error_is_recorded_in_its_own_words(root: Path) -> None:
    def refuse(_: Scripted) -> None:
        raise MMLError("No  such\nluck.")

    with pytest.raises(MMLError):
        Scripted(toy_config(root), refuse).run()
    assert read_run(only_run(root)).error == "No such luck."


def test_failed_hook_is_recorded_as_such(root: Path) -> None:
    scheduler = Scripted(toy_config(root))
    scheduler.finish = fail
    with pytest.raises(ValueError, match="boom"):
        scheduler.run()
    last = events(root)[-1]
    assert isinstance(last, Failed)
    assert (last.step, last.traceback.startswith("errors/hook_")) == (None, True)


def test_error_with_text_that_is_no_unicode_is_recorded(root: Path) -> None:
    def fail_at_odd_name(_: Scripted) -> None:
        name = os.fsdecode(b"caf\xe9.png")
        raise ValueError(f"can't read {name}")

    with pytest.raises(ValueError, match="can't read") as caught:
        Scripted(toy_config(root), fail_at_odd_name).run()
    assert read_run(only_run(root)).error == "ValueError: can't read caf\\udce9.png"
    assert "caf\\udce9.png" in caught.value.traceback_file.read_text()  # type: ignore[attr-defined]


def test_system_exit_in_a_step_is_a_failure(root: Path) -> None:
    with pytest.raises(SystemExit):
        Scripted(toy_config(root), lambda _: sys.exit(3)).run()
    assert read_run(only_run(root)).state == "failed"


def test_interruption_is_recorded_with_step_and_signal(root: Path) -> None:
    with pytest.raises(Interrupted) as caught:
        Toy(toy_config(root, mode__trap="begin1:SIGTERM")).run()
    assert caught.value.exit_code == 143
    last = events(root)[-1]
    assert isinstance(last, Stopped)
    assert (last.step, last.signal) == (1, "SIGTERM")


@pytest.mark.parametrize(("proj", "words"), [("default", ""), ("mine", " proj=mine"), ("my work", " 'proj=my work'")])
def test_error_carries_the_command_that_continues(root: Path, proj: str, words: str) -> None:
    with pytest.raises(ValueError, match="boom") as caught:
        Scripted(toy_config(root, proj=proj), fail).run()
    name = only_run(root, proj).name
    assert caught.value.continue_command == f"mml continue {name}{words}"  # type: ignore[attr-defined]


def test_without_hydra_there_are_no_overrides(root: Path) -> None:
    assert given_overrides() == []
    assert continue_command(toy_config(root), root / "a_run") == "mml continue a_run"


def test_second_interrupt_ends_the_process_at_once(root: Path) -> None:
    # The step catches the first one and would go on for ever.
    code = (
        "import os, signal, sys, threading\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
        "from pathlib import Path\n"
        "from mml.core.scripts.exceptions import Interrupted\n"
        "from tests.support.toy_scheduler import Toy, toy_config\n"
        "class Stubborn(Toy):\n"
        "    def work(self, number):\n"
        "        while True:\n"
        "            try:\n"
        "                print('ready', flush=True)\n"
        "                threading.Event().wait()\n"
        "            except Interrupted:\n"
        "                pass\n"
        f"Stubborn(toy_config(Path({str(root)!r}))).run()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(2):
            assert child.stdout.readline() == "ready\n"
            child.send_signal(signal.SIGINT)
        assert child.wait(WAIT) == 130
    assert read_run(only_run(root)).state == "crashed"


def test_swallowed_signal_stops_the_run_after_the_step(root: Path) -> None:
    def swallow(_: Scripted) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException:  # noqa: BLE001 # as destructors and some libraries do
            logging.getLogger(__name__).debug("swallowed")

    with pytest.raises(Interrupted):
        Scripted(toy_config(root), swallow, fail).run()
    record = RunRecord(events(root))
    assert set(record.done) == {0}
    assert isinstance(record.last, Stopped)


def test_signal_while_a_line_is_written_waits_until_it_is_durable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, calls = journal._sync, []

    def sync_and_be_stopped(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 3:  # after those of `opened` and `plan`: the `done` of the first step
            os.kill(os.getpid(), signal.SIGTERM)
        sync(handle)

    monkeypatch.setattr(journal, "_sync", sync_and_be_stopped)
    with pytest.raises(Interrupted):
        Scripted(toy_config(root), nothing, fail).run()
    assert [type(event) for event in events(root)] == [Opened, Planned, Started, Done, Stopped]


def test_signal_while_cleaning_up_leaves_a_finished_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove_temp = MMLFileManager.remove_temp

    def remove_and_be_stopped(fm: MMLFileManager) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        remove_temp(fm)

    monkeypatch.setattr(MMLFileManager, "remove_temp", remove_and_be_stopped)
    with pytest.raises(Interrupted) as caught:
        Scripted(toy_config(root), nothing).run()
    assert isinstance(events(root)[-1], Finished)
    assert not hasattr(caught.value, "continue_command")


def test_signal_while_a_failure_is_recorded_hides_it_not(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, calls = journal._sync, []

    def sync_and_be_stopped(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        sync(handle)

    monkeypatch.setattr(journal, "_sync", sync_and_be_stopped)
    with pytest.raises(ValueError, match="boom") as caught:
        Scripted(toy_config(root), fail).run()
    assert hasattr(caught.value, "continue_command")
    assert isinstance(events(root)[-1], Failed)


def test_full_disk_fails_the_run_and_it_continues_when_there_is_space(root: Path) -> None:
    code = (
        "import resource, signal, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
        "from pathlib import Path\n"
        "from tests.support.toy_scheduler import Toy, only_run, toy_config\n"
        f"root = Path({str(root)!r})\n"
        "class Filling(Toy):\n"
        "    def work(self, number):\n"
        "        if number == 2:\n"  # the journal can't grow any more
        "            size = (only_run(root) / 'journal.jsonl').stat().st_size + 30\n"
        "            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    Filling(toy_config(root)).run()\n"
        "finally:\n"  # who measures coverage writes at the end
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert child.returncode == 1
    assert "File too large" in child.stderr.splitlines()[-1] or "No space left" in child.stderr.splitlines()[-1]
    record = RunRecord(events(root))
    assert set(record.done) == {0, 1}
    assert isinstance(record.last, Started)
    value = Toy(toy_config(root, **{"continue": only_run(root).name})).run()
    assert [number for number, _ in value["steps"]] == [2]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


# --- refusals


def test_finished_run_is_refused_and_left_as_it_is(root: Path) -> None:
    Toy(toy_config(root)).run()
    before = snapshot(root / "results")
    with pytest.raises(ContinueError, match="is finished"):
        Toy(toy_config(root, **{"continue": only_run(root).name})).run()
    assert snapshot(root / "results") == before


@pytest.mark.parametrize("name", ["nothing_here", "../x", ".", ""])
def test_unknown_run_is_refused_and_nothing_is_made(root: Path, name: str) -> None:
    Toy(toy_config(root)).run()
    before = snapshot(root / "results")
    scheduler = Toy(toy_config(root, **{"continue": name or "/"}))
    with pytest.raises(ContinueError, match="There is no run"):
        scheduler.run()
    assert snapshot(root / "results") == before


def test_running_run_is_refused_naming_its_owner_and_left_as_it_is(root: Path) -> None:
    with start_child(toy_config(root, mode__trap="begin1:wait")) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        before = snapshot(root / "results")
        with pytest.raises(RunLockedError) as caught:
            Toy(toy_config(root, **{"continue": only_run(root).name})).run()
        assert snapshot(root / "results") == before
        assert read_run(only_run(root)).state == "running"
        child.communicate("go\n", timeout=WAIT)
    assert child.returncode == 0
    message = str(caught.value)
    assert f"process {child.pid} " in message
    for part in (os.uname().nodename, "started 20", "toy_scheduler.py"):
        assert part in message


def test_of_two_that_continue_at_once_one_wins(root: Path) -> None:
    with pytest.raises(ValueError, match="boom"):
        Toy(toy_config(root, mode__trap="begin1:error")).run()
    name = only_run(root).name
    cfg = toy_config(root, mode__trap="begin1:wait", **{"continue": name})
    with start_child(cfg) as first, start_child(cfg) as second:
        # One of them is refused; the other waits in its step until then.
        outputs = [_until_decided(child) for child in (first, second)]
        for child, output in zip((first, second), outputs, strict=True):
            if output == "waiting\n":
                child.communicate("go\n", timeout=WAIT)
        codes = {first.wait(WAIT), second.wait(WAIT)}
    assert codes == {0, 1}
    assert RunRecord(events(root)).finished
    starts = [event.step for event in events(root) if isinstance(event, Started)]
    assert starts == [0, 1, 1, 2]


def _until_decided(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def test_other_plan_is_refused_and_the_run_left_as_it_is(root: Path) -> None:
    with pytest.raises(ValueError, match="boom"):
        Toy(toy_config(root, mode__trap="begin1:error")).run()
    before = snapshot(root / "results")
    with pytest.raises(PlanError, match="it had 3 steps, now it has 4"):
        Toy(toy_config(root, mode__n=4, **{"continue": only_run(root).name})).run()
    assert snapshot(root / "results") == before


def test_shorter_plan_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="boom"):
        Toy(toy_config(root, mode__trap="begin1:error")).run()
    with pytest.raises(PlanError, match="it had 3 steps, now it has 2"):
        Toy(toy_config(root, mode__n=2, **{"continue": only_run(root).name})).run()


def test_damaged_journal_is_refused_and_left_as_it_is(root: Path) -> None:
    with pytest.raises(ValueError, match="boom"):
        Toy(toy_config(root, mode__trap="begin1:error")).run()
    file = only_run(root) / "journal.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"event":"plan"', b'"event":"plam"'))
    before = snapshot(root / "results")
    with pytest.raises(JournalError, match=r"journal\.jsonl, line 2, is damaged"):
        Toy(toy_config(root, **{"continue": only_run(root).name})).run()
    assert snapshot(root / "results") == before


def test_unknown_log_level_is_refused_before_anything_is_made(root: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown logging\.level 'LOUD'"):
        Toy(toy_config(root, logging__level="loud")).run()
    assert not (root / "results").exists()


def test_run_killed_before_it_had_a_plan_is_planned_anew(root: Path) -> None:
    with pytest.raises(ValueError, match="boom"):
        Toy(toy_config(root, mode__trap="prepare:error")).run()
    value = Toy(toy_config(root, mode__n=4, **{"continue": only_run(root).name})).run()
    assert len(value["steps"]) == 4


def test_runs_started_at_the_same_moment_have_folders_of_their_own(root: Path) -> None:
    cfg = json.dumps(
        dict(toy_config(root, mode__n=1)) | {"mode": {"id": "toy", "subroutines": ["work"], "n": 1}}, default=dict
    )
    child = subprocess.run(
        [sys.executable, toy_scheduler.__file__, cfg, "20"], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    runs = runs_of(root)
    assert len(runs) == 20
    assert {read_run(run).state for run in runs} == {"finished"}
    assert len(list((root / "results/default/TOY").glob("all_*.txt"))) == 20


# --- return values


def test_value_changed_in_place_is_recorded(root: Path) -> None:
    def begin(scheduler: Scripted) -> None:
        scheduler.return_value = {"folds": []}

    def add(scheduler: Scripted) -> None:
        scheduler.return_value["folds"].append(0.5)

    with pytest.raises(ValueError, match="boom"):
        Scripted(toy_config(root), begin, add, add, fail).run()
    assert RunRecord(events(root)).value == {"folds": [0.5, 0.5]}


def test_value_that_a_step_leaves_alone_is_not_repeated_in_the_journal(root: Path) -> None:
    def put(scheduler: Scripted) -> None:
        scheduler.return_value = [float("nan")]

    Scripted(toy_config(root), put, nothing).run()
    lines = (only_run(root) / "journal.jsonl").read_text().splitlines()
    assert ['"value"' in line for line in lines if '"event":"done"' in line] == [True, False]


@pytest.mark.parametrize(
    ("given", "returned"),
    [
        ((1, 2), [1, 2]),
        (np.float32(0.5), 0.5),
        (np.arange(1), 0),
        (float("inf"), float("inf")),
        ({"a": (1,)}, {"a": [1]}),
    ],
)
def test_run_returns_the_same_value_as_its_continuation(root: Path, given: Any, returned: Any) -> None:
    def put(scheduler: Scripted) -> None:
        scheduler.return_value = given

    assert Scripted(toy_config(root), put).run() == returned
    with pytest.raises(ValueError, match="boom"):
        Scripted(toy_config(root, proj="other"), put, fail).run()
    cfg = toy_config(root, proj="other", **{"continue": only_run(root, "other").name})
    assert Scripted(cfg, fail, nothing).run() == returned


def test_value_that_is_no_json_fails_the_step_by_name(root: Path) -> None:
    def put(scheduler: Scripted) -> None:
        scheduler.return_value = object()

    with pytest.raises(MMLError, match=r"Value <object .* can't be journaled as return_value of step act\(0\)"):
        Scripted(toy_config(root), put).run()
    assert RunRecord(events(root)).done == {}


def test_value_of_a_hook_is_returned(root: Path) -> None:
    def finish(scheduler: Scripted) -> None:
        scheduler.return_value = 7

    scheduler = Scripted(toy_config(root), nothing)
    scheduler.finish = finish
    assert scheduler.run() == 7
    assert RunRecord(events(root)).value == 7


# --- what a scheduler is told


def test_signals_can_be_held_back_while_the_run_goes_on_and_only_then(root: Path) -> None:
    def look(scheduler: Scripted) -> None:
        assert scheduler.guard is not None
        with scheduler.guard.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            scheduler.seen.append(scheduler.guard.seen)

    scheduler = Scripted(toy_config(root), look)
    with pytest.raises(Interrupted):
        scheduler.run()
    assert scheduler.seen == [signal.SIGTERM]
    assert scheduler.guard is None


def test_scheduler_is_told_of_each_step_when_its_record_is_durable(root: Path) -> None:
    class Told(Scripted):
        def step_recorded(self, step: Step) -> None:
            last = events(root)[-1]
            assert isinstance(last, Done)
            self.seen.append((step.position, last.step, self.step_position))

    scheduler = Told(toy_config(root), nothing, nothing)
    scheduler.run()
    assert scheduler.seen == [(0, 0, 0), (1, 1, 1)]


# --- plans that grow


def test_steps_added_while_running_are_journaled_with_the_step_that_added_them(root: Path) -> None:
    Toy(toy_config(root, mode__grow_at=1)).run()
    grown = {event.step: [str(step) for step in event.grown] for event in events(root) if isinstance(event, Done)}
    assert grown == {0: [], 1: ["work(100)"], 2: [], 3: []}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("work", "gone", "'gone' is no method of Toy"),
        ("work", "seed", "'seed' is no method of Toy"),
        ("[100]", '[{"$path":"../up"}]', "can't be restored"),
        ("[100],null", "[100],[7]", "can't come after"),
    ],
)
def test_recorded_growth_that_can_not_be_is_refused(root: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ValueError, match="boom"):
        Toy(toy_config(root, mode__n=1, mode__grow_at=0, mode__trap="begin100:error")).run()
    path = only_run(root) / journal.JOURNAL_FILE
    lines = path.read_bytes().splitlines()
    (place,) = (number for number, line in enumerate(lines) if b'"grown"' in line)
    head, grown, tail = lines[place].rpartition(b',"crc"')[0].partition(b'"grown":')
    body = head + grown + tail.replace(old.encode(), new.encode())
    lines[place] = b'%s,"crc":"%08x"}' % (body, zlib.crc32(body))
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    MMLFileManager.clear_instance()
    with pytest.raises(PlanError, match=re.escape(said)):
        Toy(toy_config(root, mode__n=1, mode__grow_at=0, **{"continue": only_run(root).name})).run()


def test_growth_of_an_interrupted_run_is_kept_with_its_params(root: Path) -> None:
    def grow(scheduler: Scripted) -> None:
        scheduler.add_step(scheduler.late, {"file": root / "results" / "x", "numbers": [1, 2.5]})

    with pytest.raises(ValueError, match="boom"):
        Scripted(toy_config(root), grow, fail).run()
    scheduler = Scripted(toy_config(root, **{"continue": only_run(root).name}), fail, nothing)
    scheduler.run()
    assert scheduler.seen == [{"file": root / "results" / "x", "numbers": [1, 2.5]}]


def test_what_an_added_step_comes_after_is_kept(root: Path) -> None:
    def grow(scheduler: Scripted) -> None:
        assert scheduler.add_step(scheduler.late, 1, after=()) == 2
        scheduler.add_step(scheduler.late, 2, after=[0])

    with pytest.raises(ValueError, match="boom"):
        Scripted(toy_config(root), grow, fail).run()
    assert [step.after for step in RunRecord(events(root)).plan or []] == [None, None, [], [0]]
    scheduler = Scripted(toy_config(root, **{"continue": only_run(root).name}), fail, nothing)
    scheduler.run()
    assert [step.needs for step in scheduler.steps_from(0)] == [[], [0], [], [0]]


def test_growth_of_a_step_that_fails_is_forgotten(root: Path) -> None:
    def grow_and_fail(scheduler: Scripted) -> None:
        scheduler.add_step(scheduler.late, 1)
        fail(scheduler)

    with pytest.raises(ValueError, match="boom"):
        Scripted(toy_config(root), grow_and_fail).run()
    scheduler = Scripted(toy_config(root, **{"continue": only_run(root).name}), nothing)
    scheduler.run()
    assert scheduler.seen == []


def test_added_step_that_the_scheduler_has_not_is_refused_where_it_is_added(root: Path) -> None:
    def stranger(number: int) -> None:
        pass

    def grow(scheduler: Scripted) -> None:
        scheduler.add_step(stranger, 1)

    with pytest.raises(PlanError, match="'stranger'.*no method of Scripted"):
        Scripted(toy_config(root), grow).run()


def test_step_added_after_the_last_step_is_refused(root: Path) -> None:
    scheduler = Scripted(toy_config(root), nothing)
    scheduler.finish = lambda s: s.add_step(s.late, 1)
    with pytest.raises(PlanError, match="before_finishing_hook added steps"):
        scheduler.run()


# --- files


def test_unfinished_file_of_an_interrupted_step_is_gone_when_it_runs_again(root: Path) -> None:
    def write_half(scheduler: Scripted) -> None:
        scheduler.fm.construct_saving_path(None, "toy_all").write_text("half")
        fail(scheduler)

    def look(scheduler: Scripted) -> None:
        path = scheduler.fm.construct_saving_path(None, "toy_all")
        scheduler.seen.append((path.name, path.exists()))

    with pytest.raises(ValueError, match="boom"):
        Scripted(toy_config(root), write_half).run()
    assert (root / "results/default/TOY/all_0001.txt").read_text() == "half"
    scheduler = Scripted(toy_config(root, **{"continue": only_run(root).name}), look)
    scheduler.run()
    assert scheduler.seen == [("all_0001.txt", False)]


def test_temporary_file_of_a_finished_step_outlives_the_interruption_of_a_step_that_uses_it(root: Path) -> None:
    def write(scheduler: Scripted) -> None:
        scheduler.fm.construct_saving_path(None, "toy_scrap").write_text("kept")

    def use(scheduler: Scripted) -> None:
        scheduler.seen.append(scheduler.fm.construct_saving_path(None, "toy_scrap").read_text())

    def use_and_fail(scheduler: Scripted) -> None:
        use(scheduler)
        fail(scheduler)

    with pytest.raises(ValueError, match="boom"):
        Scripted(toy_config(root), write, use_and_fail).run()
    scheduler = Scripted(toy_config(root, **{"continue": only_run(root).name}), fail, use)
    scheduler.run()
    assert scheduler.seen == ["kept"]


def test_number_that_a_finished_step_reserved_is_not_given_to_another_step(root: Path) -> None:
    def reserve(scheduler: Scripted) -> None:
        scheduler.get_struct("t").paths["later"] = scheduler.fm.construct_saving_path(None, "toy_all")

    def write_both(scheduler: Scripted) -> None:
        own = scheduler.fm.construct_saving_path(None, "toy_all")
        scheduler.seen += [own.name, scheduler.get_struct("t").paths["later"].name]

    with pytest.raises(ValueError, match="boom"):
        Scripted(toy_config(root), reserve, fail).run()
    scheduler = Scripted(toy_config(root, **{"continue": only_run(root).name}), fail, write_both)
    scheduler.run()
    assert scheduler.seen == ["all_0002.txt", "all_0001.txt"]


@pytest.mark.parametrize("stop_in", ["the hook", "a step"])
def test_hook_before_the_first_step_gets_the_same_path_when_it_is_repeated(root: Path, stop_in: str) -> None:
    def write(scheduler: Scripted) -> None:
        with scheduler.fm.construct_saving_path(None, "toy_all").open("x") as file:
            file.write("prepared")

    def write_and_fail(scheduler: Scripted) -> None:
        write(scheduler)
        fail(scheduler)

    first = Scripted(toy_config(root), write, fail)
    first.prepare = write if stop_in == "a step" else write_and_fail
    with pytest.raises(ValueError, match="boom"):
        first.run()
    scheduler = Scripted(toy_config(root, **{"continue": only_run(root).name}), write, write)
    scheduler.prepare = write
    scheduler.run()
    names = sorted(path.name for path in (root / "results/default/TOY").iterdir())
    assert names == [".claims", "all_0001.txt", "all_0002.txt", "all_0003.txt"]


def test_clean_up_removes_wanted_kinds_of_this_run_alone_and_only_at_the_end(root: Path) -> None:
    Toy(toy_config(root, mode__n=1)).run()
    own = root / "results/default/TOY/all_0001.txt"
    foreign = own.with_name("all_0007.txt")
    foreign.write_text("of a person")
    clean = {"reuse": {"clean_up": {"toy_all": True, "toy": False}}, "task_list": ["t"]}
    with pytest.raises(ValueError, match="boom"):
        Toy(toy_config(root, mode__n=2, mode__trap="finish:error", **clean)).run()
    names = {path.name for path in own.parent.glob("all_*")}
    assert names == {own.name, foreign.name, "all_0008.txt", "all_0009.txt"}
    Toy(toy_config(root, mode__n=2, **clean, **{"continue": runs_of(root)[-1].name})).run()
    assert {path.name for path in own.parent.glob("all_*")} == {own.name, foreign.name}
    assert len(list((own.parent / "t").glob("toy_*.txt"))) == 2


def test_temporary_folder_is_gone_after_the_run_and_there_before(root: Path) -> None:
    with pytest.raises(ValueError, match="boom"):
        Toy(toy_config(root, mode__trap="finish:error")).run()
    temp = only_run(root) / "temp"
    assert temp.is_dir()
    Toy(toy_config(root, **{"continue": only_run(root).name})).run()
    assert not temp.exists()


def test_killed_while_cleaning_up_it_goes_on_cleaning_up(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = {"reuse": {"clean_up": {"toy_all": True}}, "mode__grow_at": 1}
    Toy(toy_config(root, **clean)).run()
    file = only_run(root) / "journal.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))  # as if killed before `finished`
    (only_run(root) / "temp").mkdir()
    trace = root / "trace"
    capsys.readouterr()
    scheduler = Toy(toy_config(root, **clean, mode__trace=str(trace), **{"continue": only_run(root).name}))
    value = scheduler.run()
    assert [number for number, _ in value["steps"]] == [0, 1, 2, 100]
    assert not (only_run(root) / "temp").exists()
    assert not trace.exists()
    assert RunRecord(events(root)).finished
    assert f"Run {only_run(root).name} is finished: 4 steps in " in capsys.readouterr().out


# --- randomness


def test_each_step_draws_the_same_numbers_whatever_ran_before(root: Path) -> None:
    drawn: list[tuple[float, float]] = []

    def draw(_: Scripted) -> None:
        drawn.append((random.random(), float(np.random.random())))

    with pytest.raises(ValueError, match="boom"):
        Scripted(toy_config(root), nothing, draw, fail).run()
    Scripted(toy_config(root, proj="b"), draw, draw).run()
    assert drawn[0] == drawn[2] != drawn[1]


def test_hook_after_the_last_step_draws_the_same_numbers_when_it_is_repeated(root: Path) -> None:
    drawn: list[float] = []

    def draw_and_fail(scheduler: Scripted) -> None:
        drawn.append(random.random())
        fail(scheduler)

    scheduler = Scripted(toy_config(root), nothing)
    scheduler.finish = draw_and_fail
    with pytest.raises(ValueError, match="boom"):
        scheduler.run()
    scheduler = Scripted(toy_config(root, **{"continue": only_run(root).name}), nothing)
    scheduler.prepare = scheduler.finish = lambda _: drawn.append(random.random())
    scheduler.run()
    assert drawn[0] == drawn[2] != drawn[1]


# --- hooks and modes


def test_plugins_are_called_around_the_steps(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(HOOKS, "before_run", [lambda _: called.append("before")])
    monkeypatch.setattr(HOOKS, "after_run", [lambda _: called.append("after")])
    Scripted(toy_config(root), lambda _: called.append("step")).run()
    assert called == ["before", "step", "after"]


def test_runner_of_the_config_runs_the_steps(root: Path) -> None:
    cfg = toy_config(root, runner={"_target_": "mml.runners.serial.SerialRunner"})
    assert Toy(cfg).run()["steps"]


def test_report_is_made_after_a_finished_run_alone(root: Path) -> None:
    reports: list[float] = []

    class Reporting(Toy):
        def report(self) -> None:
            reports.append(self.seconds)

    with pytest.raises(ValueError, match="boom"):
        Reporting(toy_config(root, mode__trap="finish:error")).run()
    assert reports == []
    Reporting(toy_config(root, **{"continue": only_run(root).name})).run()
    assert len(reports) == 1


class Looking(Scripted):
    records_run = False


def test_mode_that_only_looks_leaves_no_trace(root: Path) -> None:
    order: list[str] = []
    scheduler = Looking(toy_config(root), lambda _: order.append("step"))
    scheduler.prepare = lambda _: order.append("prepare")
    scheduler.finish = lambda _: order.append("finish")
    scheduler.return_value = 3
    assert scheduler.run() == 3
    assert order == ["prepare", "step", "finish"]
    assert not (root / "results").exists()


def test_mode_that_only_looks_may_add_steps(root: Path) -> None:
    scheduler = Looking(toy_config(root), lambda s: s.add_step(s.late, "more"))
    scheduler.run()
    assert scheduler.seen == ["more"]


def test_what_a_step_logs_is_in_the_log_of_the_run(root: Path) -> None:
    Scripted(toy_config(root), lambda _: logging.getLogger("mine").warning("Mind the gap")).run()
    assert "WARNING  mine: Mind the gap" in (only_run(root) / "exp.log").read_text()


def test_finished_run_says_so_with_its_steps_and_where_they_are_recorded(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Toy(toy_config(root, **SETTINGS)).run()
    *_, line = capsys.readouterr().out.splitlines()
    assert line.startswith(f"Run {only_run(root).name} is finished: 3 steps in ")
    assert line.endswith(str(only_run(root)))


def test_a_file_whose_line_of_the_journal_is_lost_is_no_obstacle(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_task(root / "data", "pets", per_class=1)
    child = start_child(toy_config(root, task_list=["pets"], mode__trap="half1:SIGKILL"))
    child.communicate()
    path = only_run(root) / journal.JOURNAL_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    assert b"toy_0002.txt" in lines[-1]
    path.write_bytes(b"".join(lines[:-1]))
    MMLFileManager.clear_instance()
    with caplog.at_level("WARNING"):
        Toy(toy_config(root, task_list=["pets"], **{"continue": only_run(root).name})).run()
    names = sorted(file.name for file in (root / "results" / "default" / "TOY" / "pets").glob("*.txt"))
    assert names == ["toy_0001.txt", "toy_0002.txt", "toy_0003.txt"]
    assert "is in no line of the journal" in caplog.text
