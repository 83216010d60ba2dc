"""`mml plan` as text: a table of the steps, their graph, and what all of them come to."""

import io
import sys
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from mml.core.scripts.resources import NOTHING, Resources
from mml.plan_labels import numbers_text, step_text
from mml.plan_record import DONE, FAILED, SIGNS, TAKEN, TO_DO, Plan, PlannedStep, Totals
from mml.plan_text import as_ascii, graph_text
from mml.report.tables import Column, as_table, count_text, list_text, seconds_text, show, size_text
from mml.report.texts import NOTHING as NO_TEXT

MOST_ROWS = 40
_GRAPH_WIDTH = 120  # of a drawing that no terminal limits
_STYLES = {DONE: "green", TAKEN: "blue", TO_DO: "", FAILED: "yellow"}


class Row(NamedTuple):
    """One line of the table: a step, or many of the same kind.

    Attributes:
        number: of the step, or numbers.
        step: what it is.
        needs: numbers of what comes before.
        place: what it runs on.
        state: with its sign.
        seconds: all together.
        size: all together.
        source: of the estimates.
        style: of its state.
    """

    number: str
    step: str
    needs: str
    place: str
    state: str
    seconds: str
    size: str
    source: str
    style: str


_COLUMNS = (
    Column("#", lambda row: row.number, number=True),
    Column("step", lambda row: row.step, fold=True),
    Column("after", lambda row: row.needs, fold=True, spare=1),
    Column("on", lambda row: row.place, spare=2),
    Column("state", lambda row: row.state, fold=True, style=lambda row: row.style),
    Column("time", lambda row: row.seconds, number=True),
    Column("disk", lambda row: row.size, number=True, spare=3),
    Column("estimate from", lambda row: row.source, fold=True, spare=4),
)


def show_plan(plan: Plan, totals: Totals, *, every: bool = False) -> None:
    """Print a plan on stdout.

    Args:
        plan: the plan.
        totals: its sums.
        every: whether all steps are listed and drawn, however many there are.
    """
    rows, drawing = rows_of(plan, every=every), graph_text(plan.steps, _width(), every=every)
    folded = "" if len(rows) == len(plan.steps) else " (equal steps in one line; --all shows each)"
    if not _shows(drawing):
        rows, drawing = [row._replace(state=as_ascii(row.state)) for row in rows], as_ascii(drawing)
    if rows:
        show(as_table(f"{plan.title}{folded}", _COLUMNS, rows), "")
        # Where the terminal is too narrow even for this, its lines are cut.
        show(Text(drawing, no_wrap=True, overflow="ellipsis"), "")
    else:
        show(Text(plan.title, style="bold"))
    show(*(Text(line) for line in totals_lines(plan, totals)))
    show(*(Text(line, style="yellow") for line in [*disk_warning(plan, totals), *plan.notes]))


def _width() -> int:
    console = Console()
    return console.width if console.is_terminal else _GRAPH_WIDTH


def _shows(drawing: str) -> bool:
    """Tell whether stdout can show a drawing; if not, let it show what else it can't as question marks."""
    try:
        drawing.encode(sys.stdout.encoding or "utf-8")
    except UnicodeError:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        return False
    return True


def rows_of(plan: Plan, *, every: bool = False) -> list[Row]:
    """Return the lines of the table; of a long plan one for all steps of a command in the same state."""
    if every or len(plan.steps) <= MOST_ROWS:
        return [_row([step], plan) for step in plan.steps]
    alike: dict[Hashable, list[PlannedStep]] = defaultdict(list)
    for step in plan.steps:
        alike[_look(step)].append(step)
    if len(alike) > MOST_ROWS:
        alike.clear()
        for step in plan.steps:
            alike[step.record.command, step.state].append(step)
    return [_row(steps, plan) for steps in alike.values()]


def _look(step: PlannedStep) -> Hashable:
    return step.record.command, step.tasks, step.state, step.resources, step.estimate.source


def _row(steps: Sequence[PlannedStep], plan: Plan) -> Row:
    first, states = steps[0], {step.state for step in steps}
    reason = first.reason if len({step.reason for step in steps}) == 1 and first.state != TAKEN else ""
    resources = {step.resources for step in steps}
    return Row(
        number=numbers_text([step.position for step in steps], most=2),
        step=_steps_text(steps),
        needs=_needs_text(steps),
        place=_place_text(resources.pop(), plan) if len(resources) == 1 else plan.runner,
        state=", ".join(f"{SIGNS[state]} {state}" for state in SIGNS if state in states) + f": {reason}" * bool(reason),
        seconds=_time_text(steps),
        size=_size_text(steps),
        source=list_text(dict.fromkeys(str(step.estimate) for step in steps if step.estimate.source), most=2),
        style=_STYLES[first.state],
    )


def _steps_text(steps: Sequence[PlannedStep]) -> str:
    more = f" and {len(steps) - 1} more" if len(steps) > 1 else ""
    return step_text(steps[0]) + more


def _needs_text(steps: Sequence[PlannedStep]) -> str:
    """Return what steps come after, `-` for nothing; of many, what they come after one by one."""
    if len(steps) == 1:
        return numbers_text(list(steps[0].needs), most=3) or NO_TEXT
    counts = sorted({len(step.needs) for step in steps})
    if counts == [0]:
        return NO_TEXT
    return f"{counts[0]} each" if len(counts) == 1 else f"{counts[0]}-{counts[-1]} each"


def _place_text(resources: Resources, plan: Plan) -> str:
    return plan.runner if resources == NOTHING else f"{plan.runner}: {resources}"


def _time_text(steps: Sequence[PlannedStep]) -> str:
    left = [step for step in steps if step.remains]
    if not left:
        took = [step.seconds for step in steps if step.seconds is not None]
        return seconds_text(sum(took)) if took else NO_TEXT
    known = [step.estimate.seconds for step in left if step.estimate.seconds is not None]
    return f"{'>' if len(known) < len(left) else '~'} {seconds_text(sum(known))}" if known else "?"


def _size_text(steps: Sequence[PlannedStep]) -> str:
    left = [step for step in steps if step.remains]
    if not left:
        return NO_TEXT
    known = [step.estimate.size for step in left if step.estimate.size is not None]
    return f"{'>' if len(known) < len(left) else '~'} {size_text(sum(known))}" if known else "?"


def totals_lines(plan: Plan, totals: Totals) -> list[str]:
    """Return the sums of a plan, as lines for people."""
    lines = [f"Steps: {_steps_text_of(plan, totals)}."]
    if not totals.remaining:
        return lines
    if not plan.recorded:
        return [*lines, "Time and disk: unknown, as this mode keeps no record."]
    if totals.serial is None or totals.span is None:
        lines.append("Time:  unknown, as no earlier run has done such steps.")
    else:
        least = "at least " if totals.untimed else ""
        where = f"{least}{seconds_text(totals.span)} on {plan.runner} ({plan.room.text})"
        wait = ", apart from waiting for a place" if plan.room.shared else ""
        serial = f"; {least}{seconds_text(totals.serial)} one after the other" if _differs(totals) else ""
        lines.append(f"Time:  {where}{wait}{serial}.{_unknown(totals.untimed)}")
    disk = "unknown" if totals.size is None else f"{'at least ' if totals.unsized else ''}{size_text(totals.size)}"
    free = "" if plan.free is None else f"; {size_text(plan.free)} are free in {plan.folder}"
    lines.append(f"Disk:  {disk}{free}.{_unknown(totals.unsized) if totals.size is not None else ''}")
    return lines


def summary_text(plan: Plan, totals: Totals) -> str:
    """Return the sums of a plan in one short line."""
    parts = [f"Steps: {_steps_text_of(plan, totals)}"]
    if totals.remaining and totals.span is not None:
        least = "at least" if totals.untimed else "about"
        parts.append(f"{least} {seconds_text(totals.span)} on {plan.runner} ({plan.room.text})")
    if totals.remaining and totals.size is not None:
        parts.append(f"{'at least' if totals.unsized else 'about'} {size_text(totals.size)} on disk")
    return " · ".join(parts)


def _steps_text_of(plan: Plan, totals: Totals) -> str:
    """Return how many steps there are and what became of them."""
    taken = [step for step in plan.steps if step.state == TAKEN]
    parts = [f"{totals.done - len(taken)} done"] if totals.done > len(taken) else []
    sources = {step.reason for step in taken}
    parts += [f"{len(taken)} taken over {sources.pop() if len(sources) == 1 else ''}".rstrip()] if taken else []
    parts += [f"{totals.remaining} to do"]
    return f"{f'{totals.steps}, of which ' if len(parts) > 1 else ''}{', '.join(parts)}"


def _differs(totals: Totals) -> bool:
    return (totals.span or 0.0) < (totals.serial or 0.0) * 0.999


def _unknown(count: int) -> str:
    return f" Of {count_text(count, 'step')} no earlier run tells it." if count else ""


def disk_warning(plan: Plan, totals: Totals) -> list[str]:
    """Return a warning when the disk has too little room for a plan."""
    if totals.size is None or plan.free is None or totals.size <= plan.free:
        return []
    return [
        f"Warning: the results need about {size_text(totals.size)}, but only {size_text(plan.free)} are free in "
        f"{plan.folder}. Make room (mml clean, mml runs gc), or choose another folder with out_dir=<folder>."
    ]
