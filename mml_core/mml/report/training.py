"""How the mode `train` reports on a terminal: per task and fold what was measured, the time, and the files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mml.report.tables import NOTHING, Column, as_table, number_text, seconds_text, show

# One line of the table: `task`, `fold`, `monitored`, `test` (metric -> value), `seconds`, `files` (kind -> path).
Line = dict[str, Any]

# Metrics of the test beside the monitored one: a table has to fit into 80 columns; the record has them all.
_OTHERS = 2


def show_training(lines: Sequence[Line], *, monitor: str, value: float | None, folder: Path) -> None:
    """Print the table of a training run on stdout, and below it the mean and the places of files.

    Args:
        lines: one per task and fold, with `task`, `fold`, `monitored` (value or None), `test` (metric name -> value),
            `seconds` and `files` (kind -> path).
        monitor: the monitored metric, e.g. `"val/accuracy"`.
        value: what the run returned.
        folder: of the project, which the paths are shown relative to.
    """
    columns = [
        Column("task", lambda line: str(line["task"])),
        Column("fold", lambda line: str(line["fold"]), number=True),
        Column(_title(monitor), lambda line: number_text(line["monitored"]), number=True),
        *(Column(_title(f"test/{name}"), _test_text(name), number=True) for name in _shown(lines, monitor)),
        Column("training", lambda line: seconds_text(line["seconds"]), number=True),
    ]
    show(as_table("Trained models", columns, lines))
    if value is not None and len(lines) > 1:
        show(f"Mean of {len(lines)}: {number_text(value)}")
    show(f"Files in {folder}:")
    kinds = dict.fromkeys(kind for line in lines for kind in line["files"])
    for kind in kinds:
        show(f"  {kind}: {_places([line['files'][kind] for line in lines if kind in line['files']], folder)}")


def _shown(lines: Sequence[Line], monitor: str) -> list[str]:
    """Return the metrics of the test to show: the monitored one, then others, the loss last."""
    tested = list(dict.fromkeys(name for line in lines for name in line["test"]))
    metric = monitor.partition("/")[2]
    others = sorted((name for name in tested if name != metric), key=lambda name: name == "loss")
    return [name for name in tested if name == metric] + others[:_OTHERS]


def _title(metric: str) -> str:
    """Return the name of a metric, broken into short lines."""
    return metric.replace("/", "\n").replace("_", "\n")


def _test_text(name: str) -> Any:
    return lambda line: number_text(line["test"].get(name))


def _places(paths: Sequence[Path], folder: Path) -> str:
    """Return the files of one kind, as short as they can be said: the only one, or the first and last."""
    there = [path for path in dict.fromkeys(paths) if path.exists()]
    texts = [path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path) for path in there]
    if not texts:
        return NOTHING
    return ", ".join(texts) if len(texts) <= 2 else f"{texts[0]} ... {texts[-1]} ({len(texts)} files)"
