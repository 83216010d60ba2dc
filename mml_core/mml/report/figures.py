"""Figures of a training as SVG: made of text alone, for any browser, so that no plotting library is needed."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_FONT = 'font-family="sans-serif" font-size="12"'
_COLOURS = {"train": "#1f77b4", "val": "#d95f02"}
_PANEL_WIDTH, _PANEL_HEIGHT = 360, 220  # pixels, without margins
_LEFT, _TOP, _GAP, _BOTTOM = 60, 40, 70, 40
_CELL = 46
_LONGEST_NAME = 24  # characters
# Classes beyond which a matrix is only numbers: nobody could read the figure, and it grows with their square.
MOST_CLASSES = 100


def curves_svg(title: str, rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> str:
    """Return curves over epochs, one panel per metric with a line for training and one for validation.

    Args:
        title: stands above.
        rows: one mapping per epoch with `epoch` and values by `train/<metric>` and `val/<metric>`, as far as measured.
        metrics: names of the metrics; those that were not measured are left out.
    """
    measured = [name for name in metrics if any(_points(rows, f"{split}/{name}") for split in _COLOURS)]
    panels = [_panel(rows, name, _LEFT + number * (_PANEL_WIDTH + _GAP)) for number, name in enumerate(measured)]
    width = _LEFT + max(1, len(measured)) * (_PANEL_WIDTH + _GAP)
    return _document(width, _TOP + _PANEL_HEIGHT + _BOTTOM, title, "".join(panels))


def matrix_svg(title: str, classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    """Return a confusion matrix, the darker a cell the larger its share of the row.

    Args:
        title: stands above.
        classes: names, in the order of rows and columns.
        matrix: counts; rows are true classes, columns predicted ones.
    """
    names = [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…" for name in classes]
    margin = 20 + 7 * max((len(name) for name in names), default=0)
    top = _TOP + margin
    parts = [_text(margin - 6, top + (row + 0.6) * _CELL, name, "end") for row, name in enumerate(names)]
    for column, name in enumerate(names):
        x, y = margin + (column + 0.6) * _CELL, top - 6
        parts.append(f'<text x="{x:.0f}" y="{y}" transform="rotate(-90 {x:.0f} {y})" {_FONT}>{escape(name)}</text>')
    for row, counts in enumerate(matrix):
        parts += [_cell(margin + column * _CELL, top + row * _CELL, n, sum(counts)) for column, n in enumerate(counts)]
    side = len(names) * _CELL
    parts.append(_text(margin + side / 2, top + side + 20, "predicted (rows: true)"))
    return _document(margin + side + 20, top + side + _BOTTOM, title, "".join(parts))


def _panel(rows: Sequence[Mapping[str, Any]], metric: str, left: float) -> str:
    lines = {split: _points(rows, f"{split}/{metric}") for split in _COLOURS}
    values = [value for points in lines.values() for _, value in points]
    low, high = min(values), max(values)
    span, epochs = (high - low) or 1.0, max(1, len(rows) - 1)
    parts = [
        f'<rect x="{left}" y="{_TOP}" width="{_PANEL_WIDTH}" height="{_PANEL_HEIGHT}" fill="none" stroke="#999"/>',
        _text(left + _PANEL_WIDTH / 2, _TOP - 8, metric),
        _text(left - 6, _TOP + 10, f"{high:.4g}", "end"),
        _text(left - 6, _TOP + _PANEL_HEIGHT, f"{low:.4g}", "end"),
        _text(left + _PANEL_WIDTH / 2, _TOP + _PANEL_HEIGHT + 20, f"epoch 1 to {len(rows)}"),
    ]
    for number, (split, points) in enumerate((split, points) for split, points in lines.items() if points):
        places = [
            (left + _PANEL_WIDTH * position / epochs, _TOP + _PANEL_HEIGHT * (high - value) / span)
            for position, value in points
        ]
        parts.append(_line(places, _COLOURS[split]))
        parts.append(_text(left + _PANEL_WIDTH - 40 * number, _TOP - 8, split, "end", _COLOURS[split]))
    return "".join(parts)


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    """Return position and value of the rows that have a number under a name."""
    found = [(position, row.get(name)) for position, row in enumerate(rows)]
    return [(position, float(value)) for position, value in found if value is not None and math.isfinite(value)]


def _line(places: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in places)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'


def _cell(x: float, y: float, count: int, total: int) -> str:
    share = count / total if total else 0.0
    colour = "white" if share > 0.5 else "black"
    box = f'<rect x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" fill="#08519c" fill-opacity="{share:.3f}"'
    return f'{box} stroke="#ccc"/>{_text(x + _CELL / 2, y + 0.6 * _CELL, str(count), "middle", colour)}'


def _text(x: float, y: float, text: str, anchor: str = "middle", colour: str = "black") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}" {_FONT}>{escape(text)}</text>'


def _document(width: float, height: float, title: str, content: str) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    head = f'<text x="10" y="18" {_FONT} font-weight="bold">{escape(title)}</text>'
    background = '<rect width="100%" height="100%" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{background}{head}{content}</svg>\n'
