"""Ends a Ray that was started for a run, in a process of its own: `python -P ray_guard.py <folder>`.

A driver that is killed can't end it, and some of Ray's processes go on for a minute without those that started them.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# In the environment of all processes of such a Ray, and of what they start: its folder.
MARK = "MML_RAY_FOLDER"
_LIMIT, _LOOK = 20.0, 0.05


class Guard:
    """A process that waits for the end of this one.

    Args:
        folder: of the Ray.
    """

    def __init__(self, folder: Path) -> None:
        # Here, as the script that others run has nothing of mml.
        from mml.runners.held_ends import hold

        follows, self._lifeline = os.pipe()
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-P", __file__, str(folder)],
                stdin=follows,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            os.close(follows)
        hold(self._lifeline)

    def end(self) -> None:
        """Let it end what is left of the Ray, and wait until that is done."""
        self.tell()
        self._child.wait()

    def tell(self) -> None:
        """Let it begin with that."""
        from mml.runners.held_ends import let_go

        let_go(self._lifeline)


def main(folder: str) -> int:
    """Wait for the end of the driver, which alone holds the other end of standard input, and end the Ray."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)  # they mean the driver, which may have much to do before it ends
    sys.stdin.buffer.read()
    end = time.monotonic() + _LIMIT
    while (left := list(marked(folder))) and time.monotonic() < end:
        for number in left:
            with suppress(OSError):
                os.kill(number, signal.SIGKILL)
        time.sleep(_LOOK)
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def marked(folder: str) -> Iterator[int]:
    """Yield the processes of a Ray, as far as this user may look into them."""
    entry = f"{MARK}={folder}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if entry in (process / "environ").read_bytes().split(b"\0") or _has_open(process, folder):
                yield int(process.name)


def _has_open(process: Path, folder: str) -> bool:
    """Tell whether a process that has given itself a name of Ray's, over its environment, has a file of it open."""
    if not (process / "cmdline").read_bytes().startswith(b"ray::"):
        return False
    for file in (process / "fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if file.readlink().is_relative_to(folder):
                return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
