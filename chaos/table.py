"""What a chaos module is asked for and what it answers: options in, rows of the table of `docs/reliability.md` out."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import RenderableType

from mml.report.tables import Column, as_table

# Between these lines of a document, `put_section` keeps one section per module.
BEGIN, END = "<!-- chaos: written by `nox -s chaos -- --write` -->", "<!-- chaos: end -->"
_MARK = "<!-- chaos module: "


class Options(NamedTuple):
    """How a module is run.

    Attributes:
        seed: of everything that is drawn.
        points: how many points are tried where not all are; None leaves it to the module.
        quick: whether seconds have to do, in place of minutes.
        folder: empty folder for everything that the module writes.
    """

    seed: int
    points: int | None
    quick: bool
    folder: Path


class Row(NamedTuple):
    """What was injected, and what became of it.

    Attributes:
        injected: the fault, and into what.
        times: how often.
        survived: how often the run was continued to its end without a hand, or ended with the right error.
        repeated: finished steps that were done again.
        differing: files, records or return values that differ from those of an uninterrupted run.
        note: what else there is to know.
    """

    injected: str
    times: int
    survived: int
    repeated: int
    differing: int
    note: str = ""


COLUMNS: list[tuple[str, Callable[[Row], str], bool]] = [
    ("injected", lambda row: row.injected, False),
    ("times", lambda row: f"{row.times:,}", True),
    ("survived", lambda row: f"{row.survived:,}", True),
    ("finished steps repeated", lambda row: f"{row.repeated:,}", True),
    ("results that differ", lambda row: f"{row.differing:,}", True),
    ("note", lambda row: row.note, False),
]


def is_loss(row: Row) -> bool:
    """Tell whether a row breaks the promise: something did not survive, was done twice, or differs."""
    return row.survived < row.times or row.repeated > 0 or row.differing > 0


def as_rich(title: str, rows: Iterable[Row]) -> RenderableType:
    """Return rows as a table for the terminal; those that break the promise are red."""
    columns = [
        Column(name, text, number=number, fold=not number, style=lambda row: "red" if is_loss(row) else "")
        for name, text, number in COLUMNS
    ]
    return as_table(title, columns, rows)


def as_markdown(rows: Iterable[Row]) -> str:
    """Return rows as a table in Markdown."""
    lines = [[name for name, _, _ in COLUMNS], ["---:" if number else "---" for _, _, number in COLUMNS]]
    lines += [[text(row).replace("|", "\\|") for _, text, _ in COLUMNS] for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def put_section(document: str, name: str, section: str, order: Sequence[str]) -> str:
    """Return a document in which the section of a module stands in the place of an earlier one.

    Args:
        document: has the lines `BEGIN` and `END`.
        name: of the module.
        section: its text.
        order: names of all modules, as their sections follow one another.

    Raises:
        ValueError: the document has no place for sections.
    """
    head, begin, rest = document.partition(BEGIN)
    body, end, tail = rest.partition(END)
    if not begin or not end:
        msg = f"there is no place for the table: the lines {BEGIN} and {END} are missing"
        raise ValueError(msg)
    sections = {known: text for known in order if (text := _between(body, _mark(known), _MARK))}
    sections[name] = section.strip()
    written = "".join(f"{_mark(known)}\n\n{sections[known]}\n\n" for known in order if known in sections)
    return f"{head}{begin}\n\n{written}{end}{tail}"


def _mark(name: str) -> str:
    return f"{_MARK}{name} -->"


def _between(text: str, start: str, stop: str) -> str:
    _, found, rest = text.partition(start)
    return rest.partition(stop)[0].strip() if found else ""
