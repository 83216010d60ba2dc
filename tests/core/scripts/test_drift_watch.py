"""What a run that begins is told: of itself when it goes on, and of the runs whose files it reuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.drift_watch import makers, reused_files
from mml.core.scripts.journal import Opened, Planned, decode_line, encode_line
from tests.support.stages import Stages, events_of, newest, run_stages, stages_config
from tests.support.tasks import make_task
from tests.support.toy_scheduler import runs_of

TASK = {"task_list": ["t"]}
REUSE = {"reuse": {"stage": "default"}}
Say = Callable[[], str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with one task."""
    make_task(tmp_path / "data", "t", per_class=1)
    return tmp_path


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Say:
    """Return what was printed on stderr since the last call."""
    return lambda: capsys.readouterr().err


def rewrite(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what the first event of a journal says, as if another machine had written it."""
    journal = run / "journal.jsonl"
    first, *others = journal.read_bytes().splitlines(keepends=True)
    event = json.loads(first)
    del event["crc"]
    change(event)
    changed = decode_event(event)
    journal.write_bytes(b"".join([encode_line(changed), *others]))


def decode_event(event: dict[str, Any]) -> Opened:
    return Opened(**{key: value for key, value in event.items() if key != "event"})


def stop(root: Path, **changes: Any) -> Path:
    """Return the folder of a run that failed half-way."""
    with pytest.raises(ValueError, match="boom"):
        run_stages(root, **TASK, mode__trap="total0:error", **changes)
    return newest(root)


def test_nothing_is_said_when_a_run_begins_or_goes_on_as_it_was(root: Path, said: Say) -> None:
    run = stop(root)
    assert said() == ""
    with pytest.raises(ValueError, match="boom"):
        run_stages(root, **TASK, mode__trap="total0:error", **{"continue": run.name})
    assert said() == ""


def test_what_differs_is_said_once_field_by_field(root: Path, said: Say) -> None:
    run = stop(root)
    rewrite(run, lambda event: event["versions"].update(torch="0.1", numpy="0.2"))
    rewrite(run, lambda event: event["code"].update({"mml-core": "0.0.1, files 12", "Python": "3.10.0"}))
    task = root / "data" / "tasks" / "t" / "task.json"
    task.write_text(task.read_text() + "\n")
    run_stages(root, **TASK, logging__level="ERROR", notify__urls=[], **{"continue": run.name})
    rows = [line.split() for line in said().splitlines()]
    assert rows[0] == ["Changed", "since", "run", run.name, "was", "started:"]
    assert sorted(row[:2] for row in rows[2:]) == [
        ["code", "mml-core"],
        ["config", "logging.level"],
        ["config", "mode.trap"],
        ["data", "t"],
        ["package", "Python"],
        ["package", "numpy"],
        ["package", "torch"],
    ]


def test_a_task_is_recorded_with_the_digest_of_its_description(root: Path) -> None:
    run_stages(root, **TASK)
    (planned,) = [event for event in events_of(newest(root)) if isinstance(event, Planned)]
    manager = Stages(stages_config(root)).fm
    assert planned.data == {"t": manager.task_index.digest("t")}


def test_a_run_of_before_there_were_such_records_is_continued_without_a_word(root: Path, said: Say) -> None:
    run = stop(root)
    rewrite(run, lambda event: (event.pop("versions"), event.pop("code")))
    with pytest.raises(ValueError, match="boom"):
        run_stages(root, **TASK, mode__trap="total0:error", **{"continue": run.name})
    assert said() == ""


def test_reusing_what_was_made_alike_is_not_worth_a_word(root: Path, said: Say) -> None:
    run_stages(root, **TASK, mode__sums=3)
    said()
    run_stages(root, **TASK, **REUSE, proj="other", seed=9, logging__level="ERROR")
    assert said() == ""


def test_reusing_what_was_made_otherwise_is_said(root: Path, said: Say) -> None:
    run_stages(root, **TASK, optimizer__lr=0.5)
    run = newest(root)
    rewrite(run, lambda event: event["versions"].update(torch="0.1"))
    said()
    run_stages(root, **TASK, **REUSE, proj="other", hpo={"x": 1})
    rows = said().splitlines()
    assert rows[0] == f"Changed since run default/{run.name}, which made what is reused, was started:"
    assert [row.split()[:3] for row in rows[2:]] == [["config", "optimizer.lr", "0.5"], ["package", "torch", "0.1"]]


def test_it_is_said_when_a_run_begins_and_not_when_it_goes_on(root: Path, said: Say) -> None:
    run_stages(root, **TASK, optimizer__lr=0.5)
    said()
    with pytest.raises(ValueError, match="boom"):
        run_stages(root, **TASK, **REUSE, proj="other", mode__trap="use0:error")
    assert "optimizer.lr" in said()
    run = newest(root, "other")
    with pytest.raises(ValueError, match="boom"):
        run_stages(root, **TASK, **REUSE, proj="other", mode__trap="use0:error", **{"continue": run.name})
    assert said() == ""


def test_runs_that_differ_alike_share_a_table(root: Path, said: Say) -> None:
    make_task(root / "data", "u", per_class=1)
    for task in ("t", "u"):
        run_stages(root, task_list=[task], optimizer__lr=0.5)
    said()
    run_stages(root, task_list=["t", "u"], **REUSE, proj="other")
    first, second = (f"default/{run.name}" for run in runs_of(root))
    assert f"Changed since runs {first}, {second}, which made what is reused, were started:" in said()


def manager(root: Path) -> MMLFileManager:
    found: MMLFileManager = Stages(stages_config(root, proj="other")).fm
    return found


def test_the_maker_of_a_file_is_found_by_its_claim(root: Path) -> None:
    run_stages(root, **TASK)
    assert makers(manager(root), ["default/STAGES/t/stage_0001.txt", "data:tasks/t/task.json"]) == [newest(root)]
    (newest(root) / "journal.jsonl").unlink()
    assert makers(manager(root), ["default/STAGES/t/stage_0001.txt"]) == [newest(root)]


def test_without_a_claim_the_maker_is_found_by_what_the_journals_announce(root: Path) -> None:
    run_stages(root, **TASK)
    run_stages(root, **TASK)
    for claim in (root / "results" / "default" / "STAGES" / "t" / ".claims").iterdir():
        claim.unlink()
    first, second = runs_of(root)
    texts = ["default/STAGES/t/stage_0001.txt", "default/STAGES/t/stage_0005.txt", "default/STAGES/t/stage_0099.txt"]
    assert makers(manager(root), texts) == [second, first]
    (second / "journal.jsonl").unlink()
    assert makers(manager(root), texts) == [first]


def test_of_a_run_that_is_gone_nothing_is_said(root: Path, said: Say) -> None:
    run_stages(root, **TASK, optimizer__lr=0.5)
    run = newest(root)
    (run / "config.yaml").unlink()
    (run / "journal.jsonl").write_text("no journal\n")
    said()
    run_stages(root, **TASK, **REUSE, proj="other")
    assert said() == ""
    run.rename(run.with_name("elsewhere"))
    assert makers(manager(root), ["default/STAGES/t/stage_0001.txt"]) == []


def test_of_many_runs_only_some_are_asked(root: Path) -> None:
    for _ in range(7):
        run_stages(root, **TASK, mode__n=1, mode__sums=0)
    texts = [f"default/STAGES/t/stage_{number:04}.txt" for number in range(1, 15)]
    assert makers(manager(root), texts) == runs_of(root)[:1:-1]


def test_all_that_reuse_found_is_looked_at() -> None:
    models = [{"parameters": "p/w1", "storage": "p/m1"}, {"parameters": "p/w2"}]
    changes = {"t": {"paths": {"stage": "p/s"}, "models": models}}
    planned = Planned(time=0.0, steps=[], tasks=changes, reused={"toy_all": "p/all"})
    assert reused_files(planned) == ["p/all", "p/s", "p/m1", "p/w2"]
    assert decode_line(encode_line(planned)[:-1]) == planned
