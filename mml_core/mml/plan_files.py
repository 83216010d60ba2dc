"""A plan for other programs and for documents: as JSON, for Graphviz, or as a picture, by the suffix of the file."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.utils import atomic_write
from mml.plan_fold import in_order, reduced_needs
from mml.plan_labels import step_text, step_tip
from mml.plan_record import DONE, FAILED, SIGNS, TAKEN, TO_DO, Plan, PlannedStep, Totals
from mml.plan_table import disk_warning, summary_text

_FILLS = {DONE: "#dff3e4", TAKEN: "#e6ebfb", TO_DO: "#f6f8fa", FAILED: "#fdeed3"}


def check_target(text: str) -> Path:
    """Return the path of a file to write, before a plan is made for it.

    Raises:
        MMLMisconfigurationException: its suffix is not known, or there is no such folder to write to.
    """
    path = Path(text).expanduser()
    if path.suffix.lower() not in WRITERS:
        raise UnknownNameError(
            path.suffix or text, kind="suffix of --out", known=WRITERS, fix="The suffix says what is written."
        )
    if not path.parent.is_dir():
        msg = f"--out={text}: there is no folder {path.parent}. Make it, or choose another one."
        raise MMLMisconfigurationException(msg)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        what = "is a folder" if path.is_dir() else "can't be written"
        msg = f"--out={text}: it {what}. Choose another file."
        raise MMLMisconfigurationException(msg)
    return path


def write_plan(path: Path, plan: Plan, totals: Totals, *, every: bool) -> None:
    """Write a plan in the form that the suffix of the path names."""
    text = WRITERS[path.suffix.lower()](plan, totals, every)
    with atomic_write(path) as file:
        file.write(text.encode())


def as_json(plan: Plan, totals: Totals) -> dict[str, Any]:
    """Return a plan as JSON values; times in seconds, sizes in bytes, `null` for what is not known."""
    return {
        "title": plan.title,
        "run": plan.run or None,
        "runner": {
            "name": plan.runner,
            "slots": plan.room.slots,
            "cpus": plan.room.resources.cpus,
            "gpus": plan.room.resources.gpus,
            "memory": plan.room.resources.memory,
            "shared": plan.room.shared,
        },
        "out_dir": plan.folder,
        "free": plan.free,
        "totals": {
            "steps": totals.steps,
            "done": totals.done,
            "remaining": totals.remaining,
            "seconds_serial": totals.serial,
            "seconds": totals.span,
            "seconds_unknown": totals.untimed,
            "size": totals.size,
            "size_unknown": totals.unsized,
        },
        "notes": [*disk_warning(plan, totals), *plan.notes],
        "steps": [_step_json(step, plan) for step in plan.steps],
    }


def _step_json(step: PlannedStep, plan: Plan) -> dict[str, Any]:
    return {
        "number": step.number,
        "name": step.record.name or None,
        "command": step.record.command,
        "params": step.record.params,
        "key": step.key,
        "after": [needed + 1 for needed in step.needs],
        "runner": plan.runner,
        "cpus": step.resources.cpus,
        "gpus": step.resources.gpus,
        "memory": step.resources.memory,
        "state": step.state,
        "reason": step.reason or None,
        "took": step.seconds,
        "seconds": step.estimate.seconds if step.remains else None,
        "size": step.estimate.size if step.remains else None,
        "estimate": str(step.estimate) or None,
    }


def json_text(plan: Plan, totals: Totals) -> str:
    """Return a plan as the text of a JSON document."""
    return json.dumps(as_json(plan, totals), indent=2) + "\n"


def jobs_text(jobs: Sequence[tuple[Plan, Totals]]) -> str:
    """Return the plans of the jobs of a sweep as the text of a JSON document."""
    return json.dumps({"jobs": [as_json(plan, totals) for plan, totals in jobs]}, indent=2) + "\n"


def dot_text(plan: Plan) -> str:
    """Return the whole graph of a plan in the language of Graphviz."""
    lines = [
        "digraph plan {",
        f"  label={_quoted(plan.title)}; labelloc=t; rankdir=LR;",
        '  node [shape=box, style="rounded,filled", fontname="sans-serif"];',
    ]
    ordered = in_order(plan.steps)
    for step in plan.steps:
        label, tip = f"{SIGNS[step.state]} {step.number} {step_text(step)}", step_tip(step)
        look = f'label={_quoted(label)}, tooltip={_quoted(tip)}, fillcolor="{_FILLS[step.state]}"'
        lines.append(f"  {step.number} [{look}];")
    for step, needs in zip(ordered, reduced_needs(ordered), strict=True):
        lines += [f"  {ordered[needed].number} -> {step.number};" for needed in needs]
    return "\n".join([*lines, "}\n"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + "".join(char if char.isprintable() else "?" for char in escaped) + '"'


def _svg(plan: Plan, totals: Totals, every: bool) -> str:
    from mml.plan_svg import plan_svg  # not wanted by other forms

    return plan_svg(plan, summary_text(plan, totals), every=every)


WRITERS: dict[str, Callable[[Plan, Totals, bool], str]] = {
    ".svg": _svg,
    ".dot": lambda plan, *_: dot_text(plan),
    ".json": lambda plan, totals, _: json_text(plan, totals),
}
