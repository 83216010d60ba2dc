"""The graph of a plan as a picture: text alone, for any browser, in its dark and its light mode."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from mml.plan_fold import Box, fold
from mml.plan_labels import box_detail, box_label, box_sign, box_tip
from mml.plan_layout import Layout, Place, lay_out, parts_of
from mml.plan_record import DONE, FAILED, SIGNS, TAKEN, TO_DO, Plan
from mml.report.quick_table import cell_width

MOST_BOXES = 80
# Pixels. A character is taken for wider than it is in nearly every font, so that no text leaves its box.
_CHAR, _SMALL = 7.4, 6.4
_HEIGHT, _ROW, _CHANNEL, _MARGIN = 42, 58, 56, 24
_HEAD, _SIGN = 78, 30
_PART_GAP = 48  # between parts that stand side by side
_STACK = 6  # by which the cards of a box of many steps stand out
_TIP, _TRUNK, _ROUND = 8, 16, 7
_CROWD = 6  # lines at a box, beyond which they share a way
_WIDEST = 1200  # that a chain may be in one row
_LOOK = 1.6  # width by height that a picture of many parts should have
_CLASSES = {DONE: "done", TAKEN: "taken", TO_DO: "todo", FAILED: "failed"}
_STYLE = """
.page{fill:#ffffff}text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;fill:#1b1f24}
.title{font-size:16px;font-weight:600}.label{font-size:13px}.detail,.legend{font-size:11px;fill:#57606a}
.sign{font-size:14px;font-weight:700}.line{fill:none;stroke:#8c959f;stroke-width:1.5}.tip{fill:#8c959f}
.box{stroke-width:1.5}
.done .box{fill:#dff3e4;stroke:#2c8a4b}.done .sign{fill:#1a6b36}
.taken .box{fill:#e6ebfb;stroke:#4a63c8}.taken .sign{fill:#3248a6}
.todo .box{fill:#f6f8fa;stroke:#6e7781}.todo .sign{fill:#57606a}
.failed .box{fill:#fdeed3;stroke:#b7791f}.failed .sign{fill:#8a5a0b}
@media (prefers-color-scheme:dark){.page{fill:#0d1117}text{fill:#e6edf3}.detail,.legend{fill:#9aa4af}
.line{stroke:#6e7681}.tip{fill:#6e7681}
.done .box{fill:#12311d;stroke:#3fa35f}.done .sign{fill:#6fd08c}
.taken .box{fill:#1a2448;stroke:#7088e8}.taken .sign{fill:#a3b4ff}
.todo .box{fill:#161b22;stroke:#8b949e}.todo .sign{fill:#b1bac4}
.failed .box{fill:#3a2a0c;stroke:#d19a3a}.failed .sign{fill:#f0c069}}
"""


def plan_svg(plan: Plan, summary: str, *, every: bool = False) -> str:
    """Return a picture of a plan.

    Args:
        plan: the plan.
        summary: its totals in a line.
        every: whether every step has a box of its own, however many there are.
    """
    boxes = fold(plan.steps, None if every else MOST_BOXES)
    pieces = _packed(boxes)
    width = max((piece.x + piece.width for piece in pieces), default=0) + _MARGIN
    height = max((piece.y + piece.height for piece in pieces), default=0) + _MARGIN
    head = [
        f'<text class="title" x="{_MARGIN}" y="{_MARGIN + 10}">{_safe(plan.title)}</text>',
        f'<text class="detail" x="{_MARGIN}" y="{_MARGIN + 29}">{_safe(summary)}</text>',
        *_legend(plan),
    ]
    width = max(width, 2 * _MARGIN + max(cell_width(plan.title) * 9.6, cell_width(summary) * _SMALL, 360))
    drawn = [part for piece in pieces for part in piece.drawn()]
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>',
            f"<title>{_safe(plan.title)}</title>",
            f"<style>{_STYLE}</style>",
            '<rect class="page" width="100%" height="100%"/>',
            *head,
            *drawn,
            "</svg>\n",
        ]
    )


def _legend(plan: Plan) -> list[str]:
    """Return what the signs of the states mean, of those that there are, with how many."""
    counts, parts, x = Counter(step.state for step in plan.steps), [], float(_MARGIN)
    for state in SIGNS:
        if counts[state]:
            text = f"{counts[state]} {state}"
            said = f'<tspan class="sign">{SIGNS[state]}</tspan> {text}'
            place = f'x="{x:.0f}" y="{_MARGIN + 48}"'
            parts.append(f'<g class="{_CLASSES[state]}"><text class="legend" {place}>{said}</text></g>')
            x += 40 + len(text) * _SMALL
    return parts


class _Piece(NamedTuple):
    """Boxes that hang together, and where they stand in the picture.

    Attributes:
        boxes: of the piece.
        layout: of them.
        lefts: where each column begins.
        widths: of the columns.
        x: left edge in the picture.
        y: upper edge in the picture.
    """

    boxes: list[Box]
    layout: Layout
    lefts: list[float]
    widths: list[float]
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        return self.lefts[-1] + self.widths[-1]

    @property
    def height(self) -> float:
        return self.layout.rows * _ROW

    def drawn(self) -> list[str]:
        """Return its lines, and its boxes above them."""
        lines = [self._line(one, other) for one, other in self.layout.lines]
        return [*lines, *(self._box(number) for number in range(len(self.boxes)))]

    def _left(self, place: Place) -> float:
        return self.x + self.lefts[place.column]

    def _middle(self, place: Place) -> float:
        return self.y + place.row * _ROW + _HEIGHT / 2

    def _line(self, one: int, other: int) -> str:
        start, end = self.layout.boxes[one], self.layout.boxes[other]
        crowded = len(self.boxes[other].needs) > _CROWD, self._users[one] > _CROWD
        x, y = self._left(start) + self.widths[start.column], self._middle(start)
        path = [f"M{x:.1f} {y:.1f}"]
        if end.column <= start.column:
            return _arrow([*path, self._way_back(x, y, end)], self._left(end) - _TIP, self._middle(end))
        for place in [*self.layout.lines[one, other], end]:
            to_x, to_y = self._left(place) - _TIP * (place is end), self._middle(place)
            path.append(_bend((x, y), (to_x, to_y), *crowded))
            x, y = to_x, to_y
            if place is not end:
                x += self.widths[place.column]
                path.append(f"H{x:.1f}")
        return _arrow(path, x, y)

    def _way_back(self, x: float, y: float, end: Place) -> str:
        """Return the way of a line from the end of a row of a chain to the beginning of the next row."""
        between, to_x, to_y = (y + self._middle(end)) / 2, self._left(end) - _TIP, self._middle(end)
        right, left = x + _TRUNK, to_x - _TRUNK / 2
        return "".join(
            [
                f"H{right - _ROUND:.1f}Q{right:.1f} {y:.1f} {right:.1f} {y + _ROUND:.1f}",
                f"V{between - _ROUND:.1f}Q{right:.1f} {between:.1f} {right - _ROUND:.1f} {between:.1f}",
                f"H{left + _ROUND:.1f}Q{left:.1f} {between:.1f} {left:.1f} {between + _ROUND:.1f}",
                f"V{to_y - _ROUND:.1f}Q{left:.1f} {to_y:.1f} {left + _ROUND:.1f} {to_y:.1f}H{to_x:.1f}",
            ]
        )

    @property
    def _users(self) -> Counter[int]:
        return Counter(one for one, _ in self.layout.lines)

    def _box(self, number: int) -> str:
        box, place = self.boxes[number], self.layout.boxes[number]
        x, y = self._left(place), self.y + place.row * _ROW
        width = self.widths[place.column] - _STACK
        shifts = (_STACK, _STACK // 2, 0) if len(box.steps) > 1 else (0,)
        if shifts == (0,):
            width += _STACK
        cards = [
            f'<rect class="box" x="{x + d:.1f}" y="{y + d:.1f}" width="{width:.1f}" height="{_HEIGHT}" rx="8"/>'
            for d in shifts
        ]
        state = _CLASSES[min((step.state for step in box.steps), key=_ORDER.index)]
        texts = _texts(box, x, y + _HEIGHT / 2)
        return f'<g class="{state}"><title>{_safe(box_tip(box))}</title>{"".join([*cards, *texts])}</g>'


def _arrow(path: Sequence[str], x: float, y: float) -> str:
    """Return a line, with a tip at its end."""
    tip = f'<path class="tip" d="M{x:.1f} {y - _TIP / 2:.1f}l{_TIP} {_TIP / 2}l-{_TIP} {_TIP / 2}z"/>'
    return f'<path class="line" d="{"".join(path)}"/>{tip}'


def _bend(start: tuple[float, float], end: tuple[float, float], many_in: bool, many_out: bool) -> str:
    """Return the way of a line across a channel: a curve or, where many lines meet, along a line that they share."""
    (x, y), (to_x, to_y) = start, end
    if (many_in or many_out) and abs(to_y - y) > 2 * _ROUND:
        trunk = to_x - _TRUNK if many_in else x + _TRUNK
        down = _ROUND if to_y > y else -_ROUND
        first = f"H{trunk - _ROUND:.1f}Q{trunk:.1f} {y:.1f} {trunk:.1f} {y + down:.1f}"
        return f"{first}V{to_y - down:.1f}Q{trunk:.1f} {to_y:.1f} {trunk + _ROUND:.1f} {to_y:.1f}H{to_x:.1f}"
    middle = (x + to_x) / 2
    return f"C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"


def _texts(box: Box, x: float, middle: float) -> list[str]:
    """Return the texts on a box, its left edge and its middle given."""
    detail, inner = box_detail(box), x + _indent(box)
    texts = [
        f'<text class="sign" x="{x + 10:.1f}" y="{middle + 5:.1f}">{box_sign(box)}</text>',
        f'<text class="label" x="{inner:.1f}" y="{middle + (-3 if detail else 5):.1f}">{_safe(box_label(box))}</text>',
    ]
    if detail:
        texts.append(f'<text class="detail" x="{inner:.1f}" y="{middle + 13:.1f}">{_safe(detail)}</text>')
    return texts


# What a box of steps in several states is coloured as: what is to be done counts most.
_ORDER = (FAILED, TO_DO, TAKEN, DONE)


def _indent(box: Box) -> float:
    return _SIGN + 14 * (len(box_sign(box)) - 1)


def _box_width(box: Box) -> float:
    text = max(cell_width(box_label(box)) * _CHAR, cell_width(box_detail(box)) * _SMALL)
    return _indent(box) + text + 12 + _STACK * (len(box.steps) > 1)


def _packed(boxes: Sequence[Box]) -> list[_Piece]:
    """Return the pieces of a graph: below one another and, when the picture would be too high, side by side, too."""
    pieces = [_piece(part, boxes) for part in parts_of([box.needs for box in boxes])]
    if not pieces:
        return []
    for count in range(1, len(pieces) + 1):
        placed = _in_columns(pieces, -(-len(pieces) // count))
        width = max(piece.x + piece.width for piece in placed)
        if width >= _LOOK * max(piece.y + piece.height for piece in placed) or count == len(pieces):
            break
    return placed


def _in_columns(pieces: Sequence[_Piece], per_column: int) -> list[_Piece]:
    placed, x = [], float(_MARGIN)
    for start in range(0, len(pieces), per_column):
        column, y = _alike(pieces[start : start + per_column]), float(_MARGIN + _HEAD - 12)
        for piece in column:
            placed.append(piece._replace(x=x, y=y))
            y += piece.height
        x += max(piece.width for piece in column) + _PART_GAP
    return placed


def _alike(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Return pieces whose columns are equally wide, so that what stands below one another begins at one line."""
    most = max((piece.widths for piece in pieces), key=len)
    widths = [max(piece.widths[n] for piece in pieces if n < len(piece.widths)) for n in range(len(most))]
    lefts = [sum(widths[:number]) + number * _CHANNEL for number in range(len(widths))]
    return [piece._replace(lefts=lefts[: len(piece.widths)], widths=widths[: len(piece.widths)]) for piece in pieces]


def _piece(part: Sequence[int], boxes: Sequence[Box]) -> _Piece:
    new = {number: place for place, number in enumerate(part)}
    own = [boxes[number]._replace(needs=[new[needed] for needed in boxes[number].needs]) for number in part]
    layout = _wrapped(own) or lay_out([box.needs for box in own], centred=True)
    widths = [0.0] * layout.columns
    for box, place in zip(own, layout.boxes, strict=True):
        widths[place.column] = max(widths[place.column], _box_width(box))
    return _Piece(own, layout, [0.0] * layout.columns, widths)


def _wrapped(boxes: Sequence[Box]) -> Layout | None:
    """Return a layout of a long chain in rows, as text is; None for any other graph, and a chain that has room."""
    if any(box.needs != ([number - 1] if number else []) for number, box in enumerate(boxes)):
        return None
    columns = max(1, int(_WIDEST / (max(map(_box_width, boxes)) + _CHANNEL)))
    if len(boxes) <= columns:
        return None
    places = [Place(number % columns, number // columns) for number in range(len(boxes))]
    return Layout(places, {(number - 1, number): [] for number in range(1, len(boxes))}, places[-1].row + 1, columns)


def _safe(text: str) -> str:
    """Return a text for XML, which has no place for control characters, not even escaped."""
    return escape("".join(char if char.isprintable() or char == "\n" else "?" for char in text))
