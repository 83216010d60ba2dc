"""The table: what counts as a loss, and that the documentation holds one section per module."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from chaos.table import BEGIN, END, Options, Row, as_markdown, as_rich, is_loss, put_section

GOOD = Row("SIGKILL at a rename", 1200, 1200, 0, 0, "every one")
ORDER = ["kills", "training", "power"]
EMPTY = f"before\n{BEGIN}\n{END}\nafter\n"


@pytest.mark.parametrize(
    ("change", "loss"),
    [({}, False), ({"survived": 1199}, True), ({"repeated": 1}, True), ({"differing": 1}, True), ({"note": ""}, False)],
)
def test_a_row_is_a_loss_when_anything_was_lost_repeated_or_changed(change: dict[str, int], loss: bool) -> None:
    assert is_loss(GOOD._replace(**change)) is loss


def test_markdown_has_a_line_per_row_and_no_cell_is_broken() -> None:
    lines = as_markdown([GOOD, GOOD._replace(injected="a | b")]).splitlines()
    assert lines[0] == "| injected | times | survived | finished steps repeated | results that differ | note |"
    assert lines[2] == "| SIGKILL at a rename | 1,200 | 1,200 | 0 | 0 | every one |"
    assert lines[3].startswith("| a \\| b |")
    assert all(line.replace("\\|", "").count("|") == 7 for line in lines)


def test_the_terminal_shows_a_loss_in_red() -> None:
    shown = io.StringIO()
    Console(file=shown, force_terminal=True, width=150).print(as_rich("kills", [GOOD, GOOD._replace(differing=3)]))
    good, loss = shown.getvalue().splitlines()[2:4]
    assert "1,200" in good and "\x1b[31m" not in good
    assert "\x1b[31mSIGKILL" in loss


def test_a_section_is_put_between_the_marks() -> None:
    text = put_section(EMPTY, "power", "the table", ORDER)
    head, body = text.split(BEGIN)
    assert head == "before\n"
    assert "the table" in body and text.endswith(f"{END}\nafter\n")


def test_a_section_takes_the_place_of_an_earlier_one_and_leaves_the_others() -> None:
    text = EMPTY
    for name, section in [("power", "old"), ("kills", "of kills"), ("power", "new")]:
        text = put_section(text, name, section, ORDER)
    assert "old" not in text and text.count("chaos module: power") == 1
    assert text.index("of kills") < text.index("new") < text.index(END)


def test_writing_the_same_section_again_changes_nothing() -> None:
    once = put_section(EMPTY, "kills", "of kills", ORDER)
    assert put_section(once, "kills", "of kills", ORDER) == once


@pytest.mark.parametrize("text", ["", f"{BEGIN} only", f"{END} before {BEGIN}"])
def test_a_document_without_a_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="there is no place"):
        put_section(text, "kills", "x", ORDER)


def test_options_are_plain_values() -> None:
    assert Options(seed=1, points=None, quick=True, folder=Path("x"))._asdict()["quick"] is True
