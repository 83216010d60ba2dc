"""What would become of each step, compared with what the run does then."""

from pathlib import Path

import pytest
from omegaconf import DictConfig

from mml.core.scripts.exceptions import ContinueError, JournalError, PlanError, RunLockedError, StepsFailedError
from mml.core.scripts.journal import JOURNAL_FILE, RunRecord, read_events
from mml.core.scripts.run_lock import RunLock
from mml.plan_record import DONE, FAILED, TAKEN, TO_DO, State
from mml.plan_states import foreseen_steps
from tests.support.toy_scheduler import Toy, only_run, runs_of, toy_config


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def begun(root: Path, trap: str, **changes: object) -> str:
    """Start a run that ends with an error, and return its name."""
    with pytest.raises(ValueError, match="boom"):
        Toy(toy_config(root, mode__trap=trap, **changes)).run()
    return only_run(root).name


def foreseen(cfg: DictConfig) -> tuple[list[str], str]:
    found = foreseen_steps(Toy(cfg))
    return [found.states.get(step.position, State()).name for step in found.steps], found.run


def test_all_steps_of_a_new_run_would_run_and_nothing_is_written(tmp_path: Path) -> None:
    assert foreseen(toy_config(tmp_path)) == ([TO_DO] * 3, "")
    assert tree(tmp_path) == {}


def test_of_a_run_to_continue_it_is_told_what_is_done_and_what_failed(tmp_path: Path) -> None:
    name = begun(tmp_path, "begin1:error")
    before = tree(tmp_path)
    cfg = toy_config(tmp_path, **{"continue": name})
    assert foreseen(cfg) == ([DONE, FAILED, TO_DO], name)
    states = foreseen_steps(Toy(cfg)).states
    assert states[0].seconds is not None
    assert states[1].reason == "failed: ValueError: boom"
    assert tree(tmp_path) == before


def test_what_was_skipped_would_run_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(StepsFailedError):
        Toy(toy_config(tmp_path, mode__trap="begin1:error", on_error="continue")).run()
    found = foreseen_steps(Toy(toy_config(tmp_path, **{"continue": only_run(tmp_path).name})))
    assert [found.states[n].name for n in range(3)] == [DONE, FAILED, TO_DO]
    assert found.states[2].reason == "was skipped, as it needs step 2"


def test_a_step_that_was_going_on_when_the_run_was_killed_is_said_to_be_begun(tmp_path: Path) -> None:
    name = begun(tmp_path, "begin1:error")
    journal = only_run(tmp_path) / JOURNAL_FILE
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b'"event":"failed"' not in line))
    states = foreseen_steps(Toy(toy_config(tmp_path, **{"continue": name}))).states
    assert (states[0].name, states[1]) == (DONE, State(TO_DO, "was begun"))
    assert 2 not in states


def test_steps_that_were_added_while_running_belong_to_the_plan(tmp_path: Path) -> None:
    name = begun(tmp_path, "begin2:error", mode__grow_at=1)
    found = foreseen_steps(Toy(toy_config(tmp_path, mode__grow_at=1, **{"continue": name})))
    assert [str(step.record) for step in found.steps] == ["work(0)", "work(1)", "work(2)", "work(100)"]


def test_a_run_that_was_killed_before_its_plan_would_do_everything(tmp_path: Path) -> None:
    name = begun(tmp_path, "begin0:error")
    journal = only_run(tmp_path) / JOURNAL_FILE
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    assert foreseen(toy_config(tmp_path, **{"continue": name})) == ([TO_DO] * 3, name)


def test_a_run_that_is_running_finished_or_damaged_is_refused_as_without_a_plan(tmp_path: Path) -> None:
    name = begun(tmp_path, "begin1:error")
    cfg = toy_config(tmp_path, **{"continue": name})
    with RunLock(only_run(tmp_path)), pytest.raises(RunLockedError, match=f"Run {name} is running: process"):
        foreseen_steps(Toy(cfg))
    with pytest.raises(PlanError, match="The plan is not the one"):
        foreseen_steps(Toy(toy_config(tmp_path, mode__n=2, **{"continue": name})))
    Toy(toy_config(tmp_path, **{"continue": name})).run()
    with pytest.raises(ContinueError, match="is finished"):
        foreseen_steps(Toy(cfg))
    (only_run(tmp_path) / JOURNAL_FILE).write_bytes(b"x\n{}\n")
    with pytest.raises(JournalError):
        foreseen_steps(Toy(cfg))
    with pytest.raises(ContinueError, match="There is no run"):
        foreseen_steps(Toy(toy_config(tmp_path, **{"continue": "none"})))


@pytest.mark.parametrize("changed", [{}, {"mode__grow_at": 0}, {"seed": 2}])
def test_a_fork_takes_over_what_was_foreseen(tmp_path: Path, changed: dict[str, int]) -> None:
    name = begun(tmp_path, "begin2:error", mode__grow_at=1)
    cfg = toy_config(tmp_path, mode__grow_at=1, fork=name)
    cfg.merge_with(toy_config(tmp_path, **{"mode__grow_at": 1, "fork": name, **changed}))
    before = tree(tmp_path)
    found = foreseen_steps(Toy(cfg))
    assert tree(tmp_path) == before
    Toy(cfg).run()
    (fork,) = [run for run in runs_of(tmp_path) if run.name != name]
    record = RunRecord(read_events(fork / JOURNAL_FILE)[0])
    taken = {position for position, done in record.done.items() if done.source}
    assert {position for position, state in found.states.items() if state.name == TAKEN} == taken
    assert all(found.states[n].reason for n in range(3))


def test_of_a_fork_to_continue_it_is_told_what_it_took_over(tmp_path: Path) -> None:
    name = begun(tmp_path, "begin2:error")
    cfg = toy_config(tmp_path, fork=name, mode__trap="begin2:error")
    with pytest.raises(ValueError, match="boom"):
        Toy(cfg).run()
    (fork,) = [run.name for run in runs_of(tmp_path) if run.name != name]
    states = foreseen_steps(Toy(toy_config(tmp_path, fork=name, **{"continue": fork}))).states
    assert [states[n].name for n in range(3)] == [TAKEN, TAKEN, FAILED]
    assert states[0].reason == f"from {name}"


def test_a_mode_that_only_looks_has_a_plan_too(tmp_path: Path) -> None:
    class Looking(Toy):
        records_run = False

    found = foreseen_steps(Looking(toy_config(tmp_path, fork="none")))
    assert (len(found.steps), found.states, found.run) == (3, {}, "")
