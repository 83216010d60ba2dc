"""What is written on the boxes of a graph, in text and in pictures."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mml.core.scripts.resources import NOTHING
from mml.core.scripts.schedule import PATH_MARK
from mml.plan_fold import Box
from mml.plan_record import SIGNS, PlannedStep
from mml.report.texts import list_text, seconds_text, size_text

LONGEST = 34  # characters on a box


def step_text(step: PlannedStep) -> str:
    """Return the step as a table says it, with its name if it has one."""
    name = f"{step.record.name}: " if step.record.name else ""
    return f"{name}{step.record}"


def numbers_text(positions: Sequence[int], most: int = 4) -> str:
    """Return numbers of steps, from 1, those that follow one another as a range: `1-3, 7`."""
    ranges: list[list[int]] = []
    for position in sorted(set(positions)):
        if ranges and position == ranges[-1][1] + 1:
            ranges[-1][1] = position
        else:
            ranges.append([position, position])
    texts = [f"{first + 1}" if first == last else f"{first + 1}-{last + 1}" for first, last in ranges]
    more = f", ... ({len(set(positions))} steps)" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def box_label(box: Box, longest: int | None = LONGEST) -> str:
    """Return the first line of a box: number and step, or the command of many and how many there are."""
    if len(box.steps) == 1:
        return _cut(f"{box.steps[0].number} {_short(box.steps[0])}", longest)
    commands = list(dict.fromkeys(step.record.command for step in box.steps))
    tasks = {task for step in box.steps for task in step.tasks}
    named = f" {tasks.pop()}" if len(tasks) == 1 and len(commands) == 1 else ""
    text = " → ".join(commands) if box.chained else ", ".join(commands)
    row = " in a row" if box.chained else ""
    return f"{_cut(text + named, None if longest is None else longest - 8)} ×{len(box.steps)}{row}"


def box_sign(box: Box) -> str:
    """Return the signs of the states of a box's steps."""
    return "".join(dict.fromkeys(SIGNS[step.state] for step in box.steps))


def box_detail(box: Box) -> str:
    """Return the second line of a box: how many are done, time, resources; empty where nothing is known."""
    left = [step for step in box.steps if step.remains]
    times = [step.estimate.seconds for step in left if step.estimate.seconds is not None]
    parts = [f"about {seconds_text(sum(times))}"] if times else []
    if not left and (took := [step.seconds for step in box.steps if step.seconds is not None]):
        parts.append(f"took {seconds_text(sum(took))}")
    resources = {step.resources for step in left}
    if len(resources) == 1 and (needed := resources.pop()) != NOTHING:
        parts.append(str(needed))
    return " · ".join(parts)


def box_tip(box: Box) -> str:
    """Return all that is known of a box, a line each."""
    if len(box.steps) == 1:
        return step_tip(box.steps[0])
    numbers = numbers_text([step.position for step in box.steps])
    states = Counter(step.state for step in box.steps)
    lines = [f"{len(box.steps)} steps: {numbers}", ", ".join(f"{count} {state}" for state, count in states.items())]
    lines.append(list_text([step_text(step) for step in box.steps]))
    return "\n".join([*lines, box_detail(box)]).rstrip()


def step_tip(step: PlannedStep) -> str:
    """Return all that is known of a step, a line each."""
    lines = [f"step {step.number}: {step_text(step)}", f"{step.state}{f': {step.reason}' if step.reason else ''}"]
    if step.needs:
        lines.append(f"after {numbers_text(list(step.needs))}")
    if step.resources != NOTHING:
        lines.append(f"needs {step.resources}")
    if step.seconds is not None:
        lines.append(f"took {seconds_text(step.seconds)}")
    if step.remains and step.estimate.source:
        size = "" if step.estimate.size is None else f", {size_text(step.estimate.size)} on disk"
        lines.append(f"about {seconds_text(step.estimate.seconds)}{size} ({step.estimate})")
    return "\n".join(lines)


def _short(step: PlannedStep) -> str:
    """Return a step's name, or its command with params as few characters as tell them."""
    if step.record.name:
        return step.record.name
    return f"{step.record.command}({', '.join(_plain(param) for param in step.record.params)})"


def _plain(param: Any) -> str:
    if isinstance(param, dict) and param.keys() == {PATH_MARK}:
        return str(param[PATH_MARK]).rpartition("/")[2]
    return str(param)


def _cut(text: str, longest: int | None) -> str:
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if longest is None or len(text) <= longest else f"{text[: longest - 1]}…"
