"""Plans as files: JSON with everything, Graphviz, a picture; and targets that can't be written."""

import json
import os
from pathlib import Path

import pytest

from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.resources import Resources
from mml.plan_files import as_json, check_target, dot_text, jobs_text, write_plan
from mml.plan_record import DONE
from mml.plan_slots import totals_of
from mml.runners.base import Room
from tests.support.plans import diamond, plan_of, planned

STEPS = [
    planned(0, "first", ["a"], state=DONE, took=2.0, name="one"),
    planned(1, "second", needs=[0], seconds=3.0, size=40, resources=Resources(cpus=2.0)),
]


def test_json_has_all_that_is_known() -> None:
    plan = plan_of(STEPS, Room(slots=2, resources=Resources(cpus=2.0)), notes=("a note",), run="run_1")
    found = json.loads(json.dumps(as_json(plan, totals_of(plan))))
    assert found["runner"] == {"name": "serial", "slots": 2, "cpus": 2.0, "gpus": None, "memory": None, "shared": False}
    assert (found["title"], found["run"], found["out_dir"], found["free"]) == ("mml toy", "run_1", "/results", 10**9)
    assert found["notes"] == ["a note"]
    assert found["totals"] == {
        "steps": 2,
        "done": 1,
        "remaining": 1,
        "seconds_serial": 3.0,
        "seconds": 3.0,
        "seconds_unknown": 0,
        "size": 40,
        "size_unknown": 0,
    }
    first, second = found["steps"]
    assert (first["number"], first["name"], first["command"], first["params"]) == (1, "one", "first", ["a"])
    assert (first["state"], first["took"], first["seconds"], first["estimate"]) == ("done", 2.0, None, None)
    assert (second["after"], second["cpus"], second["seconds"], second["size"]) == ([1], 2.0, 3.0, 40)
    assert (second["estimate"], second["reason"], second["key"]) == ("same step, 1 run", None, STEPS[1].key)


def test_a_disk_that_is_too_small_is_a_note_in_json() -> None:
    plan = plan_of(STEPS, free=1)
    assert as_json(plan, totals_of(plan))["notes"][0].startswith("Warning: the results need about 40 B")


def test_jobs_are_a_list_of_plans() -> None:
    plan = plan_of(STEPS)
    assert len(json.loads(jobs_text([(plan, totals_of(plan))] * 3))["jobs"]) == 3


def test_graphviz_gets_every_step_and_what_it_needs() -> None:
    lines = dot_text(plan_of(diamond())).splitlines()
    assert lines[0] == "digraph plan {"
    assert lines[-1] == "}"
    assert [line.strip() for line in lines if "->" in line] == ["1 -> 2;", "1 -> 3;", "2 -> 4;", "3 -> 4;"]
    assert '  1 [label="○ 1 a()", tooltip="step 1: a()\\nwould run\\nabout 1.00 s (same step, 1 run)"' in lines[3]


def test_quotes_and_controls_in_params_do_not_leave_their_string() -> None:
    text = dot_text(plan_of([planned(0, "work", ['a"]; evil -> x [label="\x00'])]))
    assert "work('a\\\"]; evil -> x [label=\\\"\\\\x00')" in text


@pytest.mark.parametrize(
    ("name", "begins"), [("plan.svg", "<svg "), ("plan.dot", "digraph"), ("PLAN.JSON", "{\n"), ("a.b.json", "{\n")]
)
def test_the_suffix_says_what_is_written(tmp_path: Path, name: str, begins: str) -> None:
    path = check_target(str(tmp_path / name))
    plan = plan_of(STEPS)
    write_plan(path, plan, totals_of(plan), every=False)
    assert path.read_text(encoding="utf-8").startswith(begins)
    assert [found.name for found in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "said"), [("plan.png", "'.png'. Known: .dot"), ("plan", "'plan'"), ("plan.svgg", "'.svg'")]
)
def test_other_suffixes_are_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(UnknownNameError, match="suffix of --out") as caught:
        check_target(name)
    assert said in str(caught.value)


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MMLMisconfigurationException, match="there is no folder"):
        check_target(str(tmp_path / "none" / "plan.svg"))
    (tmp_path / "plan.svg").mkdir()
    with pytest.raises(MMLMisconfigurationException, match="is a folder"):
        check_target(str(tmp_path / "plan.svg"))
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(MMLMisconfigurationException, match="can't be written"):
        check_target(str(tmp_path / "plan.json"))
