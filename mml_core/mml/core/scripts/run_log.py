"""Logging of a run: `exp.log` in the run folder and, on the console, lines that don't garble the progress display."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

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
