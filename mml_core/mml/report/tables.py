"""Tables on the terminal: one way to say sizes, times and lists of records, for every mode that shows some."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mml.report.texts import GAP as GAP
from mml.report.texts import NOTHING as NOTHING
from mml.report.texts import Column as Column
from mml.report.texts import count_text as count_text
from mml.report.texts import list_text as list_text
from mml.report.texts import number_text as number_text
from mml.report.texts import seconds_text as seconds_text
from mml.report.texts import size_text as size_text

# Width of tables that no terminal limits, in characters: wide enough that a path is never cut.
PIPE_WIDTH = 400
FOLDED_WIDTH = 24  # characters that a column needs whose texts may go on in the next line


def as_table(title: str, columns: Sequence[Column], records: Iterable[Any]) -> RenderableType:
    """Return a heading and a table with one line per record; texts are shown as they are, brackets are no markup.

    Where the terminal is too narrow, columns that can be spared are left out; if it still is, a table of few records is
    turned, so that each record is a column.
    """
    # A title of the table itself would be broken at the width of the table.
    return Group(Text(title, style="bold"), _Fitted(columns, list(records)))


class _Fitted:
    """A table that is made when the width of the terminal is known."""

    def __init__(self, columns: Sequence[Column], records: Sequence[Any]) -> None:
        self._columns = columns
        self._cells = [[Text(column.text(record), column.style(record)) for record in records] for column in columns]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        kept = list(range(len(self._columns)))
        while self._width(kept) > options.max_width and any(self._columns[number].spare for number in kept):
            kept.remove(max(kept, key=lambda number: self._columns[number].spare))
        fits = self._width(kept) <= options.max_width
        yield self._table(kept) if fits or len(self._cells[0]) >= len(kept) else self._turned()

    def _width(self, kept: Sequence[int]) -> int:
        """Return the width of a table in which only columns that may be folded are folded."""
        return sum(self._column_width(number) for number in kept) + GAP * (len(kept) - 1)

    def _column_width(self, number: int) -> int:
        column = self._columns[number]
        widest = max((cell.cell_len for cell in self._cells[number]), default=0)
        return max(cell_len(column.title), min(widest, FOLDED_WIDTH) if column.fold else widest)

    def _table(self, kept: Sequence[int]) -> Table:
        table = _plain_table()
        for column in (self._columns[number] for number in kept):
            table.add_column(
                column.title,
                justify="right" if column.number else "left",
                no_wrap=not column.fold,
                overflow="fold" if column.fold else "ellipsis",
            )
        for row in zip(*(self._cells[number] for number in kept), strict=True):
            table.add_row(*row)
        return table

    def _turned(self) -> Table:
        table = _plain_table()
        table.show_header = False
        table.add_column(style="dim", no_wrap=True)
        for _ in self._cells[0]:
            table.add_column(overflow="fold")
        for column, cells in zip(self._columns, self._cells, strict=True):
            table.add_row(column.title, *cells)
        return table


def _plain_table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")


def show(*parts: RenderableType, file: IO[str] | None = None) -> None:
    """Print tables and lines on a stream, stdout by default; where it is no terminal, as wide as they are."""
    console = Console(file=file or sys.stdout, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    for part in parts:
        console.print(Text(part) if isinstance(part, str) else part)
