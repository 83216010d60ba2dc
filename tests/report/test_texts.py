"""What is said in words and figures loads nothing, so that everybody may say it the same way."""

import subprocess
import sys

import pytest

from mml.report import tables, texts

SAID = ("NOTHING", "GAP", "Column", "size_text", "seconds_text", "number_text", "list_text", "count_text")


def test_tables_say_it_the_same_way() -> None:
    assert [name for name in SAID if getattr(tables, name) is not getattr(texts, name)] == []


def test_loading_it_loads_nothing_else() -> None:
    code = "import sys, mml.report.texts; print([name for name in sys.modules if name in ('rich', 'msgspec', 'numpy')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1536, "1.5 kB"), (999_960, "1.0 MB"), (3 * 10**18, "3000.0 PB")]
)
def test_sizes_are_said_in_steps_of_a_thousand(size: int, text: str) -> None:
    assert texts.size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.416, "0.42 s"),
        (12.34, "12.3 s"),
        (59.96, "1 min 00 s"),
        (245, "4 min 05 s"),
        (11220, "3 h 07 min"),
    ],
)
def test_durations_are_said_in_two_units_at_most(seconds: float | None, text: str) -> None:
    assert texts.seconds_text(seconds) == text


def test_numbers_lists_and_counts_are_short() -> None:
    assert (texts.number_text(0.97916), texts.number_text(None)) == ("0.9792", "-")
    assert (texts.list_text("abcdef"), texts.list_text([])) == ("a, b, c, d, ... (2 more)", "-")
    assert [texts.count_text(number, "copy") for number in (1, 2)] == ["1 copy", "2 copies"]
    assert texts.count_text(0, "file") == "0 files"
