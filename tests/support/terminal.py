"""A program in a terminal of its own, steered by keys and read as text."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")
_PATIENCE = 60.0


class Terminal:
    """A running program and all that it has shown so far.

    Args:
        process: the program.
        handle: of the other side of its terminal.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", handle: int) -> None:
        self.process, self._handle = process, handle
        self._raw = b""
        self._seen = 0

    @property
    def text(self) -> str:
        """All that was shown, without colours and movements."""
        return _CONTROLS.sub("", self._raw.decode(errors="replace"))

    def wait_for(self, text: str) -> None:
        """Wait until something is shown that was not looked at before."""
        end = time.monotonic() + _PATIENCE
        while text not in self.text[self._seen :]:
            if time.monotonic() > end or not self._read():
                raise AssertionError(f"{text!r} was not shown, but:\n{self.text}")
        self._seen = self.text.index(text, self._seen) + len(text)

    def press(self, keys: bytes | str) -> None:
        """Type keys."""
        os.write(self._handle, keys.encode() if isinstance(keys, str) else keys)

    def finish(self) -> int:
        """Wait for the end of the program and return its exit code."""
        while self._read():
            pass
        return self.process.wait(_PATIENCE)

    def _read(self) -> bool:
        if not select.select([self._handle], [], [], _PATIENCE)[0]:
            return False
        try:
            data = os.read(self._handle, 65536)
        except OSError:  # Linux says so when the last program has left the terminal
            return False
        self._raw += data
        return bool(data)


@contextmanager
def mml_in_terminal(words: Sequence[str], cwd: Path, columns: int = 100) -> Iterator[Terminal]:
    """Run `mml` with words in a terminal; it is killed at the end of the block if it still runs."""
    main, child = pty.openpty()
    size = {"COLUMNS": str(columns), "LINES": "40", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "mml", *words]
    process = subprocess.Popen(command, cwd=cwd, stdin=child, stdout=child, stderr=child, env={**os.environ, **size})
    os.close(child)
    try:
        yield Terminal(process, main)
    finally:
        process.kill()
        process.wait()
        os.close(main)
