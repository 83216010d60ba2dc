"""Forks: runs that take over what another has done, with real schedules, real files and real kills."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mml.core.scripts.exceptions import ContinueError
from mml.core.scripts.journal import AnyEvent, Done, Opened, Started, encode_line
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.runs import read_run
from tests.support.stages import events_of, newest, run_in_fork, run_stages, stages_config, taken_over
from tests.support.tasks import make_task
from tests.support.toy_scheduler import runs_of

TASK = {"task_list": ["t"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with one task."""
    make_task(tmp_path / "data", "t", per_class=1)
    return tmp_path


def fresh(root: Path, **changes: Any) -> Any:
    """Return what a run of its own returns, with nothing of other runs within reach."""
    apart = root / "apart"
    apart.mkdir(exist_ok=True)
    if not (apart / "data").exists():
        (apart / "data").symlink_to(root / "data")
    return run_stages(apart, **changes)


def fork(root: Path, source: Path, **changes: Any) -> Any:
    """Fork a run and return what the fork returns."""
    return run_stages(root, fork=f"{source.parent.parent.name}/{source.name}", **changes)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() + str(path.stat().st_mtime_ns).encode()
        for path in folder.rglob("*")
        if path.is_file()
    }


def said_of(text: str) -> dict[str, tuple[str, str]]:
    """Return step -> (yes or no, reason) of the table that a fork prints."""
    rows = [_cells(line) for line in text.splitlines() if "  yes  " in line or "  no  " in line]
    return {step: (taken, reason) for step, taken, reason in rows}


def _cells(row: str) -> tuple[str, str, str]:
    taken = "yes" if "  yes  " in row else "no"
    step, _, reason = row.partition(f"  {taken}  ")
    return step.strip(), taken, reason.strip()


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"logging__level": "ERROR"}, [0, 1, 2, 3, 4, 5]),
        ({"mode__make": 2}, []),
        ({"mode__use": 2}, [0, 2]),
        ({"mode__sum": 2}, [0, 1, 2, 3]),
        ({"optimizer__lr": 0.2}, []),
        ({"seed": 2}, []),
        ({"mode__n": 3}, [0, 1, 2, 3]),
        ({"mode__n": 1}, [0, 1]),
        ({"mode__sums": 4}, [0, 1, 2, 3, 4, 5]),
        ({"mode__subroutines": ["make"]}, [0, 1]),
        ({"mode__subroutines": ["make", "use"]}, [0, 1, 2, 3]),
    ],
)
def test_a_fork_takes_over_what_does_not_depend_on_the_change_and_ends_as_a_run_of_its_own(
    root: Path, changes: dict[str, Any], taken: list[int]
) -> None:
    run_stages(root, **TASK)
    source = newest(root)
    before = snapshot(root / "results")
    value = fork(root, source, **TASK, **changes)
    assert taken_over(newest(root)) == taken
    assert value == fresh(root, **TASK, **changes)
    after = snapshot(root / "results")
    assert {name: after.get(name) for name in before} == before


def test_every_step_is_named_with_the_reason(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="boom"):
        run_stages(root, **TASK, mode__trap="use1:error", mode__sums=1)
    fork(root, newest(root), **TASK, mode__use=2, mode__sums=2)
    said = capsys.readouterr().err
    assert "takes over 2 of 6 steps of run" in said
    assert said_of(said) == {
        "make(0)": ("yes", "done, and nothing that it depends on differs"),
        "use(0)": ("no", "depends on mode.use"),
        "make(1)": ("yes", "done, and nothing that it depends on differs"),
        "use(1)": ("no", "was not finished"),
        "total(0)": ("no", "was not finished"),
        "total(1)": ("no", f"is no step of {runs_of(root)[0].name}"),
    }
    fork(root, runs_of(root)[0], **TASK, mode__make=3)
    said = capsys.readouterr().err
    assert said_of(said)["use(0)"] == ("no", "comes after make(0)")
    assert "config  mode.make" in said


def test_what_differs_is_said_once_of_the_run_that_is_forked(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_stages(root, **TASK)
    fork(root, newest(root), **TASK, mode__use=2)
    said = capsys.readouterr().err
    assert said.count("Changed since run") == 1
    assert f"Changed since run {runs_of(root)[0].name} was started:" in said
    assert "config  mode.use  1     2" in said


@pytest.mark.parametrize("what", ["error", "SIGTERM", "SIGKILL"])
def test_runs_that_did_not_get_far_are_forked_as_well(root: Path, what: str) -> None:
    cfg = stages_config(root, **TASK, mode__trap=f"total0:{what}")
    assert run_in_fork(cfg)[0] != 0
    source = newest(root)
    state = {"error": "failed", "SIGTERM": "interrupted", "SIGKILL": "crashed"}[what]
    assert read_run(source).state == state
    value = fork(root, source, **TASK, mode__sum=5)
    assert taken_over(newest(root)) == [0, 1, 2, 3]
    assert value == fresh(root, **TASK, mode__sum=5)
    # and the run itself goes on as if nothing had happened
    assert run_stages(root, **TASK, **{"continue": source.name}) == fresh(root, **TASK)


def test_a_running_run_is_forked_without_disturbing_it(root: Path) -> None:
    with pytest.raises(ValueError, match="boom"):
        run_stages(root, **TASK, mode__trap="total0:error")
    source = newest(root)
    with RunLock(source):
        fork(root, source, **TASK)
    assert taken_over(newest(root)) == [0, 1, 2, 3]


def test_the_journal_says_where_a_step_was_done(root: Path) -> None:
    run_stages(root, **TASK)
    first = newest(root)
    fork(root, first, **TASK, mode__use=2)
    second = newest(root)
    fork(root, second, **TASK, mode__use=2, proj="other")
    third = newest(root, "other")
    done = {event.step: event for event in events_of(third) if isinstance(event, Done)}
    sources = [done[position].source for position in range(6)]
    assert sources == [f"default/{run.name}" for run in (first, second, first, second, second, second)]
    assert [event.source for event in events_of(second) if isinstance(event, Done) and event.source] == [first.name] * 2
    assert done[0].seconds == 0.0


def test_a_fork_in_another_project_refers_to_the_files_where_they_are(root: Path) -> None:
    run_stages(root, **TASK)
    value = fork(root, newest(root), **TASK, mode__use=2, proj="other")
    made = [path.name for path in (root / "results" / "other" / "STAGES" / "t").glob("*.txt")]
    assert len(made) == 2  # of its own steps alone
    assert value == fresh(root, **TASK, mode__use=2)
    journal = (newest(root, "other") / "journal.jsonl").read_text()
    assert '"made_0":"default/STAGES/t/stage_0001.txt"' in journal
    assert str(root) not in journal


def test_a_fork_never_removes_files_of_the_run_it_took_steps_from(root: Path) -> None:
    run_stages(root, **TASK)
    before = snapshot(root / "results")
    fork(root, newest(root), **TASK, mode__use=2, reuse={"clean_up": {"stage": True, "stage_model": True}})
    after = snapshot(root / "results")
    assert {name: after.get(name) for name in before} == before
    left = [path for path in after if path.startswith("default/STAGES/") and path not in before]
    assert left == []  # its own are gone


def test_files_that_the_run_is_going_to_remove_are_not_relied_on(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = {"reuse": {"clean_up": {"stage": True}}}
    with pytest.raises(ValueError, match="boom"):
        run_stages(root, **TASK, **clean, mode__trap="total1:error")
    source = newest(root)
    fork(root, source, **TASK)
    assert taken_over(newest(root)) == []
    said = said_of(capsys.readouterr().err)["make(0)"][1]
    assert said == f"made default/STAGES/t/stage_0001.txt, which goes when run {source.name} is finished"


def test_steps_whose_files_are_gone_are_done_again(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_stages(root, **TASK)
    source = newest(root)
    (root / "results" / "default" / "STAGES" / "t" / "stage_0003.txt").unlink()
    value = fork(root, source, **TASK)
    assert taken_over(newest(root)) == [0, 1]
    assert said_of(capsys.readouterr().err)["make(1)"][1] == "made default/STAGES/t/stage_0003.txt, which is gone"
    assert value == fresh(root, **TASK)


def test_a_task_that_changed_is_worked_on_again(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_task(root / "data", "u", per_class=1)
    run_stages(root, task_list=["t", "u"])
    task = root / "data" / "tasks" / "u" / "task.json"
    task.write_text(task.read_text().replace('"description":""', '"description":"new"') + "\n")
    fork(root, newest(root), task_list=["t", "u"])
    assert taken_over(newest(root)) == []
    said = capsys.readouterr().err
    assert "data  u" in said
    assert said_of(said)["make(0)"][1] == "depends on the data of u, which changed"


def test_the_return_value_is_taken_over_from_the_start_on_or_not_at_all(root: Path) -> None:
    run_stages(root, **TASK, mode__sums=3)
    source = newest(root)
    # `use` runs anew before the sums: what they add to the value has to come after it.
    value = fork(root, source, **TASK, mode__sums=3, mode__use=2)
    assert taken_over(newest(root)) == [0, 2]
    assert value == fresh(root, **TASK, mode__sums=3, mode__use=2)


def test_steps_that_were_added_while_running_are_taken_over(root: Path) -> None:
    run_stages(root, **TASK, mode__grow=True)
    value = fork(root, newest(root), **TASK, mode__grow=True, mode__sums=2)
    assert taken_over(newest(root)) == list(range(8))
    assert value == fresh(root, **TASK, mode__grow=True)


def test_steps_added_behind_a_longer_plan_come_where_they_belong(root: Path) -> None:
    run_stages(root, **TASK, mode__grow=True)
    value = fork(root, newest(root), **TASK, mode__grow=True, mode__sums=3)
    assert taken_over(newest(root)) == list(range(6))
    assert value == fresh(root, **TASK, mode__grow=True, mode__sums=3)


def test_a_fork_goes_on_like_any_run_and_takes_over_nothing_more(root: Path) -> None:
    run_stages(root, **TASK)
    source = newest(root)
    with pytest.raises(ValueError, match="boom"):
        fork(root, source, **TASK, mode__use=2, mode__trap="use1:error")
    run = newest(root)
    shutil.rmtree(source)  # no longer needed, once a step of its own has begun
    changes = {"fork": f"default/{source.name}", "continue": run.name}
    assert run_stages(root, **TASK, mode__use=2, **changes) == fresh(root, **TASK, mode__use=2)
    assert taken_over(run) == [0, 2]


def test_killed_at_its_every_access_to_files_a_fork_goes_on_to_the_same_result(root: Path) -> None:
    run_stages(root, **TASK)
    source = newest(root)
    expected = fresh(root, **TASK, mode__use=2)
    changes = {**TASK, "mode__use": 2, "fork": f"default/{source.name}"}
    before = snapshot(root / "results")
    status, accesses = run_in_fork(stages_config(root, **changes, proj="whole"))
    assert (status, accesses > 20) == (0, True)
    for kill_at in range(1, accesses + 1, 4):
        proj = f"killed_{kill_at}"
        run_in_fork(stages_config(root, **changes, proj=proj), kill_at)
        runs = root / "results" / proj / "runs"
        if not runs.exists() or not any((run / "config.yaml").exists() for run in runs.iterdir()):
            continue
        run = newest(root, proj)
        if read_run(run).state == "finished":
            continue
        assert run_stages(root, **changes, proj=proj, **{"continue": run.name}) == expected, kill_at
        events = events_of(run)
        done = [event.step for event in events if isinstance(event, Done)]
        assert sorted(done) == list(range(6)), kill_at
        assert {position: done.count(position) for position in done} == dict.fromkeys(range(6), 1), kill_at
    after = snapshot(root / "results")
    assert {name: after.get(name) for name in before} == before


def test_the_steps_of_a_fork_follow_those_it_took_over(root: Path) -> None:
    run_stages(root, **TASK)
    fork(root, newest(root), **TASK, mode__use=2)
    kinds = [type(event) for event in events_of(newest(root)) if isinstance(event, Opened | Done | Started)]
    assert kinds[:4] == [Opened, Done, Done, Started]


def test_a_fork_that_was_killed_at_once_does_everything_when_its_source_is_gone(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_stages(root, **TASK)
    source = newest(root)
    with pytest.raises(ValueError, match="boom"):
        fork(root, source, **TASK, mode__use=2, mode__trap="prepare0:error")
    run = newest(root)
    shutil.rmtree(source)
    changes = {"fork": f"default/{source.name}", "continue": run.name}
    assert run_stages(root, **TASK, mode__use=2, **changes) == fresh(root, **TASK, mode__use=2)
    assert "All steps are carried out" in (run / "exp.log").read_text()


@pytest.mark.parametrize("name", ["default/no_such_run", "..", "default/..", "a/b/c", "/etc", "no_such_project/run"])
def test_a_run_that_is_not_there_can_not_be_forked(root: Path, name: str) -> None:
    run_stages(root, **TASK)
    with pytest.raises(ContinueError, match="whose steps could be taken over"):
        run_stages(root, **TASK, fork=name)
    assert len(runs_of(root)) == 1


def test_a_plan_of_many_steps_is_summed_up(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_stages(root, mode__n=25, mode__sums=1)
    fork(root, newest(root), mode__n=25, mode__sums=1, mode__make=2, mode__use=1)
    said = capsys.readouterr().err
    assert said_of(said) == {
        "make, 25 steps": ("no", "depends on mode.make"),
        "use, 25 steps": ("no", "comes after a step that runs anew"),
        "total, 1 step": ("no", "comes after a step that runs anew"),
    }


def test_what_is_reused_comes_first_and_what_was_taken_over_after_it(root: Path) -> None:
    run_stages(root, **TASK, proj="earlier")
    reuse = {"reuse": {"stage": "earlier"}}
    run_stages(root, **TASK, **reuse)
    source = newest(root)
    value = fork(root, source, **TASK, **reuse, mode__use=2)
    assert taken_over(newest(root)) == [0, 2]
    assert value["texts"].keys() == {
        "t/stage",
        *(f"t/{kind}_{number}" for kind in ("made", "used") for number in (0, 1)),
    }
    # a newer file there is another start
    run_stages(root, **TASK, proj="earlier")
    fork(root, source, **TASK, **reuse, mode__use=2)
    assert taken_over(newest(root)) == []


def rewrite(run: Path, path: str, **more: str) -> None:
    """Make a journal say that the first step made a file elsewhere, and more files."""

    def changed(event: AnyEvent) -> AnyEvent:
        if not isinstance(event, Done) or event.step != 0:
            return event
        tasks = json.loads(json.dumps(event.tasks).replace("default/STAGES/t/stage_0001.txt", path))
        tasks["t"]["paths"] |= more
        return msgspec.structs.replace(event, tasks=tasks)

    lines = [encode_line(changed(event)) for event in events_of(run)]
    (run / "journal.jsonl").write_bytes(b"".join(lines))


def test_temporary_files_are_not_relied_on(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="boom"):
        run_stages(root, **TASK, mode__trap="total0:error")
    source = newest(root)
    made = f"default/runs/{source.name}/temp/scrap.txt"
    (source / "temp").mkdir(exist_ok=True)
    (source / "temp" / "scrap.txt").write_text("made 0")
    rewrite(source, made)
    fork(root, source, **TASK)
    assert said_of(capsys.readouterr().err)["make(0)"][1] == f"made {made}, which is temporary"


def test_a_picture_that_is_gone_is_no_reason_to_do_a_step_again(root: Path) -> None:
    run_stages(root, **TASK)
    source = newest(root)
    rewrite(source, "default/STAGES/t/stage_0001.txt", plot="default/PLOTS/t/a_0001.svg")
    with pytest.raises(FileNotFoundError):  # the stages read all files in the end
        fork(root, source, **TASK)
    assert taken_over(newest(root)) == list(range(6))


def test_files_outside_of_the_results_count_as_long_as_they_are_there(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_stages(root, **TASK)
    source = newest(root)
    outside = root / "outside.txt"
    outside.write_text("made 0")
    rewrite(source, outside.as_posix())
    fork(root, source, **TASK)
    assert taken_over(newest(root)) == list(range(6))
    outside.unlink()
    fork(root, source, **TASK)
    assert said_of(capsys.readouterr().err)["make(0)"][1] == f"made {outside}, which is gone"
