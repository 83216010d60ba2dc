"""What a run logs goes into its file and, from INFO on, to the console."""

import io
import logging
from pathlib import Path

import pytest
from rich.console import Console

from mml.core.scripts.run_log import run_logging

logger = logging.getLogger("mine")


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_records_go_to_file_and_console(tmp_path: Path, console: Console) -> None:
    with run_logging(tmp_path / "exp.log", "INFO", console):
        logger.info("hello é")
    assert "INFO     mine: hello é\n" in (tmp_path / "exp.log").read_text(encoding="utf-8")
    assert shown(console).split() == ["INFO", "hello", "é"]


def test_debug_records_go_to_the_file_alone(tmp_path: Path, console: Console) -> None:
    with run_logging(tmp_path / "exp.log", "DEBUG", console):
        logger.debug("detail")
    assert "detail" in (tmp_path / "exp.log").read_text()
    assert shown(console) == ""


def test_records_below_the_level_go_nowhere(tmp_path: Path, console: Console) -> None:
    with run_logging(tmp_path / "exp.log", "WARNING", console):
        logger.info("quiet")
    assert (tmp_path / "exp.log").read_text() == shown(console) == ""


def test_log_of_a_continued_run_is_appended_to(tmp_path: Path, console: Console) -> None:
    for text in ("first", "second"):
        with run_logging(tmp_path / "exp.log", "INFO", console):
            logger.warning(text)
    assert [line.split()[-1] for line in (tmp_path / "exp.log").read_text().splitlines()] == ["first", "second"]


def test_without_a_file_there_is_the_console(console: Console) -> None:
    with run_logging(None, "INFO", console):
        logger.warning("seen")
    assert "seen" in shown(console)


def test_text_in_brackets_is_shown_as_it_is(console: Console) -> None:
    with run_logging(None, "INFO", console):
        logger.warning("[red]text[/red] [a/b]")
    assert "[red]text[/red] [a/b]" in shown(console)


def test_logging_is_as_before_afterwards(tmp_path: Path, console: Console) -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    with pytest.raises(ValueError, match="stop"), run_logging(tmp_path / "exp.log", "DEBUG", console):
        raise ValueError("stop")
    assert (root.level, root.handlers) == before
