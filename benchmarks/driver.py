"""How the driver behaves with 1,000 workers and up to 100,000 steps: steps per second, memory, journal, makespan.

The workers are simulated: attempts take virtual time, some are slow, fail or lose their worker. The driver is the real
one, with its journal and an fsync per step. Each case runs in a process of its own, as memory is measured.

    python -m benchmarks.driver              all cases
    python -m benchmarks.driver profile      where the time goes, at 20,000 steps
"""

import cProfile
import json
import os
import pstats
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

from benchmarks._steps import PROJECT, config
from benchmarks._support import python, show
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.run_files import JOURNAL_FILE, RUNS_FOLDER
from mml.runners.base import Report, Work
from mml.runners.simulated import SimulatedRunner

FEW, MANY = 1_000, 100_000
WORKERS = 1_000
CHANCES = {"_target_": "mml.runners.simulated.Chances", "failures": 0.005, "losses": 0.005}


class Folds(AbstractBaseScheduler):
    """Trains and tests folds, which need nothing of one another; a last step needs all of them."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg, ["work"])

    def create_routine(self) -> None:
        """Plan `mode.n` steps."""
        tests = []
        for fold in range((self.cfg.mode.n - 1) // 2):
            trained = self.add_step(self.train_fold, "digits", fold, after=())
            tests.append(self.add_step(self.test_fold, "digits", fold, after=(trained,)))
        self.add_step(self.sum_up, after=tests)

    def train_fold(self, task: str, fold: int) -> None:
        """Do nothing; nobody calls it."""

    def test_fold(self, task: str, fold: int) -> None:
        """Do nothing; nobody calls it."""

    def sum_up(self) -> None:
        """Do nothing; nobody calls it."""


class Watched(SimulatedRunner):
    """A simulated runner that can be asked afterwards, and that kills the driver when told to.

    Args:
        kill_at: number of reports after which the driver is killed; 0 for never.
        options: of the simulated runner.
    """

    last: ClassVar["Watched | None"] = None

    def __init__(self, kill_at: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.kill_at = kill_at
        self.first_submit = 0.0
        Watched.last = self

    def submit(self, work: Work) -> None:
        """Begin an attempt."""
        self.first_submit = self.first_submit or time.perf_counter()
        super().submit(work)

    def wait(self, seconds: float | None) -> list[Report]:
        """Return the next reports, or die."""
        if 0 < self.kill_at <= self.reported:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().wait(seconds)


def run_config(root: Path, steps: int, **more: Any) -> Any:
    """Return the config of a run below `root`, with options of the runner."""
    run = more.pop("run", None)
    runner = {"_target_": "benchmarks.driver.Watched", "workers": WORKERS, "chances": CHANCES, **more}
    patient = {"retries": 3, "retry_pause": 0, "retries_lost": 10}
    quiet = {"progress": False, "level": "CRITICAL"}
    return config(root, Folds, {"n": steps}, runner=runner, logging=quiet, **patient, **{"continue": run})


def peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def case(root: Path, steps: int, **more: Any) -> dict[str, float]:
    """Run once, in this process, and return the figures."""
    warm_up(root)
    before, start, work = peak(), time.perf_counter(), time.process_time()
    Folds(run_config(root, steps, **more)).run()
    seconds, work = time.perf_counter() - start, time.process_time() - work
    runner = Watched.last
    assert runner is not None
    (run,) = (root / "results" / PROJECT / RUNS_FOLDER).iterdir()
    return {
        "seconds": seconds,
        "processor": work,
        "to first": runner.first_submit - start,
        "memory": peak() - before,
        "journal": (run / JOURNAL_FILE).stat().st_size,
        "makespan": runner.now,
        "ideal": runner.busy / WORKERS,
        "attempts": runner.reported,
    }


def warm_up(root: Path) -> None:
    """Run a few steps, so that what is loaded at the first run of a process is there."""
    Folds(run_config(root / "warm", 11)).run()
    shutil.rmtree(root / "warm")


def child(root: Path, steps: int, **more: Any) -> dict[str, float] | None:
    """Run a case in a process of its own; None when it was killed."""
    words = json.dumps({"root": str(root), "steps": steps, **more})
    done = subprocess.run(python("-m", "benchmarks.driver", words), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == -signal.SIGKILL:
        return None
    done.check_returncode()
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measured(folder: Path, steps: int, runs: int = 1) -> dict[str, float]:
    """Return the medians of some runs."""
    all_figures = []
    for number in range(runs):
        root = folder / f"{steps}-{number}"
        figures = child(root, steps)
        assert figures is not None
        all_figures.append(figures)
        shutil.rmtree(root)
    return {name: statistics.median(figures[name] for figures in all_figures) for name in all_figures[0]}


def around(folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Measure few steps before and after many, as the machine has its moods; return the figures of both."""
    before = measured(folder, FEW, 5)
    many = measured(folder, MANY)
    after = measured(folder, FEW, 5)
    return {name: (before[name] + after[name]) / 2 for name in before}, many


def continued(folder: Path, steps: int) -> tuple[dict[str, float], float]:
    """Kill the driver after half of the steps and continue; return figures and the seconds of the first half."""
    root = folder / "continued"
    start = time.perf_counter()
    assert child(root, steps, kill_at=steps // 2) is None
    half = time.perf_counter() - start
    (run,) = (root / "results" / PROJECT / RUNS_FOLDER).iterdir()
    figures = child(root, steps, run=run.name)
    assert figures is not None
    shutil.rmtree(root)
    return figures, half


def show_rates(where: str, few: dict[str, float], many: dict[str, float]) -> None:
    """Print the figures of steps per second."""
    for name, what in (("seconds", "second"), ("processor", "second of processor time")):
        rates = [MANY / many[name], FEW / few[name]]
        figure = f"steps per {what}, {where}, 100,000 / 1,000 steps"
        show(figure, rates[0] / rates[1], ">= 0.9", f"{rates[0]:,.0f} / {rates[1]:,.0f}")


def report(disk: Path, memory: Path) -> None:
    """Measure and print; `memory` is a folder on a file system whose fsync takes no time."""
    few, many = around(memory)
    show_rates("journal in memory", few, many)
    middle = measured(memory, MANY // 2)
    slope = (many["memory"] - middle["memory"]) / (MANY - MANY // 2)
    for figure, value, limit, detail in (
        ("memory, kB per step", many["memory"] / MANY / 1e3, "", f"{many['memory'] / 1e6:.0f} MB above the start"),
        ("memory, kB per step beyond 50,000", slope / 1e3, "linear", f"{middle['memory'] / 1e6:.0f} MB at 50,000"),
        ("journal, bytes per step", many["journal"] / MANY, "linear", f"{few['journal'] / FEW:.0f} with 1,000 steps"),
    ):
        show(figure, value, limit, detail)
    for steps, figures in ((FEW, few), (MANY, many)):
        detail = f"{figures['makespan']:,.0f} s / {figures['ideal']:,.0f} s, {figures['attempts']:,.0f} attempts"
        show(
            f"virtual makespan / work over workers, {steps:,} steps", figures["makespan"] / figures["ideal"], "", detail
        )
    again, half = continued(memory, MANY)
    detail = (
        f"{half:.0f} s + {again['seconds']:.0f} s, first attempt of the second part after {again['to first']:.1f} s"
    )
    ratio = (half + again["seconds"]) / many["seconds"]
    show("100,000 steps, killed after half and continued / in one run", ratio, "", detail)
    show_rates("journal on disk", *around(disk))


def profile(folder: Path, steps: int = 20_000) -> None:
    """Print where the time goes."""
    warm_up(folder)
    profiler = cProfile.Profile()
    profiler.runcall(Folds(run_config(folder, steps)).run)
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)


def main() -> None:
    """Do what the arguments say."""
    if sys.argv[1:] and sys.argv[1] != "profile":
        asked = json.loads(sys.argv[1])
        print(json.dumps(case(Path(asked.pop("root")), **asked)))
        return
    memory = Path("/dev/shm")
    places = [Path.cwd(), memory if memory.is_dir() else Path.cwd()]
    folders = [Path(tempfile.mkdtemp(dir=place)) for place in places]
    try:
        profile(folders[0]) if sys.argv[1:] else report(*folders)
    finally:
        for folder in folders:
            shutil.rmtree(folder)


if __name__ == "__main__":
    from benchmarks import driver  # as the config names it: this module is another one

    driver.main()
