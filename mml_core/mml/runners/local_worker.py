"""What a worker process runs: `python local_worker.py <reader> <writer> <lifeline> <driver>`, in a fresh interpreter.

It knows nothing of mml until the driver said where that is, so its own imports are Python's alone.
"""

import faulthandler
import json
import os
import signal
import struct
import sys

_LENGTH = struct.Struct("!Q")


def main(reader: int, writer: int, lifeline: int, driver: int) -> int:
    """Be a worker until the driver sends no more work.

    Returns:
        The exit code; minus a signal that this process is to end by.
    """
    faulthandler.enable()
    for handle in (reader, writer, lifeline):
        os.set_inheritable(handle, False)
    if not (path := _search_path(reader)):
        return 1
    sys.path[:] = path
    from mml.runners.local_lifeline import follow

    follow(driver, lifeline)
    from mml.runners.local_frames import Ends
    from mml.runners.local_serving import serve

    return serve(Ends(reader, writer))


def _search_path(reader: int) -> list[str]:
    """Return where the driver imports from, which is its first message; nothing when the driver is gone."""
    with open(reader, "rb", buffering=0, closefd=False) as file:
        head = file.read(_LENGTH.size)
        left = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
        text = b""
        while len(text) < left and (data := file.read(left - len(text))):
            text += data
    path: list[str] = json.loads(text) if text and len(text) == left else []
    return path


if __name__ == "__main__":
    if (code := main(*map(int, sys.argv[1:]))) < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
