"""Logging of a run: `exp.log` in the run folder and, on the console, lines that don't garble the progress display."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from mml.core.scripts.run_files import LOG_FILE

FORMAT = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"


@contextmanager
def run_logging(log_file: Path | None, level: str, console: Console) -> Iterator[None]:
    """Send log records to a file and to the console while the block runs.

    Args:
        log_file: is appended to; None for no file.
        level: least level of records, e.g. `"INFO"`.
        console: the one that the progress display draws on.
    """
    handlers: list[logging.Handler] = [console_handler(console)]
    if log_file is not None:
        handlers.append(logging.FileHandler(log_file, encoding="utf-8"))
    with _logging_to(handlers, level):
        yield


@contextmanager
def worker_logging(folder: Path, level: str) -> Iterator[None]:
    """Send log records of a worker to the log in its folder while the block runs.

    Args:
        folder: of the worker.
        level: least level of records.
    """
    with _logging_to([logging.FileHandler(folder / LOG_FILE, encoding="utf-8")], level):
        yield


@contextmanager
def _logging_to(handlers: list[logging.Handler], level: str) -> Iterator[None]:
    root = logging.getLogger()
    before = root.level
    root.setLevel(level)
    for handler in handlers:
        handler.setFormatter(logging.Formatter(FORMAT if isinstance(handler, logging.FileHandler) else "%(message)s"))
        root.addHandler(handler)
    try:
        yield
    finally:
        root.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def console_handler(console: Console) -> logging.Handler:
    """Return what shows log records on a console, from INFO on."""
    from rich.logging import RichHandler  # costs 20 ms of start-up, wanted only by a run

    handler = RichHandler(console=console, show_path=False, show_time=False)
    handler.setLevel(logging.INFO)
    return handler
