"""A table without rich looks like those with it: columns that don't fit go, colours only on terminals."""

import os
from pathlib import Path

import pytest

from mml.report.quick_table import cell_width, fitting, paint, write_line, write_table
from mml.report.texts import Column
from tests.support.runs import make_run
from tests.support.terminal import mml_in_terminal

COLUMNS = [
    Column("name", lambda row: row[0]),
    Column("size", lambda row: row[1], number=True, spare=1),
    Column("state", lambda row: row[2], style=lambda row: "bold red" if row[2] == "bad" else "", spare=2),
]
ROWS = [("a", "10", "good"), ("long", "7", "bad")]


def test_columns_are_aligned_and_lines_end_where_they_end(capsys: pytest.CaptureFixture[str]) -> None:
    write_table("Title", COLUMNS, ROWS)
    assert capsys.readouterr().out == "Title\nname  size  state\na       10  good\nlong     7  bad\n"


def test_no_record_is_a_head_alone(capsys: pytest.CaptureFixture[str]) -> None:
    write_table("Title", COLUMNS, [])
    write_line("end")
    assert capsys.readouterr().out == "Title\nname  size  state\nend\n"


@pytest.mark.parametrize(
    ("room", "kept"), [(None, [0, 1, 2]), (17, [0, 1, 2]), (16, [0, 1]), (10, [0, 1]), (9, [0]), (1, [0])]
)
def test_columns_that_can_be_spared_go_first(room: int | None, kept: list[int]) -> None:
    assert fitting(COLUMNS, [4, 4, 5], room) == kept


def test_texts_can_not_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    write_table("T", COLUMNS[:1], [("a\x1b[2Jb\nc",)])
    assert capsys.readouterr().out == "T\nname\na?[2Jb?c\n"


def test_wide_characters_take_their_room(capsys: pytest.CaptureFixture[str]) -> None:
    assert (cell_width("abc"), cell_width("日本"), cell_width("é")) == (3, 4, 1)
    write_table("T", COLUMNS[:2], [("日本", "1"), ("abcd", "1")])
    assert capsys.readouterr().out == "T\nname  size\n日本     1\nabcd     1\n"


def test_paint_knows_several_words_and_none() -> None:
    assert paint("x", "bold red") == "\x1b[1;31mx\x1b[0m"
    assert paint("x", "") == "x"


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_a_pipe_gets_colours_only_by_force(
    variables: dict[str, str],
    coloured: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    write_table("T", COLUMNS, ROWS)
    assert ("\x1b[1;31mbad\x1b[0m" in capsys.readouterr().out) is coloured


@pytest.mark.parametrize("columns", [60, 200])
def test_terminal_gets_colours_and_no_line_beyond_its_width(tmp_path: Path, columns: int) -> None:
    make_run(tmp_path, tasks=("a_task_of_a_long_name", "another"), state="failed")
    with mml_in_terminal(["runs", f"out_dir={tmp_path}"], tmp_path, columns=columns) as terminal:
        assert terminal.finish() == 0
    head, row = terminal.text.splitlines()[-2:]
    assert max(len(head), len(row)) <= columns
    assert ("a_task_of_a_long_name" in row) is (columns == 200)
    assert b"\x1b[31mfailed\x1b[0m" in terminal._raw
    assert os.environ.get("NO_COLOR") is None
