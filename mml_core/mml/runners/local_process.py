"""A worker process as the driver sees it: started in a fresh interpreter, spoken to, ended with all that it started."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from mml.core.scripts.exceptions import RunnerError
from mml.runners import local_worker
from mml.runners.base import Work
from mml.runners.held_ends import hold, let_go
from mml.runners.local_frames import Channel, both_ends
from mml.runners.local_slots import Binding, Share

_HOST = socket.gethostname()
_EARLY_BYTES = 1 << 14


class WorkerProcess:
    """One worker process; constructing it starts it, and does not wait until it is there.

    Args:
        binding: what it is bound to for its life.

    Attributes:
        name: host and process id.
        channel: to send to and receive from it.
        ended: file descriptor that becomes ready when the process ends; None where the system has no such.
        work: the attempt that it does.
        share: what it has for that.
        ready: whether it said that it can do work.
        interrupted: whether it was asked to stop; it takes no more work then.
        deadline: when it is killed, if it was told to leave.

    Raises:
        OSError: the system starts no more processes.
    """

    def __init__(self, binding: Binding) -> None:
        self.binding = binding
        self.work: Work | None = None
        self.share: Share | None = None
        self.ready = False
        self.interrupted = False
        self.deadline: float | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 # closed when the process is buried
        own, theirs = both_ends()
        follows, self._lifeline = os.pipe()
        try:
            self._process = self._started(*theirs, follows)
        except BaseException:
            own.close()
            os.close(self._lifeline)
            self._said.close()
            raise
        finally:
            theirs.close()
            os.close(follows)
        hold(self._lifeline)
        self.name = f"{_HOST}-{self._process.pid}"
        self.channel = Channel(own)
        self.ended = _end_of(self._process.pid)
        self.channel.send(json.dumps([str(Path(folder).absolute()) for folder in sys.path]).encode())

    def _started(self, *handles: int) -> "subprocess.Popen[bytes]":
        if not sys.executable:
            msg = "This Python does not know its own program (sys.executable), so it can't start worker processes."
            raise RunnerError(msg)
        # Not the folder of the script, which has modules of engines' names; the user's flags otherwise.
        flags = [*subprocess._args_from_interpreter_flags(), "-P"]  # type: ignore[attr-defined]
        return subprocess.Popen(
            [sys.executable, *flags, str(Path(local_worker.__file__)), *map(str, handles), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.binding.environment()},
            pass_fds=handles,
            start_new_session=True,  # Ctrl-C in the terminal is the driver's, and all that it starts can be ended
        )

    @property
    def pid(self) -> int:
        """Process id, which is that of its process group, too."""
        return self._process.pid

    def interrupt(self) -> None:
        """Ask it to stop at the next checkpoint."""
        self.interrupted = True
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def leave(self, seconds: float) -> None:
        """Let it end as it likes, in this time."""
        self.channel.end_sending()
        self.deadline = time.monotonic() + seconds

    def kill(self) -> None:
        """End it, with all processes that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def is_over(self) -> bool:
        """Tell whether it ended; it keeps its process id until `bury`."""
        if self._process.returncode is not None:
            return True
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with suppress(ChildProcessError):  # somebody else waited for it
            return os.waitid(os.P_PID, self.pid, options) is not None
        return True

    def bury(self) -> tuple[int, list[str]]:
        """End what it left running, and let go of it.

        Returns:
            Its exit code, minus the signal that ended it; and what it printed where it has no log.
        """
        self.kill()
        code = self._process.wait()
        self.channel.close()
        let_go(self._lifeline)
        if self.ended is not None:
            os.close(self.ended)
        with self._said as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _EARLY_BYTES))
            said = file.read().decode(errors="backslashreplace")
        return code, [line for line in said.splitlines() if line.strip()]


def _end_of(pid: int) -> int | None:
    """Return a file descriptor that becomes ready when a process ends, None where there is no such thing."""
    if hasattr(os, "pidfd_open"):
        with suppress(OSError):
            return os.pidfd_open(pid)
    return None
