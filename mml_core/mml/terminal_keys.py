"""Single keys from a terminal, for what people steer with arrows and letters."""

import os
import select
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

_ESCAPED = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[H": "home",
    b"\x1b[F": "bottom",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
}
_NAMED = {
    b"\r": "enter",
    b"\n": "enter",
    b"\x7f": "backspace",
    b"\x08": "backspace",
    b"\x03": "ctrl-c",
    b"\x04": "end",
    b"\x15": "ctrl-u",
    b"\x10": "up",
    b"\x0e": "down",
    b"\x1b": "escape",
}
# How long the rest of the bytes of one key may take to come, over a slow line.
_ESCAPE_SECONDS = 0.05


@contextmanager
def single_keys(handle: int) -> Iterator[None]:
    """Let the keys of a terminal be read one by one, unseen, while the block runs; Ctrl-C is a key, too.

    Args:
        handle: file descriptor of the terminal.
    """
    before = termios.tcgetattr(handle)
    try:
        tty.setcbreak(handle, termios.TCSADRAIN)
        mode = termios.tcgetattr(handle)
        mode[3] &= ~termios.ISIG
        termios.tcsetattr(handle, termios.TCSADRAIN, mode)
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def read_key(handle: int) -> str:
    """Wait for a key and return its name (`up`, `enter`, ...) or the character; `end` when nobody can type any more."""
    data = os.read(handle, 1)
    if not data:
        return "end"
    if data == b"\x1b":
        data += _rest(handle)
        return _ESCAPED.get(data, "escape" if data == b"\x1b" else "other")
    if data in _NAMED:
        return _NAMED[data]
    # The other bytes of a character beyond ASCII: as many as the leading ones of its first byte say.
    more = next((length for length, lead in ((3, 0xF0), (2, 0xE0), (1, 0xC0)) if data[0] & lead == lead), 0)
    data += os.read(handle, more) if more else b""
    text = data.decode(errors="replace")
    return text if text.isprintable() else "other"


def _rest(handle: int) -> bytes:
    """Return what follows an escape at once."""
    data = b""
    while len(data) < 8 and select.select([handle], [], [], _ESCAPE_SECONDS)[0]:
        byte = os.read(handle, 1)
        data += byte
        if not byte or byte.isalpha() and data != b"O" or byte == b"~":
            break
    return data
