"""The graph of a plan drawn with characters: side by side from left to right or, where that is too wide, as a tree."""

from collections.abc import Sequence

from mml.plan_canvas import side_by_side
from mml.plan_fold import Box, fold
from mml.plan_labels import LONGEST, box_label, box_sign, numbers_text
from mml.plan_record import PlannedStep
from mml.report.quick_table import cell_width

MOST_BOXES = 48
_ASCII = str.maketrans("│─┌┐└┘├┤┬┴┼▾▴↓→✓↷○↻×…·", "|-++++++++" + "+v^v>#~o@x.-")


def graph_text(steps: Sequence[PlannedStep], width: int, *, every: bool = False) -> str:
    """Return the drawing of a graph, lines parted by newlines.

    Args:
        steps: of the plan.
        width: characters in a line, as far as that can be.
        every: whether every step has a place of its own, however many there are.
    """
    boxes = fold(steps, None if every else MOST_BOXES)
    labels = [f"{box_sign(box)} {box_label(box, None if every else LONGEST)}" for box in boxes]
    if any(box.needs for box in boxes):
        drawn = side_by_side(labels, [box.needs for box in boxes])
        if drawn is not None and max(map(cell_width, drawn)) <= width:
            return "\n".join(drawn)
    return "\n".join(as_tree(boxes, labels))


def as_tree(boxes: Sequence[Box], labels: Sequence[str]) -> list[str]:
    """Return the lines of a tree in which each box stands below the last one that it needs, and names the others."""
    below: list[list[int]] = [[] for _ in boxes]
    for number, box in enumerate(boxes):
        if box.needs:
            below[box.needs[-1]].append(number)
    lines: list[str] = []
    # What is still to be drawn, the next one last: a box, what stands before it, and before what is below it.
    stack = [(number, "", "") for number in reversed(range(len(boxes))) if not boxes[number].needs]
    while stack:
        number, before, indent = stack.pop()
        lines.append(f"{before}{labels[number]}{_others(boxes, number)}")
        others = below[number]
        if len(others) == 1:  # what follows alone needs no indentation, however long the chain is
            stack.append((others[0], f"{indent}↓ ", indent))
        elif others:
            stack.append((others[-1], f"{indent}└─ ", f"{indent}   "))
            stack += [(other, f"{indent}├─ ", f"{indent}│  ") for other in reversed(others[:-1])]
    return lines


def _others(boxes: Sequence[Box], number: int) -> str:
    """Return what a box comes after besides the one that it stands below."""
    others = [step.position for needed in boxes[number].needs[:-1] for step in boxes[needed].steps]
    return f"  (also after {numbers_text(others)})" if others else ""


def as_ascii(text: str) -> str:
    """Return a drawing for a terminal that has no such characters."""
    return text.translate(_ASCII).encode("ascii", "replace").decode()
