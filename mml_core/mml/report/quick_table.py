"""A table without rich, whose loading and drawing would take as long as looking at ten thousand runs does."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from mml.report.texts import GAP, Column

_CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36}


def write_table(title: str, columns: Sequence[Column], records: Sequence[Any]) -> None:
    """Print a heading and a line per record on stdout; where it is no terminal, plain and as wide as it is.

    Where the terminal is too narrow, columns that can be spared are left out.
    """
    coloured = _is_coloured()
    cells = [[_one_line(column.text(record)) for record in records] for column in columns]
    widths = [max(map(cell_width, (column.title, *texts))) for column, texts in zip(columns, cells, strict=True)]
    kept = fitting(columns, widths, _room())
    lines = [paint(title, "bold") if coloured else title]
    for row in range(-1, len(records)):
        parts = []
        for number in kept:
            text = columns[number].title if row < 0 else cells[number][row]
            padding = " " * (widths[number] - cell_width(text))
            if coloured:
                text = paint(text, "dim" if row < 0 else columns[number].style(records[row]))
            parts.append(padding + text if columns[number].number else text + padding)
        lines.append((" " * GAP).join(parts).rstrip())
    sys.stdout.write("\n".join(lines) + "\n")


def write_line(text: str) -> None:
    """Print a line on stdout."""
    sys.stdout.write(f"{text}\n")


def fitting(columns: Sequence[Column], widths: Sequence[int], room: int | None) -> list[int]:
    """Return the places of the columns that fit into so many characters; None is room enough."""
    kept = list(range(len(columns)))
    while room is not None and sum(widths[number] + GAP for number in kept) - GAP > room:
        spare = max(kept, key=lambda number: columns[number].spare)
        if not columns[spare].spare:
            break
        kept.remove(spare)
    return kept


def paint(text: str, style: str) -> str:
    """Return a text in a style such as `bold red`, for a terminal."""
    codes = ";".join(str(_CODES[word]) for word in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m" if codes else text


def cell_width(text: str) -> int:
    """Return how many characters wide a terminal shows a text."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # knows the wide ones

    return cell_len(text)


def _one_line(text: str) -> str:
    """Return a text without what would move the cursor; a label or a task may hold anything."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def _room() -> int | None:
    if not sys.stdout.isatty():
        return None
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdigit() and int(given) else os.get_terminal_size(sys.stdout.fileno()).columns or None


def _is_coloured() -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))
