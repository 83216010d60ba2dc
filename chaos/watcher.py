"""Counts, from outside of the product, what a process does to files, and sends it a signal at a chosen event.

An audit hook sees opens, renames, removes and the like before they happen; a few functions of `os` that no hook sees
(writes, fsyncs) are wrapped. Nothing of mml or of other libraries is imported here: it has to be there before them.
"""

import builtins
import errno
import io
import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

VARIABLE = "MML_CHAOS_PLAN"

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit event -> places of its paths and, behind each, of the descriptor of the folder that this is relative to.
_AUDITED: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.link": ((0, 2), (1, 3)),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.utime": ((0, 3),),
}
# Functions whose first argument is a descriptor that they write to.
_WRITERS = ("write", "writev", "pwrite", "sendfile")
_SYNCS = ("fsync", "fdatasync")
# What a full disk still does.
_TAKE_NO_SPACE = ("opened", "remove", "rmdir", "rename", "chmod", "chown", "utime", "truncate", "fsync", "fdatasync")


class Plan(NamedTuple):
    """What to watch and what to do.

    Attributes:
        folders: only what happens below these counts.
        kill_at: number of the event, from 1, before which the signal is sent; None for never.
        signum: the signal.
        note: file that gets a line per event, `""` for none.
        record: folder for a recording of all that was written and made durable, `""` for none.
        error: number of the error that the system gives from event `kill_at` on, in place of the signal; 0 for none.
    """

    folders: list[str]
    kill_at: int | None = None
    signum: int = signal.SIGKILL
    note: str = ""
    record: str = ""
    error: int = 0


class Observer(Protocol):
    """Is told of every event: before it happens, and of a sync after it happened."""

    def before(self, event: str, paths: list[str]) -> None:
        """See an event that is about to happen."""

    def synced(self, path: str) -> None:
        """See that a file or folder was made durable; an empty path stands for everything."""


class _Watch:
    """The plan that this process is under."""

    def __init__(self, plan: Plan, observer: Observer | None) -> None:
        self.plan = plan
        self.pid = os.getpid()
        self.folders = tuple(plan.folders)
        self.numbers = itertools.count(1)
        self.observer = observer
        self.busy = threading.local()
        self.lock = threading.RLock()
        self.note = os.open(plan.note, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if plan.note else -1

    def tell(self, event: str, paths: list[str]) -> None:
        """Count an event below the folders."""
        with self.lock:
            number = next(self.numbers)
            if self.note >= 0:
                _real["write"](self.note, f"{event} {' '.join(paths)}\n".encode(errors="backslashreplace"))
            if self.observer is not None:
                self.observer.before(event, paths)
            if self.plan.error and number >= (self.plan.kill_at or 1):
                _refuse(self.plan.error, event, paths)
            elif number == self.plan.kill_at:
                os.kill(self.pid, self.plan.signum)

    def inside(self, path: str) -> bool:
        """Tell whether a path is watched."""
        return path.startswith(self.folders)


def _refuse(error: int, event: str, paths: list[str]) -> None:
    """Raise what the system raises when a disk is full (only what takes space fails), read-only or broken.

    Raises:
        OSError: the event is not possible any more.
    """
    spared = _TAKE_NO_SPACE if error == errno.ENOSPC else ("opened",)  # which has happened already
    if event not in spared:
        raise OSError(error, os.strerror(error), paths[0])


_watch: _Watch | None = None
_real: dict[str, Callable[..., Any]] = {}


def install() -> None:
    """Put the hook and the wrappers in place; before `arm` they do nothing."""
    if _real:
        return
    _real.update({name: getattr(os, name) for name in (*_WRITERS, *_SYNCS, "open", "sync") if hasattr(os, name)})
    _real["io.open"] = io.open
    for name in _WRITERS:
        _wrap(name, _told_before)
    for name in _SYNCS:
        _wrap(name, _told_around)
    os.sync = _sync
    os.open = _opened(os.open)
    io.open = builtins.open = _opened(io.open)
    sys.addaudithook(_hook)


def arm(plan: Plan) -> None:
    """Watch this process, and none that it forks, from now on."""
    global _watch
    observer: Observer | None = None
    if plan.record:
        from chaos.recorder import Recorder

        observer = Recorder(plan.folders, plan.record)
    _watch = _Watch(plan, observer)


def arm_from_environment() -> None:
    """Watch this process as the environment says; what it starts is not watched."""
    if text := os.environ.pop(VARIABLE, ""):
        install()
        arm(Plan(**json.loads(text)))


def _hook(event: str, args: tuple[Any, ...]) -> None:
    places = _AUDITED.get(event)
    if places is None and event != "open":
        return
    watch = _active()
    if watch is None or (event == "open" and not args[2] & _WRITING):
        return
    watch.busy.now = True
    try:
        paths = [_path(args, *place) for place in places or ((0, None),)]
        if any(map(watch.inside, paths)):
            watch.tell(event.removeprefix("os."), paths)
    finally:
        watch.busy.now = False


def _active() -> _Watch | None:
    """Return the watch of this process, unless it is at work itself in this thread."""
    watch = _watch
    if watch is None or watch.pid != os.getpid() or getattr(watch.busy, "now", False):
        return None
    return watch


def _path(args: tuple[Any, ...], place: int, folder: int | None = None) -> str:
    """Return the absolute path that an argument names: by text, by bytes or as a descriptor."""
    name = args[place]
    if isinstance(name, int):
        return _of_descriptor(name)
    path = os.fsdecode(name)
    base = args[folder] if folder is not None and len(args) > folder else -1
    if isinstance(base, int) and base >= 0 and not os.path.isabs(path):  # noqa: PTH117 # no Path this early
        return f"{_of_descriptor(base)}/{path}"
    return os.path.abspath(path)  # noqa: PTH100


def _of_descriptor(number: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
    except OSError:
        return ""


def _wrap(name: str, around: Callable[[str, Callable[..., Any]], Callable[..., Any]]) -> None:
    if hasattr(os, name):
        setattr(os, name, around(name, _real[name]))


def _told_before(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def writing(descriptor: int, *args: Any, **kwargs: Any) -> Any:
        _tell_descriptor(name, descriptor)
        return real(descriptor, *args, **kwargs)

    return writing


def _told_around(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def syncing(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        path = _tell_descriptor(name, number)
        real(descriptor)
        if path:
            _tell_synced(path)

    return syncing


def _opened(real: Callable[..., Any]) -> Callable[..., Any]:
    """Return an `open` that tells when a file to be written is there, but still empty."""

    def opening(path: Any, *args: Any, **kwargs: Any) -> Any:
        handle = real(path, *args, **kwargs)
        mode = kwargs.get("mode", kwargs.get("flags", args[0] if args else "r"))
        writes = bool(mode & _WRITING) if isinstance(mode, int) else not set("wxa+").isdisjoint(mode)
        if writes and not isinstance(path, int):
            _tell_descriptor("opened", handle if isinstance(handle, int) else handle.fileno())
        return handle

    return opening


def _sync() -> None:
    _real["sync"]()
    _tell_synced("")


def _tell_descriptor(event: str, descriptor: int) -> str:
    """Tell of an event on a descriptor; return its path if it is watched, else an empty text."""
    watch = _active()
    if watch is None:
        return ""
    watch.busy.now = True
    try:
        path = _of_descriptor(descriptor)
        if not watch.inside(path):
            return ""
        watch.tell(event, [path])
        return path
    finally:
        watch.busy.now = False


def _tell_synced(path: str) -> None:
    watch = _active()
    if watch is None or watch.observer is None:
        return
    watch.busy.now = True
    try:
        with watch.lock:
            watch.observer.synced(path)
    finally:
        watch.busy.now = False
