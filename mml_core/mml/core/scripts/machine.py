"""What a process may use of its machine: the cores and the memory that the system, a container or a job grants it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
CORES_VARIABLE = "MML_CORES"  # set by runners: the cores that a step may use, of those of its machine
THREADS_VARIABLE = "OMP_NUM_THREADS"
_OWN = Path("/proc/self/cgroup")
_MEMINFO = Path("/proc/meminfo")
# The second generation of control groups, and the first.
_USED = (("memory.current", "inactive_file"), ("memory.usage_in_bytes", "total_inactive_file"))
_LIMITS = ("memory.max", "memory.limit_in_bytes")
_EVENTS = ("memory.events", "memory.oom_control")


def usable_cores() -> int:
    """Return on how many cores this process may run."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def granted_cores(root: Path = CGROUPS) -> int:
    """Return how many cores this process may use, as a container may grant only part of their time; at least 1."""
    share = quota(root)
    return usable_cores() if share is None else max(1, min(usable_cores(), int(share)))


def step_cores() -> int:
    """Return how many cores a step in this process may use: its share, where others run beside it."""
    share = os.environ.get(CORES_VARIABLE, "")
    return int(share) if share.isdecimal() and int(share) else usable_cores()


def default_threads() -> int:
    """Return with how many threads trainings compute unless they are told: as the user's environment says, or with one.

    Results on a CPU depend on it, so it is not the cores of a machine that decide: steps may run on another, or beside
    one another.
    """
    first = os.environ.get(THREADS_VARIABLE, "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else 1


def quota(root: Path) -> float | None:
    """Return how many processors the control groups of this process grant, None for all."""
    found: list[float] = []
    for folder in groups(root, "cpu"):
        with suppress(OSError, ValueError):
            limit, period = (folder / "cpu.max").read_text().split()
            found += [] if limit == "max" else [int(limit) / int(period)]
        with suppress(OSError, ValueError):
            old = int((folder / "cpu.cfs_quota_us").read_text()), int((folder / "cpu.cfs_period_us").read_text())
            found += [old[0] / old[1]] if old[0] > 0 else []
    return min(found, default=None)


def total_memory() -> int:
    """Return the bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def granted_memory(root: Path = CGROUPS) -> int:
    """Return the bytes of memory that this process and those beside it may use."""
    limit = memory_limit(root)
    return total_memory() if limit is None else min(limit, total_memory())


def memory_limit(root: Path) -> int | None:
    """Return the bytes that the control groups of this process grant, None for all."""
    return min((_limit for folder in groups(root, "memory") for _limit in _limits(folder)), default=None)


def free_memory(root: Path = CGROUPS, meminfo: Path = _MEMINFO) -> int | None:
    """Return the bytes that can still be had: free, or freed when needed; None where the system does not say."""
    found = [left for folder in groups(root, "memory") for left in _left(folder)]
    machine = available_memory(meminfo)
    return min([*found, *([] if machine is None else [machine])], default=None)


def available_memory(meminfo: Path = _MEMINFO) -> int | None:
    """Return the bytes that are available on the machine, whatever a container grants; None where it does not say."""
    with suppress(OSError, ValueError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def memory_kills(root: Path = CGROUPS) -> int:
    """Return how many processes of the control group of this one were killed because memory ran out."""
    return next((kills for folder in groups(root, "memory") if (kills := _kills(folder))), 0)


def groups(root: Path, controller: str, own: Path = _OWN) -> Iterator[Path]:
    """Yield the folders of the control groups of this process, inside out, of both generations."""
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            base = root / controller if controllers else root
            inner = base / path.lstrip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(base))
    yield from (root, root / controller)


def _limits(folder: Path) -> Iterator[int]:
    for name in _LIMITS:
        with suppress(OSError, ValueError):
            yield int((folder / name).read_text())


def _left(folder: Path) -> Iterator[int]:
    """Yield what a group's limit leaves; what the kernel keeps of files that nobody uses counts as free."""
    for limit in _limits(folder):
        for name, cache in _USED:
            with suppress(OSError, ValueError):
                used = int((folder / name).read_text())
                yield max(0, limit - used + _entry(folder / "memory.stat", cache))


def _kills(folder: Path) -> int:
    return next((kills for name in _EVENTS if (kills := _entry(folder / name, "oom_kill"))), 0)


def _entry(path: Path, name: str) -> int:
    """Return a number of a file whose lines are names and numbers, 0 when it is not there."""
    with suppress(OSError, ValueError):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{name} "):
                return int(line.split()[1])
    return 0
