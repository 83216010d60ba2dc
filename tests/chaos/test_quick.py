"""A small, seeded part of the evidence, on every run of the tests; all of it: `nox -s chaos`."""

from pathlib import Path

import pytest

from chaos import creation, kills, power
from chaos.table import Options, Row, is_loss


def refuse_losses(rows: list[Row], folder: Path) -> None:
    """Fail with what is known of every loss."""
    losses = [path.read_text() for path in folder.rglob("loss.txt")]
    assert not any(map(is_loss, rows)), "\n".join([str(rows), *losses])


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(seed=11, points=None, quick=True, folder=tmp_path)


def test_killed_and_interrupted_schedules_go_on(options: Options) -> None:
    rows = kills.run(options)
    assert [row.times for row in rows] == [kills.QUICK] * 4 + [1]
    refuse_losses(rows, options.folder)


def test_schedules_go_on_after_a_power_cut(options: Options) -> None:
    rows = power.run(options)
    assert [row.times for row in rows] == [power.QUICK] * 2
    refuse_losses(rows, options.folder)


def test_killed_creations_go_on_and_no_task_is_half_there(options: Options) -> None:
    rows = creation.run(options)
    assert [row.times for row in rows] == [creation.QUICK] * 2
    refuse_losses(rows, options.folder)
