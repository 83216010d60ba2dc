"""What a worker process runs: `python local_worker.py <socket> <lifeline> <driver>`, in a fresh interpreter.

It knows nothing of mml until the driver said where that is, so its own imports are Python's alone.
"""

import faulthandler
import json
import os
import signal
import socket
import struct
import sys

_LENGTH = struct.Struct("!Q")


def main(channel_number: int, lifeline: int, driver: int) -> int:
    """Be a worker until the driver sends no more work.

    Returns:
        The exit code; minus a signal that this process is to end by.
    """
    faulthandler.enable()
    for handle in (channel_number, lifeline):
        os.set_inheritable(handle, False)
    with socket.socket(fileno=channel_number) as channel:
        if not (path := _search_path(channel)):
            return 1
        sys.path[:] = path
        from mml.runners.local_lifeline import follow

        follow(driver, lifeline)
        from mml.runners.local_serving import serve

        return serve(channel)


def _search_path(channel: socket.socket) -> list[str]:
    """Return where the driver imports from, which is its first message; nothing when the driver is gone."""
    head = channel.recv(_LENGTH.size, socket.MSG_WAITALL)
    if len(head) < _LENGTH.size:
        return []
    text = channel.recv(_LENGTH.unpack(head)[0], socket.MSG_WAITALL)
    path: list[str] = json.loads(text)
    return path


if __name__ == "__main__":
    if (code := main(*map(int, sys.argv[1:]))) < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
