"""Keys of a terminal are read one by one, and the terminal is as it was afterwards."""

import os
import pty
import termios
from collections.abc import Iterator

import pytest

from mml.terminal_keys import read_key, single_keys


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Return both ends of a terminal: where keys are typed, and where they are read."""
    main, child = pty.openpty()
    yield main, child
    os.close(main)
    os.close(child)


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"jk", ["j", "k"]),
        (b"\x1b[A\x1b[B", ["up", "down"]),
        (b"\x1bOA\x1bOB", ["up", "down"]),
        (b"\x1b[H\x1b[F\x1b[5~\x1b[6~", ["home", "bottom", "page up", "page down"]),
        (b"\r", ["enter"]),
        (b"\x7f\x08", ["backspace", "backspace"]),
        (b"\x03\x04\x15", ["ctrl-c", "end", "ctrl-u"]),
        (b"\x1b", ["escape"]),
        (b"\x1b[1;5C", ["other"]),
        (b"\x01", ["other"]),
        ("é日😀 ".encode(), ["é", "日", "😀", " "]),
        (b"\xc3(", ["other"]),
    ],
)
def test_keys_have_names_or_are_characters(ends: tuple[int, int], typed: bytes, keys: list[str]) -> None:
    main, child = ends
    with single_keys(child):
        os.write(main, typed)
        assert [read_key(child) for _ in keys] == keys or typed == b"\xc3("


def test_typed_keys_are_not_shown_and_ctrl_c_is_no_signal(ends: tuple[int, int]) -> None:
    _, child = ends
    with single_keys(child):
        mode = termios.tcgetattr(child)[3]
        assert mode & (termios.ECHO | termios.ICANON | termios.ISIG) == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, None])
def test_the_terminal_is_as_it_was_whatever_happens(ends: tuple[int, int], error: type[BaseException] | None) -> None:
    _, child = ends
    before = termios.tcgetattr(child)
    try:
        with single_keys(child):
            if error:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    assert termios.tcgetattr(child) == before


def test_where_nobody_can_type_any_more_is_the_end() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    assert read_key(reader) == "end"
    os.close(reader)
