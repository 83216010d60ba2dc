import io
import subprocess
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from mml.report import tables
from mml.report.tables import Column

COLUMNS = [
    Column("name", lambda r: str(r.name)),
    Column("size", lambda r: tables.size_text(r.size), number=True),
    Column("path", lambda r: str(r.path), fold=True),
]
RECORD = SimpleNamespace(name="digits", size=1536, path="/a/" + "b" * 150)


def printed(width: int, columns: Sequence[Column] = COLUMNS, records: Sequence[Any] = (RECORD,)) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(tables.as_table("Tasks", columns, records))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1536, "1.5 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (30_900_000, "30.9 MB"),
        (5 * 10**9, "5.0 GB"),
        (5 * 10**12, "5.0 TB"),
        (5 * 10**19, "50000.0 PB"),
    ],
)
def test_sizes_read_as_people_say_them(size: int, text: str) -> None:
    assert tables.size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0.00 s"),
        (0.421, "0.42 s"),
        (9.994, "9.99 s"),
        (9.996, "10.0 s"),
        (12.34, "12.3 s"),
        (59.96, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3599.6, "1 h 00 min"),
        (11_240, "3 h 07 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float | None, text: str) -> None:
    assert tables.seconds_text(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.912345, "0.9123"), (1, "1"), (float("nan"), "nan")])
def test_figures_have_four_digits(value: float | None, text: str) -> None:
    assert tables.number_text(value) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [([], "-"), ("abcd", "a, b, c, d"), ("abcdef", "a, b, c, d, ... (2 more)"), ([1], "1")],
)
def test_long_lists_are_cut_with_the_number_of_what_is_left_out(values: list[str], text: str) -> None:
    assert tables.list_text(values) == text


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(0, "file", "0 files"), (1, "file", "1 file"), (2, "file", "2 files"), (2, "copy", "2 copies")],
)
def test_nouns_follow_their_number(number: int, noun: str, text: str) -> None:
    assert tables.count_text(number, noun) == text


def test_a_long_text_goes_on_in_the_next_line_of_a_narrow_terminal() -> None:
    assert "".join(printed(60)).count("b") == 150


def test_numbers_are_flush_right_and_texts_flush_left() -> None:
    rows = [SimpleNamespace(name=name, size=size, path="") for name, size in (("a", 1), ("b", 10**6))]
    assert printed(60, COLUMNS[:2], rows) == ["Tasks", "name    size", "a        1 B", "b     1.0 MB"]


SPARING = [
    Column("name", lambda r: r.name),
    Column("first", lambda r: "1" * 10, spare=2),
    Column("then", lambda r: "2" * 10, spare=1),
    Column("size", lambda r: tables.size_text(r.size), number=True),
]


@pytest.mark.parametrize(
    ("width", "head"),
    [
        (38, ["name", "first", "then", "size"]),
        (37, ["name", "then", "size"]),
        (26, ["name", "then", "size"]),
        (25, ["name", "size"]),
        (14, ["name", "size"]),
    ],
)
def test_a_narrow_terminal_costs_the_columns_that_can_be_spared(width: int, head: list[str]) -> None:
    lines = printed(width, SPARING)
    assert lines[1].split() == head
    assert all(len(line) <= width for line in lines)


def test_a_table_of_few_records_is_turned_where_nothing_else_helps() -> None:
    columns = [Column(f"metric_{number}", lambda r: r.name) for number in range(5)]
    lines = printed(30, columns, [RECORD, SimpleNamespace(name="other")])
    assert lines[1:] == [f"metric_{number}  digits  other" for number in range(5)]


def test_a_table_of_many_records_is_not_turned() -> None:
    columns = [Column(f"metric_{number}", lambda r: r.name) for number in range(2)]
    lines = printed(12, columns, [RECORD] * 2)
    assert len(lines) == 4


def test_wide_signs_count_twice() -> None:
    columns = [Column("name", lambda r: "日本" * 4), Column("spared", lambda r: "x", spare=1)]
    assert "spared" in printed(24, columns)[1]
    assert "spared" not in printed(23, columns)[1]


def test_brackets_of_a_name_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show("a [bold]name[/bold]")
    table = tables.as_table("Tasks", COLUMNS, [SimpleNamespace(name="[red]x", size=1, path="[/]")])
    tables.show(table)
    out = capsys.readouterr().out
    assert "a [bold]name[/bold]" in out
    assert "[red]x" in out
    assert "[/]" in out


def test_a_pipe_gets_every_path_in_one_piece(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show(tables.as_table("Tasks", COLUMNS, [RECORD]))
    assert RECORD.path in capsys.readouterr().out


def test_tables_need_no_heavy_library() -> None:
    heavy = ["torch", "lightning", "optuna", "pandas", "matplotlib", "sklearn", "numpy", "PIL"]
    code = f"import sys, mml.report.tables; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
