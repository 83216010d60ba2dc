"""Limits that the system or a container sets: open files, shared memory, processors, memory, size of files."""

import os
import resource
import shutil
from pathlib import Path

from mml.core.scripts.machine import CGROUPS, available_memory, memory_limit, quota, total_memory, usable_cores
from mml.doctor.verdicts import Settings, Verdict, ok, problem, warning
from mml.report.tables import count_text, size_text

WANTED_FILES = 4096
_FEW_FILES, _TOO_FEW_FILES = 1024, 256
_FEW_PROCESSES = 256
_LITTLE_SHARED, _NO_SHARED = 10**9, 32 * 10**6  # bytes
_LITTLE_MEMORY, _NO_MEMORY = 4 * 10**9, 10**9
_SHARED = Path("/dev/shm")  # noqa: S108
_THREADS = "OMP_NUM_THREADS"


def check_open_files(_: Settings) -> Verdict:
    """Check how many files a process may have open; workers that prepare batches share tensors through such."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _FEW_FILES:
        return ok(f"{_count(soft)} at a time")
    what = f"a process may have only {soft:,} files open; workers fail with 'Too many open files'"
    fix = f"ulimit -n {WANTED_FILES}, or with fewer workers: sampling.num_workers=0"
    if hard != resource.RLIM_INFINITY and hard < WANTED_FILES:
        fix = (
            f"raise the hard limit of {hard:,}: a line '* hard nofile {WANTED_FILES}' in /etc/security/limits.conf, or "
            f"start the container with --ulimit nofile={WANTED_FILES}; sampling.num_workers=0 needs fewer"
        )
    return (problem if soft < _TOO_FEW_FILES else warning)(what, fix)


def check_processes(_: Settings) -> Verdict:
    """Check how many processes and threads may be started."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft == resource.RLIM_INFINITY or soft >= _FEW_PROCESSES:
        return ok(_count(soft))
    return warning(f"only {soft:,} processes and threads may be started", "ulimit -u 4096, or fewer: sys.num_workers=0")


def check_file_size(_: Settings) -> Verdict:
    """Check how large a file may become."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft == resource.RLIM_INFINITY:
        return ok("as large as the disk allows")
    judge = problem if soft < 10**9 else warning
    return judge(f"no file may be larger than {size_text(soft)}, checkpoints and caches too", "ulimit -f unlimited")


def check_shared_memory(_: Settings) -> Verdict:
    """Check the memory through which workers hand over batches."""
    return shared_memory_verdict(_SHARED)


def shared_memory_verdict(folder: Path) -> Verdict:
    """Return the verdict on a folder that stands for shared memory."""
    fix = (
        "start the container with --shm-size=8g or --ipc=host, or enlarge it: mount -o remount,size=8g /dev/shm; "
        "without workers none is needed: sampling.num_workers=0"
    )
    if not folder.is_dir():
        if os.uname().sysname != "Linux":
            return ok("not limited on this system")
        return problem(f"there is no {folder}: workers can't hand over batches", fix)
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return problem(f"{folder} can't be looked at: {error.strerror}", fix)
    shown = f"{size_text(usage.free)} of {size_text(usage.total)} free in {folder}"
    if usage.free < _NO_SHARED:
        return problem(f"only {shown}: workers are killed with a bus error", fix)
    if usage.free < _LITTLE_SHARED:
        return warning(f"only {shown}: workers with large images may be killed with a bus error", fix)
    return ok(shown)


def check_processors(_: Settings) -> Verdict:
    """Check the number of threads and workers against the processors that may be used."""
    return processors_verdict(usable_cores(), quota(CGROUPS), os.environ.get(_THREADS))


def processors_verdict(cores: int, share: float | None, threads: str | None) -> Verdict:
    """Return the verdict on processors.

    Args:
        cores: how many this process may run on.
        share: how many of them a container grants, None for all.
        threads: value of OMP_NUM_THREADS, None when it is not set.
    """
    granted = cores if share is None else max(1, min(cores, int(share)))
    there = count_text(cores, "core") + (f", of which the container grants {share:g}" if share is not None else "")
    set_it = f"export {_THREADS}={granted}"
    if threads and not all(part.strip().isdigit() and int(part) for part in threads.split(",")):
        return warning(f"{_THREADS}={threads} is no number of threads", set_it)
    wanted = int(threads.split(",")[0]) if threads else cores
    if wanted > granted:
        said = f"{_THREADS}={threads}" if threads else f"{_THREADS} is not set"
        what = f"{there}; {said}, so {wanted} threads get in each other's way"
        return warning(what, f"{set_it}, and sys.num_workers={granted}")
    return ok(there + (f"; {_THREADS}={threads}" if threads else ""))


def check_memory(_: Settings) -> Verdict:
    """Check the memory that may be used."""
    return memory_verdict(total_memory(), memory_limit(CGROUPS), available_memory())


def memory_verdict(total: int, limit: int | None, available: int | None) -> Verdict:
    """Return the verdict on memory.

    Args:
        total: bytes of the machine.
        limit: bytes that a container grants, None for all.
        available: bytes that are free or can be freed, None when unknown.
    """
    limited = limit is not None and limit < total
    usable = limit if limit is not None and limited else total
    shown = f"{size_text(usable)}" + (f" granted of {size_text(total)}" if limited else "")
    shown += f", {size_text(min(available, usable))} available" if available is not None else ""
    left = usable if available is None else min(available, usable)
    fix = (
        "end other programs, smaller batches (sampling.batch_size=16), no workers (sampling.num_workers=0), no decoded "
        "images in memory (sampling.cache=never)"
    )
    fix += "; or a container with more: --memory=16g, in Slurm --mem=16G" if limited else ""
    if left < _NO_MEMORY:
        return problem(f"only {shown}: processes get killed", fix)
    return warning(f"only {shown}", fix) if left < _LITTLE_MEMORY else ok(shown)


def _count(number: int) -> str:
    return "any number" if number == resource.RLIM_INFINITY else f"{number:,}"
