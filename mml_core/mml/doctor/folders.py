"""Do the folders of data and results keep what mml relies on: locks, renames, exclusive names, durable bytes?

Everything is tried for real in a folder made for it, which is removed again.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from mml.doctor.verdicts import Settings, Verdict, ok, problem, warning
from mml.report.tables import seconds_text, size_text

PROBE_PREFIX = ".mml-doctor-"
_LITTLE, _NEXT_TO_NONE = 5 * 10**9, 2 * 10**8  # bytes
_FEW_FILES = 10_000
_SLOW_FSYNC = 0.05  # seconds; each step of a run waits for about one
_CHILD_SECONDS = 20
# Tries to get the lock of a file that its parent holds: 0 when it got it, 11 when it is refused, as it should be.
_TRY_LOCK = """
import fcntl, sys
with open(sys.argv[1], "r+") as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(11)
"""
_REFUSED = 11
_IN_MEMORY = ("tmpfs", "ramfs")

Trial = Callable[[Path], str]


def check_folder(which: str, settings: Settings) -> Verdict:
    """Check the folder of the data or of the results.

    Args:
        which: `"data"` or `"results"`.
        settings: where it is.
    """
    path = settings.data if which == "data" else settings.results
    how = _how_to_move(which)
    if path is None:
        return problem("the settings name no folder", f"mend the settings first, or {how}")
    there, fault = _existing(path)
    if fault:
        return problem(fault, f"move that file away, or {how}")
    try:
        faults = _tried(there)
    except OSError as error:
        what = f"{there} can't be written: {error.strerror or error}"
        return problem(what, f"chown or chmod it ({_rights(there)}), mount it writable, or {how}")
    if faults:
        return problem(f"{path}: {'; '.join(faults)}", f"use a folder on a local disk: {how}")
    return ok(f"{path}{'' if there == path else ' (made when it is needed)'}: writable, with locks and atomic renames")


def check_space(which: str, settings: Settings) -> Verdict:
    """Check the free space and the free file entries of a folder's disk, and whether that is a disk at all."""
    path = settings.data if which == "data" else settings.results
    if path is None or _existing(path)[1]:
        return warning("not checked, because there is no folder", "mend the folder first")
    there = _existing(path)[0]
    free, kind = shutil.disk_usage(there).free, filesystem(there)
    state = os.statvfs(there)
    shown = f"{size_text(free)} free on {kind}"
    fix = f"remove what is not needed (mml clean shows it), or {_how_to_move(which)}"
    if free < _NEXT_TO_NONE:
        return problem(shown, fix)
    if state.f_files and state.f_favail < _FEW_FILES:
        return warning(f"{shown}, but room for only {state.f_favail:,} more files", fix)
    if free < _LITTLE:
        return warning(shown, fix)
    if kind in _IN_MEMORY:
        return warning(f"{shown}: it lies in memory and is lost when the machine stops", _how_to_move(which))
    return ok(shown)


def check_fsync(settings: Settings) -> Verdict:
    """Check how long a step waits until its record can't be lost any more."""
    path = settings.results
    if path is None or _existing(path)[1]:
        return warning("not checked, because there is no folder", "mend the folder first")
    with _probe_folder(_existing(path)[0]) as folder, (Path(folder) / "log").open("ab", buffering=0) as file:
        times = []
        for _ in range(5):
            file.write(b"x" * 200)
            start = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    typical = sorted(times)[2]
    return fsync_verdict(typical)


def fsync_verdict(seconds: float) -> Verdict:
    """Return the verdict on the time of one fsync."""
    if seconds < _SLOW_FSYNC:
        return ok(f"a step is durable after {seconds * 1000:.2g} ms")
    return warning(
        f"every step waits {seconds_text(seconds)} for the disk",
        f"put results on a local disk ({_how_to_move('results')}), or plan fewer, longer steps",
    )


def check_links(settings: Settings) -> Verdict:
    """Check whether images can be linked into the data folder instead of copied."""
    path = settings.data
    if path is None or _existing(path)[1]:
        return warning("not checked, because there is no folder", "mend the folder first")
    with _probe_folder(_existing(path)[0]) as folder:
        first = Path(folder) / "first"
        first.touch()
        try:
            (Path(folder) / "second").hardlink_to(first)
        except OSError as error:
            fix = f"nothing, if there is space enough; else mode.copy=reference, or {_how_to_move('data')}"
            return warning(f"no hard links ({error.strerror}): mode.copy=hardlink copies images instead", fix)
    return ok("hard links work: mode.copy=hardlink needs no space")


def filesystem(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the type of the file system of a path, e.g. `"ext4"`, `"unknown disk"` where the system does not say."""
    found, best = "unknown disk", -1
    with suppress(OSError):
        for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split()
            if len(fields) > 2 and path.resolve().is_relative_to(_unescaped(fields[1])) and len(fields[1]) >= best:
                found, best = fields[2], len(fields[1])
    return found


def _unescaped(text: str) -> str:
    """Return the path of a line in the list of mounts, where blanks are written as octal numbers."""
    return text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def _existing(path: Path) -> tuple[Path, str]:
    """Return the nearest folder that is there, and what stands in the way of the path below it."""
    for place in (path, *path.parents):
        if place.is_dir():
            return place, ""
        if os.path.lexists(place):
            what = "a link to nothing" if place.is_symlink() else "a file"
            return place.parent, f"{place} is {what}, where a folder has to be"
    return path, f"{path} is nowhere"  # no system has no root


def _tried(folder: Path) -> list[str]:
    """Return what does not work in a folder.

    Raises:
        OSError: nothing can be written there.
    """
    trials: list[Trial] = [_try_rename, _try_exclusive, _try_locks, _try_case]
    with _probe_folder(folder) as name:
        return [fault for trial in trials if (fault := _fault(partial(trial, Path(name))))]


def _fault(trial: Callable[[], str]) -> str:
    try:
        return trial()
    except OSError as error:
        return f"{error.strerror or error}"


def _probe_folder(folder: Path) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix=PROBE_PREFIX, dir=folder)


def _try_rename(folder: Path) -> str:
    old, new = folder / "old", folder / "new"
    old.write_bytes(b"old")
    with new.open("wb") as file:
        file.write(b"new")
        os.fsync(file.fileno())
    new.replace(old)
    good = old.read_bytes() == b"new" and not new.exists()
    return "" if good else "a rename does not replace the file of that name"


def _try_exclusive(folder: Path) -> str:
    (folder / "one").open("xb").close()
    with suppress(FileExistsError):
        (folder / "one").open("xb").close()
        return "two processes can create the same file, so files could be numbered alike"
    return ""


def _try_locks(folder: Path) -> str:
    """Hold a lock and let another process ask for it."""
    import fcntl

    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return f"it has no locks ({error.strerror}), so nothing would keep two processes off one run"
        command = [sys.executable, "-c", _TRY_LOCK, str(folder / "lock")]
        done = subprocess.run(command, capture_output=True, check=False, timeout=_CHILD_SECONDS)
    return "" if done.returncode == _REFUSED else "its locks keep nobody out, so two processes could work on one run"


def _try_case(folder: Path) -> str:
    (folder / "Case").touch()
    if not (folder / "case").exists():
        return ""
    return "it does not tell upper and lower case apart, so tasks and projects with such names would be mixed up"


def _rights(path: Path) -> str:
    state = path.stat()
    return f"it belongs to user {state.st_uid}, mode {state.st_mode & 0o7777:o}; you are user {os.getuid()}"


def _how_to_move(which: str) -> str:
    variable, key = ("MML_DATA_PATH", "data_dir") if which == "data" else ("MML_RESULTS_PATH", "out_dir")
    return f"choose another one: export {variable}=<folder>, or {key}=<folder> in a command"
