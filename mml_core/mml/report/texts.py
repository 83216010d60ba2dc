"""One way to say sizes, times, numbers and lists; loads nothing, so that what has to be quick may use it, too."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

NOTHING = "-"
GAP = 2  # characters between columns of a table

_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


class Column(NamedTuple):
    """One column of a table.

    Attributes:
        title: the head of the column.
        text: what the column says of a record.
        number: whether it is a number, set flush right.
        fold: whether a long text may go on in the next line; otherwise it is never broken.
        style: the colour in which a record's text is set, `""` for none.
        spare: columns above 0 are left out where the terminal is too narrow, the highest first.
    """

    title: str
    text: Callable[[Any], str]
    number: bool = False
    fold: bool = False
    style: Callable[[Any], str] = lambda _: ""
    spare: int = 0


def size_text(size: int) -> str:
    """Return a number of bytes as people say it: `1536` -> `1.5 kB`, in steps of 1000 as disks count."""
    value = float(size)
    for unit in _SIZE_UNITS[:-1]:
        if round(value, 1) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_SIZE_UNITS[-1]}"


def seconds_text(seconds: float | None) -> str:
    """Return a duration as people say it: `0.42 s`, `12.3 s`, `4 min 05 s`, `3 h 07 min`."""
    if seconds is None:
        return NOTHING
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def number_text(value: float | None) -> str:
    """Return a figure with four significant digits, `-` when there is none."""
    return NOTHING if value is None else f"{value:.4g}"


def list_text(values: Iterable[Any], most: int = 4) -> str:
    """Return the first values of a list and how many more there are."""
    items = [str(value) for value in values]
    more = f", ... ({len(items) - most} more)" if len(items) > most else ""
    return (", ".join(items[:most]) + more) or NOTHING


def count_text(number: int, noun: str) -> str:
    """Return a number and its noun: `1 file`, `2 files`, `2 copies`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"
