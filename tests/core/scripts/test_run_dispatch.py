"""Steps that run elsewhere, in any order, leave what steps that run one after the other leave."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from mml.core.scripts.attempts import AttemptFolder
from mml.core.scripts.exceptions import (
    Interrupted,
    MMLMisconfigurationException,
    PlanError,
    StepsFailedError,
    UnknownNameError,
    WorkerLostError,
)
from mml.core.scripts.journal import Done, Failed, RunRecord, Skipped, Started, Stopped, read_events
from mml.core.scripts.run_records import moved
from mml.core.scripts.schedule import StepRecord
from tests.support.crew import Crew, DirectRunner, crew_config, do
from tests.support.tasks import make_task
from tests.support.toy_scheduler import only_run

TREE = [
    do("add", "t", "a"),
    do("alter", "t", 1.0, after=[0]),
    do("add", "t", "b"),
    do("alter", "t", 2.0, after=[2]),
    do("draw"),
    do("add", "t", "c", after=[4]),
    do("look", "t", after=[1, 3, 5]),
]
GROWING = [
    do("grow", ["add", ["t", "x"], ["me"]], ["alter", ["t", 7.0], ["last"]]),
    do("grow", ["add", ["t", "y"], ["me"]], ["draw", [], ["last"]]),
    do("add", "t", "a"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crew_data")
    make_task(folder, "t", per_class=1)
    return folder


@pytest.fixture
def root(tmp_path: Path, data: Path) -> Path:
    (tmp_path / "data").symlink_to(data)
    DirectRunner.log.clear()
    return tmp_path


def files(root: Path) -> dict[str, str]:
    project = root / "results" / "default"
    found = (path for path in sorted(project.rglob("*")) if path.is_file() and ".claims" not in path.parts)
    names = {path.relative_to(project): path for path in found}
    return {str(name): path.read_text() for name, path in names.items() if name.parts[0] != "runs"}


def events(root: Path) -> list[Any]:
    return list(read_events(only_run(root) / "journal.jsonl")[0])


def result(cfg: DictConfig, root: Path) -> tuple[Any, ...]:
    """Run it and return all that has to be equal; nothing else is left."""
    scheduler = Crew(cfg)
    value = scheduler.run()
    struct = scheduler.seen["t"]
    models = [(model.parameters, model.performance) for model in struct.models]
    found = value, dict(struct.paths), models, files(root)
    assert not (only_run(root) / "attempts").exists()
    shutil.rmtree(root / "results")
    return found


@pytest.mark.parametrize("order", ["first", "last", "random"])
@pytest.mark.parametrize("plan", [TREE, [{**step, "after": None} for step in TREE]], ids=["tree", "row"])
def test_outcome_is_that_of_steps_one_after_the_other(root: Path, plan: list[dict[str, Any]], order: str) -> None:
    expected = result(crew_config(root, *plan), root)
    assert result(crew_config(root, *plan, runner={"order": order, "slots": 3}), root) == expected


def test_fenced_attempts_leave_the_same(root: Path) -> None:
    expected = result(crew_config(root, *TREE), root)
    assert result(crew_config(root, *TREE, runner={"order": "random", "fenced": True}), root) == expected


@pytest.mark.parametrize("order", ["first", "last"])
def test_steps_that_are_added_meanwhile_come_behind_those_that_others_added(root: Path, order: str) -> None:
    cfg = crew_config(root, *GROWING, do("look", "t", after=None), runner={"order": order, "slots": 9})
    scheduler = Crew(cfg)
    scheduler.run()
    plan = RunRecord(events(root)).plan or []
    assert len(plan) == 8
    for position, record in enumerate(plan[4:], start=4):
        (needed,) = record.after or []
        assert needed in ((0, 1) if record.command == "add" else (position - 1,))
    assert sorted(scheduler.seen["t"].paths) == ["a", "x", "y"]
    performances = {model.performance for model in scheduler.seen["t"].models}
    assert performances == {0.0, 7.0} or performances == {None, 7.0}


def test_positions_move_behind_what_others_added() -> None:
    grown = [StepRecord("a", [], [1, 4]), StepRecord("b", [], [5]), StepRecord("c", [])]
    assert [record.after for record in moved(grown, 3, 4)] == [[1, 7], [8], None]
    assert moved(grown, 0, 4) is grown


def test_step_sees_what_it_needs_and_nothing_else(root: Path) -> None:
    plan = [do("add", "t", "a"), do("value", 5), do("look", "t", after=[]), do("look", "t", after=[0]), do("nothing")]
    Crew(crew_config(root, *plan, runner={"order": "first", "slots": 1})).run()
    values = {event.step: event.value for event in events(root) if isinstance(event, Done)}
    assert values[2] == [[], [], None]
    assert values[3] == [["a"], [0.0], None] or values[3] == [["a"], [None], None]


def test_return_value_is_that_of_the_last_step_of_the_plan_that_set_one(root: Path) -> None:
    plan = [do("value", "a"), do("value", "b"), do("nothing")]
    for order in ("first", "last"):
        scheduler = Crew(crew_config(root, *plan, runner={"order": order, "slots": 3}))
        assert scheduler.run() == "b"
        assert RunRecord(events(root)).value == "b"
        shutil.rmtree(root / "results")


def test_steps_that_change_the_same_at_once_fail_with_the_way_out(root: Path) -> None:
    plan = [do("add", "t", "a"), do("alter", "t", 1.0, after=[0]), do("alter", "t", 2.0, after=[0])]
    with pytest.raises(PlanError, match=r"Step 3 changed what another step, one of \[2\], has changed .*`after`"):
        Crew(crew_config(root, *plan, runner={})).run()


def test_journal_has_the_files_of_a_step_before_the_line_that_it_is_done(root: Path) -> None:
    Crew(crew_config(root, do("add", "t", "a"), runner={})).run()
    kinds = [type(event).__name__ for event in events(root)]
    assert kinds == ["Opened", "Planned", "Started", "PathAnnounced", "PathAnnounced", "Done", "Finishing", "Finished"]


# --- failures


@pytest.mark.parametrize("fenced", [False, True])
def test_attempt_that_failed_leaves_nothing_and_is_repeated(root: Path, fenced: bool) -> None:
    plan = [do("fail", "boom", str(root / "tries"), 2), do("add", "t", "a", after=[0])]
    cfg = crew_config(root, *plan, runner={"fenced": fenced}, retries=2)
    Crew(cfg).run()
    assert (root / "tries").read_text() == "..."
    assert [event.attempt for event in events(root) if isinstance(event, Failed)] == [1, 2]
    assert sorted(files(root)) == ["CREW/t/note_0001.txt", "CREW_FAIL/t/note_0001.txt", "CREW_MODELS/t/model_0001.json"]
    assert [event.attempt for event in events(root) if isinstance(event, Done)] == ["1.3", "1.1"]


def test_error_of_a_step_ends_the_run_as_what_it_is_with_its_traceback_there(root: Path) -> None:
    with pytest.raises(ValueError, match="boom") as caught:
        Crew(crew_config(root, do("nothing"), do("fail", "boom"), runner={})).run()
    assert "in fail" in str(caught.value.__cause__)
    (failed,) = (event for event in events(root) if isinstance(event, Failed))
    assert (failed.step, failed.error) == (1, "ValueError: boom")
    assert "in fail" in (only_run(root) / failed.traceback).read_text()


def test_others_go_on_and_those_that_need_it_are_skipped(root: Path) -> None:
    plan = [do("fail", "boom"), do("nothing", 1), do("nothing", 2, after=[0]), do("nothing", 3, after=[2])]
    with pytest.raises(StepsFailedError, match="1 of 4 steps failed, 2 were skipped"):
        Crew(crew_config(root, *plan, runner={}, on_error="continue")).run()
    record = RunRecord(events(root))
    assert [*record.done] == [1]
    assert [event.step for event in events(root) if isinstance(event, Skipped)] == [2, 3]


def test_what_runs_beside_a_step_that_ends_the_run_is_recorded(root: Path) -> None:
    plan = [do("fail", "boom"), do("add", "t", "a"), do("nothing", after=[1])]
    runner = {"slots": 2, "order": "first"}
    with pytest.raises(ValueError, match="boom"):
        Crew(crew_config(root, *plan, runner=runner)).run()
    assert [*RunRecord(events(root)).done] == [1]
    assert "interrupt" in DirectRunner.log
    assert isinstance(events(root)[-1], Failed)


def test_step_that_ends_the_run_is_to_blame_though_another_ends_well_after_it(root: Path) -> None:
    plan = [do("fail", "boom"), do("add", "t", "beside")]
    with pytest.raises(ValueError, match="boom"):
        Crew(crew_config(root, *plan, runner={"slots": 2})).run()
    (failed,) = [event for event in events(root) if isinstance(event, Failed)]
    assert (failed.step, failed.error) == (0, "ValueError: boom")


def test_what_is_reported_with_the_failure_that_ends_the_run_counts(root: Path) -> None:
    plan = [do("add", "t", "a"), do("fail", "boom"), do("add", "t", "b"), do("add", "t", "c")]
    with pytest.raises(ValueError, match="boom"):
        Crew(crew_config(root, *plan, runner={"slots": 4, "batch": True})).run()
    assert [*RunRecord(events(root)).done] == [0, 2, 3]


def test_lost_attempt_is_repeated_although_failures_are_not(root: Path) -> None:
    cfg = crew_config(root, do("add", "t", "a"), runner={"lose": ["0001.1.1!", "0001.1.2"]})
    assert Crew(cfg).run() is None
    assert DirectRunner.log == ["submit 0001.1.1", "submit 0001.1.2", "submit 0001.1.3"]
    assert sorted(files(root)) == ["CREW/t/note_0001.txt", "CREW_MODELS/t/model_0001.json"]


def test_step_that_is_lost_too_often_ends_the_run(root: Path) -> None:
    cfg = crew_config(root, do("nothing"), runner={"lose": ["0001.1.1", "0001.1.2"]}, retries_lost=1)
    with pytest.raises(WorkerLostError, match="worker w was killed by SIGKILL"):
        Crew(cfg).run()
    assert [event.attempt for event in events(root) if isinstance(event, Failed)] == [1, 2]


def test_report_of_an_attempt_that_was_given_up_is_of_no_concern(root: Path) -> None:
    plan = [do("add", "t", "a"), do("add", "t", "b", after=[0]), do("nothing", after=[1])]
    Crew(crew_config(root, *plan, runner={"stale": ["0001.1.1", "0002.1.1"]})).run()
    assert not [event for event in events(root) if isinstance(event, Failed)]
    assert len([event for event in events(root) if isinstance(event, Started)]) == 3


def test_files_of_a_lost_attempt_stay_as_long_as_its_worker_may_write_them(root: Path) -> None:
    # The worker of the test lives on, so its number is not given to the next attempt before the end of the run.
    cfg = crew_config(root, do("add", "t", "a"), runner={"lose": ["0001.1.1!"], "fenced": True})
    scheduler = Crew(cfg)
    scheduler.run()
    assert scheduler.seen["t"].paths["a"].name == "note_0002.txt"
    assert sorted(files(root)) == ["CREW/t/note_0002.txt", "CREW_MODELS/t/model_0002.json"]


def test_step_that_leaves_the_process_fails(root: Path) -> None:
    with pytest.raises(SystemExit):
        Crew(crew_config(root, do("leave", 3), runner={})).run()


def test_worker_that_was_asked_to_stop_by_others_is_as_good_as_lost(root: Path) -> None:
    class Stopped143(Crew):
        pass

    cfg = crew_config(root, do("signal", int(signal.SIGTERM)), runner={}, retries_lost=0)
    with pytest.raises((WorkerLostError, Interrupted)):
        Stopped143(cfg).run()


# --- before the first step


def test_resources_that_nobody_has_are_refused_before_the_first_step(root: Path) -> None:
    plan = [do("nothing"), do("nothing", 1, resources={"gpus": 2})]
    with pytest.raises(MMLMisconfigurationException, match=r"step 2, nothing\(1\) needs 2 GPUs, but there are 0"):
        Crew(crew_config(root, *plan, runner={})).run()
    assert not [event for event in events(root) if isinstance(event, Started)]


def test_command_that_the_runner_is_told_of_has_to_be_one_of_the_plan(root: Path) -> None:
    cfg = crew_config(root, do("nothing"), runner={"resources": {"nothin": {"cpus": 1}}})
    with pytest.raises(UnknownNameError, match="Did you mean 'nothing'"):
        Crew(cfg).run()


def test_resources_go_with_the_work(root: Path) -> None:
    plan = [do("nothing", resources={"gpus": 1}), do("nothing", 1)]
    cfg = crew_config(root, *plan, runner={"has_gpus": 1, "resources": {"nothing": {"memory": "1GB"}}})
    seen = []
    scheduler = Crew(cfg)
    original = DirectRunner.submit
    try:
        DirectRunner.submit = lambda self, work: seen.append(work.resources) or original(self, work)  # type: ignore[func-returns-value,method-assign,assignment]
        scheduler.run()
    finally:
        DirectRunner.submit = original  # type: ignore[method-assign]
    assert [(need.gpus, need.memory) for need in seen] == [(1, 10**9), (None, 10**9)]


# --- going on


@pytest.mark.parametrize(
    ("first", "second"),
    [(None, {"order": "last"}), ({"order": "last"}, None), ({"order": "random"}, {"order": "random"})],
)
def test_continued_run_goes_on_with_another_runner_and_leaves_the_same(root: Path, first: Any, second: Any) -> None:
    tries = root / "tries"
    plan = [*TREE[:-1], do("fail", "boom", str(tries), after=[0]), do("look", "t", after=[1, 3, 5, 6])]
    tries.write_text(".")
    expected = result(crew_config(root, *plan), root)
    tries.unlink()
    with pytest.raises(ValueError, match="boom"):
        Crew(crew_config(root, *plan, runner=first)).run()
    assert result(crew_config(root, *plan, runner=second, **{"continue": only_run(root).name}), root) == expected


def test_attempts_of_a_driver_that_died_lose_their_files_before_anything_else(root: Path) -> None:
    plan = [do("fail", "boom", str(root / "tries")), do("add", "t", "a", after=[0])]
    with pytest.raises(ValueError, match="boom"):
        Crew(crew_config(root, *plan)).run()
    run = only_run(root)
    half = root / "results/default/CREW/t/note_0007.txt"
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_text("half")
    (half.parent / ".claims").mkdir(exist_ok=True)
    (half.parent / ".claims" / half.name).write_text(f"{run.name}\n")
    left = AttemptFolder(run, "0002.1.1")
    left.create()
    left.announce("default/CREW/t/note_0007.txt", "crew")
    Crew(crew_config(root, *plan, runner={}, **{"continue": run.name})).run()
    assert not half.exists()
    assert not (run / "attempts").exists()
    assert sorted(files(root))[-1] == "CREW_MODELS/t/model_0001.json"


def test_folder_that_is_left_of_a_recorded_attempt_takes_none_of_its_files_along(root: Path) -> None:
    plan = [do("add", "t", "a"), do("fail", "boom", str(root / "tries"), after=[0])]
    with pytest.raises(ValueError, match="boom"):
        Crew(crew_config(root, *plan, runner={})).run()
    run = only_run(root)
    left = AttemptFolder(run, "0001.1.1")
    left.create()
    left.announce("default/CREW/t/note_0001.txt", "crew")
    Crew(crew_config(root, *plan, runner={}, **{"continue": run.name})).run()
    assert "CREW/t/note_0001.txt" in files(root)
    assert not left.valid


# --- leaving it to a queue


def test_detached_run_submits_all_and_ends(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Crew(crew_config(root, *TREE, runner={"detached": True, "fenced": True})).run() is None
    assert len(DirectRunner.log) == len(TREE)
    last = events(root)[-1]
    assert isinstance(last, Stopped)
    assert (last.step, last.signal) == (None, "detached")
    said = capsys.readouterr().out
    assert "goes on in the queue" in said
    assert f"mml continue {only_run(root).name}" in said


def test_detached_work_names_what_it_waits_for(root: Path) -> None:
    Crew(crew_config(root, *TREE, runner={"detached": True, "fenced": True})).run()
    run = only_run(root)
    pending = {
        path.parent.name: json.loads(path.read_text())["work"].get("pending", [])
        for path in sorted((run / "attempts").glob("*/job.json"))
    }
    assert pending["0001.1.1"] == []
    assert pending["0002.1.1"] == ["0001.1.1"]
    assert sorted(pending["0007.1.1"]) == [f"000{number}.1.1" for number in range(1, 7)]


def test_another_runner_ends_what_was_left_to_a_queue_before_it_begins(root: Path) -> None:
    Crew(crew_config(root, *TREE, runner={"detached": True, "fenced": True})).run()
    run = only_run(root).name
    DirectRunner.log.clear()
    Crew(crew_config(root, *TREE, **{"continue": run})).run()
    assert DirectRunner.log == ["cancel direct"] * len(TREE)
    assert not (only_run(root) / "attempts").exists()
