"""What the benchmarks share: timing by medians, and one way to print a ratio beside its limit."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def median_of(measure: Callable[[], float], runs: int = 5) -> float:
    """Return the median of a figure that is measured several times."""
    return statistics.median(measure() for _ in range(runs))


def pairs(ours: Callable[[], float], peer: Callable[[], float], runs: int = 5) -> tuple[float, float, float]:
    """Measure two figures in turn, so that the machine's mood hits both; return both medians and that of the ratios."""
    measured = [(ours(), peer()) for _ in range(runs)]
    ratio = statistics.median(a / b for a, b in measured)
    return statistics.median(a for a, _ in measured), statistics.median(b for _, b in measured), ratio


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def wall(command: Sequence[str], cwd: Path, env: dict[str, str] | None = None) -> float:
    """Return the wall time of a whole process, in seconds."""
    return seconds(lambda: subprocess.run(command, cwd=cwd, env=env, check=True, stdout=subprocess.DEVNULL))


def python(*args: str) -> list[str]:
    """Return a command of this interpreter."""
    return [sys.executable, *args]


def show(figure: str, value: float, limit: str, detail: str) -> None:
    """Print one figure, its limit, and what it is made of."""
    print(f"| {figure} | {value:.2f} | {limit} | {detail} |")
