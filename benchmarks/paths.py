"""`construct_saving_path`: the 10,000th call for one key beside the 100th."""

import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks._support import show
from mml.core.data_loading.file_manager import MMLFileManager

CALLS = 10_100
WINDOW = 100


def main() -> None:
    """Measure and print the ratio."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        manager = MMLFileManager(Path(name, "data"), Path(name, "results", "bench"))
        times = []
        for _ in range(CALLS):
            start = time.perf_counter()
            path = manager.construct_saving_path(None, "parameters", "digits")
            times.append(time.perf_counter() - start)
            path.touch()
    early, late = median(times[100 : 100 + WINDOW]), median(times[10_000 : 10_000 + WINDOW])
    detail = f"{late * 1e6:.0f} us / {early * 1e6:.0f} us"
    show("construct_saving_path: 10,000th call / 100th", late / early, "<= 1.2", detail)


if __name__ == "__main__":
    main()
