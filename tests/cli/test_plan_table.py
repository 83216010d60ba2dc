"""The table and the sums: what each column says, and what a long plan is folded to."""

import pytest

from mml.core.scripts.resources import Resources
from mml.plan_record import DONE, FAILED, TAKEN, PlannedStep
from mml.plan_slots import totals_of
from mml.plan_table import Row, disk_warning, rows_of, show_plan, summary_text, totals_lines
from mml.runners.base import Room
from tests.support.plans import chain, fan, folds, plan_of, planned

LOCAL = Room(slots=2, text="up to 2 steps at a time")


def rows(steps: list[PlannedStep], *, every: bool = False) -> list[Row]:
    return rows_of(plan_of(steps), every=every)


def test_a_row_says_what_is_known_of_a_step() -> None:
    (row,) = rows([planned(0, "work", ["a"], seconds=2.0, size=1500, resources=Resources(cpus=2))])
    assert row == Row(
        "1", "work('a')", "-", "serial: 2 CPUs", "○ would run", "~ 2.00 s", "~ 1.5 kB", "same step, 1 run", ""
    )


def test_what_is_not_known_is_a_question_mark() -> None:
    (row,) = rows([planned(0)])
    assert (row.seconds, row.size, row.source) == ("?", "?", "-")


def test_a_step_that_is_done_says_how_long_it_took() -> None:
    (row,) = rows([planned(0, state=DONE, took=4.0, seconds=9.0)])
    assert (row.state, row.seconds, row.size, row.style) == ("✓ done", "4.00 s", "-", "green")


def test_states_name_their_reason_but_of_what_is_taken_over_the_sums_do() -> None:
    steps = [planned(0, state=FAILED, reason="failed: boom"), planned(1, state=TAKEN, reason="from old")]
    assert [row.state for row in rows(steps)] == ["↻ would run again: failed: boom", "↷ taken over"]
    assert rows(steps)[1].seconds == "-"


def test_needs_are_numbers_of_steps() -> None:
    needs = [row.needs for row in rows(folds(count=2, finish=True))]
    assert needs == ["-", "1", "1", "-", "4", "4", "1-6"]


def test_a_long_plan_has_a_row_for_equal_steps() -> None:
    steps = folds(["a", "b"], 100, finish=True)
    found = rows(steps)
    assert [row.step for row in found] == [
        "train_fold('a', 0) and 99 more",
        "test_fold('a', 0) and 99 more",
        "predict_fold('a', 0) and 99 more",
        "train_fold('b', 0) and 99 more",
        "test_fold('b', 0) and 99 more",
        "predict_fold('b', 0) and 99 more",
        "finish()",
    ]
    assert (found[0].number, found[0].needs, found[1].needs) == ("1, 4, ... (100 steps)", "-", "1 each")
    assert found[0].seconds == "~ 1 min 40 s"
    assert len(rows(steps, every=True)) == 601


def test_steps_in_other_states_have_rows_of_their_own() -> None:
    steps = [step._replace(state=DONE) if step.position < 50 else step for step in fan(100)]
    assert [(row.step, row.state) for row in rows(steps)] == [
        ("work(0) and 49 more", "✓ done"),
        ("work(50) and 49 more", "○ would run"),
        ("finish()", "○ would run"),
    ]


def test_very_many_kinds_of_steps_are_told_by_command_alone() -> None:
    steps = folds([f"task_{n}" for n in range(100)], 1)
    assert [row.step for row in rows(steps)] == [
        "train_fold('task_0', 0) and 99 more",
        "test_fold('task_0', 0) and 99 more",
        "predict_fold('task_0', 0) and 99 more",
    ]


def test_a_row_of_many_says_when_some_are_unknown() -> None:
    steps = [planned(n, seconds=1.0 if n else None, size=1 if n else None) for n in range(41)]
    steps = [step._replace(estimate=step.estimate._replace(source="same step")) for step in steps]
    (row,) = rows(steps)
    assert (row.seconds, row.size) == ("> 40.0 s", "> 40 B")


def test_needs_of_many_are_counted() -> None:
    steps = [planned(n, needs=range(min(n, 2))) for n in range(41)]
    assert [row.needs for row in rows(steps)] == ["0-2 each"]


def lines(steps: list[PlannedStep], room: Room = LOCAL, free: int | None = 10**9) -> list[str]:
    plan = plan_of(steps, room, free=free)
    return totals_lines(plan, totals_of(plan))


def test_sums_say_time_on_the_runner_and_in_series() -> None:
    steps = [step._replace(estimate=step.estimate._replace(size=1000)) for step in folds(count=5)]
    assert lines(steps) == [
        "Steps: 15 to do.",
        "Time:  8.00 s on serial (up to 2 steps at a time); 15.0 s one after the other.",
        "Disk:  15.0 kB; 1.0 GB are free in /results.",
    ]


def test_sums_of_what_is_unknown_are_at_least_that() -> None:
    steps = [planned(0, seconds=1.0, size=10), planned(1)]
    assert lines(steps, free=None)[1:] == [
        "Time:  at least 1.00 s on serial (up to 2 steps at a time). Of 1 step no earlier run tells it.",
        "Disk:  at least 10 B. Of 1 step no earlier run tells it.",
    ]
    assert lines([planned(0)])[1:] == [
        "Time:  unknown, as no earlier run has done such steps.",
        "Disk:  unknown; 1.0 GB are free in /results.",
    ]


def test_places_that_are_shared_have_to_be_waited_for() -> None:
    room = Room(text="one job per step", shared=True)
    assert "on serial (one job per step), apart from waiting for a place" in lines(chain(2), room)[1]


def test_a_plan_that_is_done_has_only_its_steps_to_say() -> None:
    steps = [
        planned(0, state=DONE),
        planned(1, state=TAKEN, reason="from old"),
        planned(2, state=TAKEN, reason="from old"),
    ]
    assert lines(steps) == ["Steps: 3, of which 1 done, 2 taken over from old, 0 to do."]
    steps[2] = steps[2]._replace(reason="from another")
    assert lines(steps) == ["Steps: 3, of which 1 done, 2 taken over, 0 to do."]


def test_a_mode_that_only_looks_is_said_to() -> None:
    plan = plan_of(chain(2), recorded=False)
    assert totals_lines(plan, totals_of(plan))[1].endswith("as this mode keeps no record.")


def test_the_summary_is_one_short_line() -> None:
    plan = plan_of([planned(0, state=DONE), planned(1, seconds=1.0, size=1000), planned(2)], LOCAL)
    assert summary_text(plan, totals_of(plan)) == (
        "Steps: 3, of which 1 done, 2 to do · at least 1.00 s on serial (up to 2 steps at a time) "
        "· at least 1.0 kB on disk"
    )


def test_a_disk_that_is_too_small_is_warned_of() -> None:
    plan = plan_of([planned(0, size=2000)], free=1000)
    (warning,) = disk_warning(plan, totals_of(plan))
    assert warning.startswith("Warning: the results need about 2.0 kB, but only 1.0 kB are free in /results. Make room")
    for free in (3000, None):
        assert disk_warning(plan._replace(free=free), totals_of(plan)) == []


@pytest.mark.parametrize("every", [False, True])
def test_a_plan_is_printed_whole_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], every: bool) -> None:
    long = "x" * 300
    steps = [planned(n, "work", [long], needs=[0] if n else []) for n in range(50)]
    plan = plan_of(steps, notes=("Note.",))
    show_plan(plan, totals_of(plan), every=every)
    out = capsys.readouterr().out
    assert out.startswith("mml toy" + " (equal steps in one line; --all shows each)\n" * (not every))
    assert out.count(f"work('{long}')") == (50 if every else 1 + 1 - 1)
    assert "\x1b" not in out
    assert out.endswith("Note.\n")


def test_a_plan_without_steps_is_said_to_be_empty(capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of([])
    show_plan(plan, totals_of(plan))
    assert capsys.readouterr().out == "mml toy\nSteps: 0 to do.\n"
