"""The course of a run tells where it is; all else of it is tested with whole runs, in `test_run_driver`."""

from pathlib import Path

import pytest

from mml.core.scripts.exceptions import ContinueError, PlanError
from mml.core.scripts.journal import Finished, Planned, RunRecord
from mml.core.scripts.run_course import RunCourse, refuse_misfit
from mml.core.scripts.signals import SignalGuard
from mml.runners.serial import SerialRunner
from tests.support.toy_scheduler import Toy, toy_config


def test_course_tells_where_the_run_is(tmp_path: Path) -> None:
    scheduler = Toy(toy_config(tmp_path))
    course = RunCourse(scheduler, scheduler.plan(), tmp_path, SignalGuard(), SerialRunner())
    assert course.where() == "0 of 3 done"
    course._book.step = 1
    assert course.where() == "2 of 3, work(1)"
    assert course.folder == tmp_path
    course.close()


def test_run_that_is_finished_or_was_planned_otherwise_is_refused(tmp_path: Path) -> None:
    steps = Toy(toy_config(tmp_path)).plan()
    planned = Planned(time=1.0, steps=[step.record for step in steps])
    refuse_misfit(RunRecord([planned]), steps, tmp_path)
    refuse_misfit(RunRecord([]), steps, tmp_path)
    with pytest.raises(PlanError, match="step 1 was work"):
        refuse_misfit(RunRecord([planned]), steps[1:], tmp_path)
    with pytest.raises(ContinueError, match="is finished"):
        refuse_misfit(RunRecord([planned, Finished(time=2.0, seconds=1.0)]), steps, tmp_path)
