"""What is written on boxes: short enough to be read, with all that is known a hover away."""

import pytest

from mml.core.scripts.resources import Resources
from mml.core.scripts.schedule import PATH_MARK
from mml.plan_fold import Box, fold
from mml.plan_labels import LONGEST, box_detail, box_label, box_sign, box_tip, numbers_text, step_text, step_tip
from mml.plan_record import DONE, FAILED, TAKEN
from tests.support.plans import chain, fan, folds, planned


@pytest.mark.parametrize(
    ("positions", "text"),
    [
        ([], ""),
        ([0], "1"),
        ([0, 1, 2, 6], "1-3, 7"),
        ([3, 1, 1], "2, 4"),
        ([0, 2, 4, 6, 8], "1, 3, 5, 7, ... (5 steps)"),
        (range(100), "1-100"),
    ],
)
def test_numbers_that_follow_one_another_are_a_range(positions: list[int], text: str) -> None:
    assert numbers_text(positions) == text


def test_a_step_is_said_by_its_command_and_params() -> None:
    step = planned(2, "train_fold", ["digits", 0])
    assert step_text(step) == "train_fold('digits', 0)"
    assert box_label(Box([step], [])) == "3 train_fold(digits, 0)"


def test_a_name_says_more_than_params() -> None:
    step = planned(0, "train_fold", ["digits", 0], name="baseline")
    assert step_text(step) == "baseline: train_fold('digits', 0)"
    assert box_label(Box([step], [])) == "1 baseline"


def test_of_a_path_the_last_part_is_enough() -> None:
    assert box_label(Box([planned(0, "read", [{PATH_MARK: "data:deep/down/file.csv"}])], [])) == "1 read(file.csv)"


def test_long_labels_are_cut_unless_all_is_asked_for() -> None:
    box = Box([planned(0, "work", ["x" * 100])], [])
    assert len(box_label(box)) == LONGEST
    assert box_label(box).endswith("…")
    assert "x" * 100 in box_label(box, None)


def test_signs_that_would_move_the_cursor_are_not_written() -> None:
    assert box_label(Box([planned(0, "work", ["a\x1b[2J\nb"])], [])) == "1 work(a?[2J?b)"


def test_many_steps_are_their_command_and_count() -> None:
    boxes = fold(folds(["digits"], 100), 20)
    assert [box_label(box) for box in boxes] == [
        "train_fold digits ×100",
        "test_fold digits ×100",
        "predict_fold digits ×100",
    ]
    (row,) = fold(chain(100), 20)
    assert box_label(row) == "work ×100 in a row"
    assert box_label(Box([planned(0, "a"), planned(1, "b", needs=[0])], [], chained=True)) == "a → b ×2 in a row"
    assert box_label(Box([planned(0, "a"), planned(1, "b")], [])) == "a, b ×2"


def test_signs_are_those_of_all_states_in_a_box() -> None:
    assert box_sign(Box([planned(0, state=DONE), planned(1), planned(2, state=TAKEN), planned(3)], [])) == "✓○↷"


def test_details_are_what_is_known() -> None:
    assert box_detail(Box([planned(0)], [])) == ""
    assert box_detail(Box([planned(0, seconds=3.0)], [])) == "about 3.00 s"
    assert box_detail(Box([planned(0, state=DONE, took=2.0), planned(1, state=DONE, took=1.0)], [])) == "took 3.00 s"
    needs = Resources(cpus=2, gpus=1)
    assert box_detail(Box([planned(0, seconds=3.0, resources=needs)], [])) == "about 3.00 s · 2 CPUs, 1 GPUs"


def test_a_tip_says_everything_of_a_step() -> None:
    step = planned(
        3,
        "work",
        [1],
        needs=[0, 1],
        seconds=3.0,
        size=2000,
        state=FAILED,
        reason="failed: boom",
        resources=Resources(cpus=2),
    )
    assert step_tip(step).splitlines() == [
        "step 4: work(1)",
        "would run again: failed: boom",
        "after 1-2",
        "needs 2 CPUs",
        "about 3.00 s, 2.0 kB on disk (same step, 1 run)",
    ]
    assert step_tip(planned(0, state=DONE, took=1.5)).splitlines() == ["step 1: work()", "done", "took 1.50 s"]


def test_a_tip_of_many_steps_counts_their_states() -> None:
    steps = [step._replace(state=DONE) if step.position < 3 else step for step in fan(9)[:-1]]
    assert box_tip(Box(steps, [])).splitlines()[:2] == ["9 steps: 1-9", "3 done, 6 would run"]
    assert box_tip(Box([steps[0]], [])) == step_tip(steps[0])
