"""The console of a run, to which log lines and moving bars come from several threads without tearing one another."""

import threading
from typing import Any

from rich.console import Console


class ProgressConsole(Console):
    """A console that prints one thing after the other.

    Rich asks where the bars stand before it formats a print, and writes when that is done: bars that another thread
    draws meanwhile, with more lines or fewer, would be overwritten in part.

    Attributes:
        printing: is held while something is printed; whoever draws bars holds it, too.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.printing = threading.RLock()

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, as `Console.print` does, when nobody else does."""
        with self.printing:
            super().print(*objects, **options)
