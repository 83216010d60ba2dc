"""What goes to the console of a run is printed one after the other, and never while bars are drawn."""

import io
import threading

from mml.core.scripts.progress import RunProgress
from mml.core.scripts.progress_bars import LiveView
from mml.core.scripts.progress_console import ProgressConsole
from mml.core.scripts.progress_views import StepCount

PATIENCE = 30


def console_of(text: io.StringIO) -> ProgressConsole:
    return ProgressConsole(file=text, width=80, force_terminal=True, color_system=None)


def test_it_prints_as_any_console_does() -> None:
    text = io.StringIO()
    console_of(text).print("[b]one[/b]", 2, sep="-", end="!")
    assert text.getvalue() == "one-2!"


def test_a_print_waits_while_something_is_drawn() -> None:
    text = io.StringIO()
    console = console_of(text)
    printer = threading.Thread(target=console.print, args=("later",))
    with console.printing:
        printer.start()
        console.print("first")  # by whoever draws
        printer.join(0.05)
        assert text.getvalue() == "first\n"
    printer.join(PATIENCE)
    assert text.getvalue() == "first\nlater\n"


def test_bars_are_drawn_while_nothing_is_printed() -> None:
    console = console_of(io.StringIO())
    view = LiveView(console, StepCount(total=3))
    view.hold()
    taken: list[bool] = []
    other = threading.Thread(target=lambda: taken.append(console.printing.acquire(blocking=False)))
    other.start()
    other.join(PATIENCE)
    view.release()
    assert taken == [False]


def test_a_forked_child_has_a_lock_of_its_own() -> None:
    console = console_of(io.StringIO())
    view = LiveView(console, StepCount(total=3))
    before = console.printing
    view.hold()
    view.abandon()  # what happens in the child
    assert console.printing is not before
    console.print("a child prints")


def test_a_run_has_such_a_console() -> None:
    assert isinstance(RunProgress().console, ProgressConsole)
