"""A thousand no-op steps by `runner=ray`, beside a thousand bare Ray tasks with one fsync each.

On a Ray that is started for them, as `runner=ray` does by default, and on one that runs, where attempts are fenced.
"""

import io
import os
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from benchmarks._steps import run_many
from benchmarks._support import pairs, show
from mml.core.scripts.utils import Singleton

STEPS, BEFORE = 1_000, 1_000  # those that are measured, and those in which the workers start
RUNS = 5


def ours(folder: Path, address: str | None) -> float:
    """Return the seconds of the steps, once workers run."""
    where: dict[str, Any] = {"num_cpus": 2} if address is None else {"address": address}
    with redirect_stdout(io.StringIO()):
        times = run_many(folder, BEFORE + STEPS, 0, {"_target_": "mml.runners.ray.RayRunner", **where})
    for kind in list(Singleton._instances):
        kind.clear_instance()
    assert len(times) == 1 + BEFORE + STEPS
    return times[-1] - times[BEFORE]


def bare(folder: Path, ray: Any, address: str | None) -> float:
    """Return the seconds of as many tasks of Ray, each recorded with a line and fsync, once workers run."""
    own: dict[str, Any] = {"address": "local", "num_cpus": 2, "include_dashboard": False}
    ray.init(**(own if address is None else {"address": address}), log_to_driver=False)
    task = ray.remote(max_retries=0)(_nothing)
    ray.get([task.remote(number) for number in range(BEFORE)])
    handle = os.open(folder / "floor", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    start = time.perf_counter()
    waiting = [task.remote(number) for number in range(STEPS)]
    while waiting:
        ready, waiting = ray.wait(waiting, num_returns=1)
        for _ in ray.get(ready):
            os.write(handle, b"x" * 300)
            os.fsync(handle)
    taken = time.perf_counter() - start
    os.close(handle)
    ray.shutdown()
    return taken


def _nothing(number: int) -> int:
    return number


def compare(what: str, ray: Any, address: str | None) -> None:
    """Measure in turn on one Ray, and print the ratio."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        mine, peer, ratio = pairs(lambda: ours(folder, address), lambda: bare(folder, ray, address), runs=RUNS)
    show(f"1,000 no-op steps, {what}: runner=ray / bare tasks", ratio, "<= 1.5", f"{mine:.2f} s / {peer:.2f} s")


def main() -> None:
    """Measure on a Ray that is started for it, and on one that runs."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    compare("a Ray of their own", ray, None)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        compare("a Ray that runs", ray, cluster.address)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
