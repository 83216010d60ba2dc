"""Questions on the terminal before something is done that can't be undone."""

import sys

YES = ("y", "yes")


def can_answer() -> bool:
    """Tell whether there is somebody to ask."""
    return sys.stdin is not None and sys.stdin.isatty()


def answered_yes(question: str) -> bool:
    """Ask on the terminal; the end of the input is a no."""
    try:
        return input(question).strip().lower() in YES
    except EOFError:
        return False
