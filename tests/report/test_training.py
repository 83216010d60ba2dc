import re
from pathlib import Path
from typing import Any

import pytest

from mml.report.training import show_training

METRICS = {"loss": 0.25, "accuracy": 0.91234, "balanced_accuracy": 0.9, "f1": 0.875, "kappa": 0.8}


def line(folder: Path, fold: int = 0, **changes: Any) -> dict[str, Any]:
    weights = folder / f"weights_{fold}.safetensors"
    weights.touch()
    usual = {"task": "digits", "fold": fold, "monitored": 0.95, "test": METRICS, "seconds": 61.0}
    return {**usual, "files": {"weights": weights}, **changes}


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*lines: dict[str, Any], value: float | None = 0.9, monitor: str = "val/accuracy") -> str:
        show_training(lines, monitor=monitor, value=value, folder=tmp_path)
        return capsys.readouterr().out

    return call


def test_a_line_tells_task_fold_values_and_time(told: Any, tmp_path: Path) -> None:
    text = told(line(tmp_path, fold=3))
    assert re.search(r"digits +3 +0\.95 +0\.9123 +0\.9 +0\.875 +1 min 01 s", text)


def test_the_table_fits_a_narrow_terminal(told: Any, tmp_path: Path) -> None:
    table = told(line(tmp_path, task="fashion_mnist")).partition("Files")[0]
    assert max(len(text.rstrip()) for text in table.splitlines()) <= 80


def test_the_monitored_metric_stands_first_and_the_loss_last(told: Any, tmp_path: Path) -> None:
    text = told(line(tmp_path), monitor="val/f1")
    assert re.search(r"digits +0 +0\.95 +0\.875 +0\.9123 +0\.9 ", text)
    only = line(tmp_path, test={"loss": 0.25, "mae": 0.5})
    assert re.search(r"digits +0 +0\.95 +0\.5 +0\.25 ", told(only, monitor="val/mae"))


def test_what_was_not_measured_is_a_dash(told: Any, tmp_path: Path) -> None:
    text = told(line(tmp_path), line(tmp_path, 1, test={}, monitored=None))
    assert re.search(r"digits +1 +- +- +- +- +1 min", text)


def test_the_mean_stands_below_several_lines_alone(told: Any, tmp_path: Path) -> None:
    assert "Mean of 2: 0.9" in told(line(tmp_path), line(tmp_path, 1))
    assert "Mean" not in told(line(tmp_path))
    assert "Mean" not in told(line(tmp_path), line(tmp_path, 1), value=None)


def test_files_are_named_relative_to_the_project(told: Any, tmp_path: Path) -> None:
    text = told(line(tmp_path))
    assert f"Files in {tmp_path}:" in text
    assert "  weights: weights_0.safetensors\n" in text


def test_many_files_are_named_by_the_first_and_last(told: Any, tmp_path: Path) -> None:
    text = told(*(line(tmp_path, fold) for fold in range(5)))
    assert "weights: weights_0.safetensors ... weights_4.safetensors (5 files)" in text


def test_files_elsewhere_are_named_in_full_and_those_gone_not_at_all(told: Any, tmp_path: Path) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}_elsewhere"
    elsewhere.touch()
    text = told(line(tmp_path, files={"weights": elsewhere, "record": tmp_path / "gone.json"}))
    assert f"weights: {elsewhere}\n" in text
    assert "record: -\n" in text
