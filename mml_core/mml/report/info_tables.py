"""How the mode `info` looks on a terminal: its records as tables, and what to type next where there is none."""

import json
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from mml.report.tables import (
    NOTHING,
    Column,
    as_table,
    count_text,
    list_text,
    number_text,
    seconds_text,
    show,
    size_text,
)

Record = dict[str, Any]

STATE_STYLES = {
    "finished": "green",
    "running": "cyan",
    "detached": "blue",
    "interrupted": "yellow",
    "crashed": "red",
    "failed": "red",
    "damaged": "red",
}
_VALUE_LENGTH = 40  # characters


def show_info(document: Record, other_projects: list[str]) -> None:
    """Print the sections of a document on stdout, each as a table or as a hint how to fill it.

    Args:
        document: what `info` gathered.
        other_projects: names of the projects that are not shown.
    """
    sections = []
    for name, tell in (("tasks", tell_tasks), ("models", tell_models), ("runs", tell_runs), ("grids", tell_grids)):
        # Whoever has no task yet shall read what to do first, not what comes later.
        if name in document and (document[name] or name == "tasks" or document.get("tasks", True)):
            sections.append(tell(document))
    if other_projects and ("models" in document or "runs" in document):
        listed = list_text(other_projects, most=8)
        sections.append([f"Other projects: {listed}. Show one: mml info proj={other_projects[0]}"])
    for number, section in enumerate(sections):
        show(*([""] if number else []), *section)


def tell_tasks(document: Record) -> list[RenderableType]:
    """Return the table of tasks and the errors of those that can't be read, or how to create the first one."""
    good, bad = _split(document["tasks"])
    folder = Path(document["data"]) / "tasks"
    if not good and not bad:
        return [
            f"There is no task yet in {folder}.",
            "Create one from images that are on this machine already:  mml create task=digits",
            "Create one from your own images, a folder per class:      mml create task=mine mode.source=<folder>",
            "Then train a model on it:                                 mml train task=digits",
        ]
    return [*_table(f"Tasks in {folder}", _TASK_COLUMNS, good), *_faults(bad)]


def tell_models(document: Record) -> list[RenderableType]:
    """Return the table of models and the errors of those that can't be read, or how to train the first one."""
    good, bad = _split(document["models"])
    if not good and not bad:
        return [
            f"There is no model yet in project {document['project']}. Train one: mml train task={_a_task(document)}"
        ]
    project = Path(document["results"]) / document["project"]
    file = Column("file", lambda model: str(Path(model["file"]).relative_to(project)), fold=True, spare=1)
    title = f"Models of project {document['project']}, in {project}"
    return [*_table(title, [*_MODEL_COLUMNS, file], good), *_faults(bad)]


def tell_runs(document: Record) -> list[RenderableType]:
    """Return the table of runs and what kept runs from going on, or that there is none."""
    runs = document["runs"]
    if not runs:
        return [f"There is no run yet in project {document['project']}."]
    faults = [f"{run['name']} {run['state']}: {run['error']}" for run in runs if run["error"]]
    return [as_table(f"Runs of project {document['project']}", _RUN_COLUMNS, runs), *faults]


def tell_grids(document: Record) -> list[RenderableType]:
    """Return where the sample grids lie, and what is not on them."""
    lines: list[RenderableType] = []
    for grid in document["grids"]:
        lines.append(f"Sample grid of {grid['task']}: {grid['file']}")
        if grid["rows_left_out"]:
            lines.append(f"  It shows the first {grid['rows']} rows; {grid['rows_left_out']} more are left out.")
        if grid["unreadable"]:
            number = count_text(len(grid["unreadable"]), "image")
            lines.append(f"  {number} can't be read, crossed out in red: {list_text(grid['unreadable'])}")
    return lines


def sizes_text(sizes: dict[str, int] | None) -> str:
    """Return image sizes as height x width in pixels, ranges as `28-64 x 28-90`."""
    if sizes is None:
        return NOTHING
    heights, widths = (_range_text(sizes[f"min_{side}"], sizes[f"max_{side}"]) for side in ("height", "width"))
    return f"{heights} x {widths}"


def cached_text(caches: list[Record]) -> str:
    """Return how many decoded forms of a task's images there are, and what they take together."""
    return f"{len(caches)} ({size_text(sum(cache['size'] for cache in caches))})" if caches else NOTHING


def metrics_text(metrics: list[Record]) -> str:
    """Return the figures of the last evaluation that was no epoch of a training, else of the last one."""
    final = [entry for entry in metrics if entry.get("epoch") is None] or metrics
    if not final:
        return NOTHING
    figures = {key: value for key, value in final[-1].items() if isinstance(value, int | float) and key != "epoch"}
    listed = list_text(f"{key} {number_text(value)}" for key, value in figures.items())
    split = final[-1].get("split")
    return f"{split}: {listed}" if split else listed


def value_text(value: Any) -> str:
    """Return a return value in one short line."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return number_text(value)
    text = json.dumps(value)
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 3] + "..."


def moment_text(stamp: str | None) -> str:
    """Return an ISO time stamp to the minute."""
    return NOTHING if stamp is None else stamp[:16].replace("T", " ")


def _range_text(least: int, most: int) -> str:
    return str(least) if least == most else f"{least}-{most}"


def _table(title: str, columns: list[Column], records: list[Record]) -> list[RenderableType]:
    return [as_table(title, columns, records)] if records else []


def _split(records: list[Record]) -> tuple[list[Record], list[Record]]:
    return [r for r in records if "error" not in r], [r for r in records if "error" in r]


def _faults(records: list[Record]) -> list[RenderableType]:
    return [str(record["error"]) for record in records]


def _a_task(document: Record) -> str:
    good, _ = _split(document.get("tasks", []))
    return str(good[0]["name"]) if good else "digits"


_TASK_COLUMNS = [
    Column("task", lambda task: task["name"], fold=True),
    Column("type", lambda task: task["task_type"]),
    Column("train", lambda task: str(task["num_train"]), number=True),
    Column("test", lambda task: str(task["num_test"]), number=True),
    Column("unlabeled", lambda task: str(task["num_unlabeled"] or NOTHING), number=True, spare=1),
    Column("classes", lambda task: str(task["num_classes"] or NOTHING), number=True),
    Column("pixels", lambda task: sizes_text(task["sizes"])),
    Column("cached", lambda task: cached_text(task["cached"]), number=True, spare=2),
]
_MODEL_COLUMNS = [
    Column("task", lambda model: model["task"], fold=True),
    Column("fold", lambda model: str(model["fold"]), number=True),
    Column("performance", lambda model: number_text(model["performance"]), number=True),
    Column("metrics", lambda model: metrics_text(model["metrics"]), fold=True),
    Column("time", lambda model: seconds_text(model["training_time"]), number=True, spare=2),
    Column("created", lambda model: moment_text(model["created"]), spare=3),
]
_RUN_COLUMNS = [
    Column("run", lambda run: run["name"]),
    Column("state", lambda run: run["state"], style=lambda run: STATE_STYLES.get(run["state"], "")),
    Column("mode", lambda run: run["mode"] or NOTHING, spare=2),
    Column("tasks", lambda run: list_text(run["tasks"]), fold=True),
    Column("steps", lambda run: f"{run['steps_done']}/{NOTHING if run['steps_total'] is None else run['steps_total']}"),
    Column("time", lambda run: seconds_text(run["seconds"]), number=True, spare=1),
    Column("created", lambda run: moment_text(run["created"]), spare=3),
    Column("result", lambda run: value_text(run["return_value"]), number=True),
]
