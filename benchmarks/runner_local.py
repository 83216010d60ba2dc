"""`runner=local` beside its peers: no-op steps beside `concurrent.futures`, steps that compute beside `runner=serial`.

1,000 no-op steps with one fsync each on both sides; 8 equal steps that compute; the five folds of a training.
"""

import argparse
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks._steps import run_many
from benchmarks._support import pairs, python, seconds, show, wall

WORKERS = 2
RUNNERS = {
    "serial": {"_target_": "mml.runners.serial.SerialRunner"},
    "local": {"_target_": "mml.runners.local.LocalRunner", "workers": WORKERS},
}
NO_OPS, BEFORE = 1_000, 500  # those that are measured, and those in which the workers start
COMPUTING, ROUNDS = 8, 20_000_000  # steps, and iterations of a hash in each


def run_steps(folder: Path, runner: str, steps: int, rounds: int) -> list[float]:
    """Run a schedule and return when it began and when each step was recorded."""
    return run_many(folder, steps, rounds, RUNNERS[runner])


def nothing(_: int) -> None:
    """Do nothing, in a process of the pool."""


def ours(folder: Path) -> tuple[float, float]:
    """Return seconds per no-op step once workers are there, and of the whole run."""
    times = run_steps(folder, "local", NO_OPS + BEFORE, 0)
    return (times[-1] - times[BEFORE]) / NO_OPS, times[-1] - times[0]


def peer(folder: Path) -> tuple[float, float]:
    """Return the same of `concurrent.futures`, whose results are appended to a file and synced one by one."""
    handle = os.open(folder / "peer", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    times = [time.perf_counter()]
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(nothing, number) for number in range(NO_OPS + BEFORE)]):
            future.result()
            os.write(handle, b"x" * 300)
            os.fsync(handle)
            times.append(time.perf_counter())
    os.close(handle)
    return (times[-1] - times[BEFORE]) / NO_OPS, times[-1] - times[0]


def no_ops(runs: int) -> None:
    """Compare steps that do nothing."""
    whole: list[tuple[float, float]] = []

    def measured(which: Any) -> float:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
            step, total = which(Path(name))
        whole.append((step, total))
        return float(step)

    mine, theirs, ratio = pairs(lambda: measured(ours), lambda: measured(peer), runs)
    totals = [total for _, total in whole]
    detail = f"{mine * 1e6:.0f} / {theirs * 1e6:.0f} us; with the start {totals[-2]:.2f} / {totals[-1]:.2f} s"
    show(f"{NO_OPS:,} no-op steps, local / concurrent.futures, {WORKERS} workers", ratio, "<= 1.5", detail)


def computing(runs: int, rounds: int) -> None:
    """Compare steps that keep one core busy."""

    def measured(runner: str) -> float:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
            return seconds(lambda: run_steps(Path(name), runner, COMPUTING, rounds))

    serial, local, ratio = pairs(lambda: measured("serial"), lambda: measured("local"), runs)
    detail = f"{serial:.1f} / {local:.1f} s"
    show(f"{COMPUTING} equal steps that compute, serial / local with {WORKERS} slots", ratio, ">= 1.9", detail)


def folds(data: Path, overrides: list[str], runs: int, threads: int | None) -> None:
    """Compare the training of five folds, all told: from the command to its end."""
    serial_env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    local_env = dict(serial_env)
    if threads is not None:
        serial_env["OMP_NUM_THREADS"] = local_env["OMP_NUM_THREADS"] = str(threads)

    def measured(runner: str, env: dict[str, str]) -> float:
        with tempfile.TemporaryDirectory() as name:
            where = [f"data_dir={data}", f"out_dir={name}", "logging.progress=false", "mode.cv=true", "arch=tiny"]
            chosen = [f"runner={runner}", *(["runner.workers=2"] if runner == "local" else [])]
            return wall(python("-m", "mml", "train", *where, *chosen, *overrides), Path(name), env)

    serial, local, ratio = pairs(lambda: measured("serial", serial_env), lambda: measured("local", local_env), runs)
    said = "threads as they come" if threads is None else f"OMP_NUM_THREADS={threads}"
    detail = f"{serial:.0f} / {local:.0f} s, {' '.join(overrides)}, {said}"
    show("five folds of arch=tiny, serial / local with 2 slots", ratio, ">= 1.6", detail)


def parts(wanted: str) -> Iterator[str]:
    """Return the parts whose name holds `wanted`."""
    return (part for part in ("no-ops", "computing", "folds") if wanted in part)


def main() -> None:
    """Measure in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="parts with this text in their name")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="iterations of a hash in a step that computes")
    parser.add_argument("--data", type=Path, help="data_dir with the task of the folds; digits are made otherwise")
    parser.add_argument("--threads", type=int, help="OMP_NUM_THREADS of both trainings")
    parser.add_argument("overrides", nargs="*", default=["task=digits", "trainer.max_epochs=100"])
    arguments = parser.parse_args()
    for part in parts(arguments.only):
        if part == "no-ops":
            no_ops(arguments.runs)
        elif part == "computing":
            computing(arguments.runs, arguments.rounds)
        else:
            with tempfile.TemporaryDirectory() as name:
                data = arguments.data or digits(Path(name))
                folds(data, arguments.overrides, arguments.runs, arguments.threads)


def digits(folder: Path) -> Path:
    """Create the task `digits` and return its data_dir."""
    command = python("-m", "mml", "create", "task=digits", f"data_dir={folder}", f"out_dir={folder / 'out'}")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


if __name__ == "__main__":
    main()
