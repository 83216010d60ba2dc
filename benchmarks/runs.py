"""`mml runs` over 10,000 runs beside a bare script that reads a small file of each; and what live state costs a run."""

import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks._support import median_of, pairs, python, seconds, show
from mml.core.scripts.journal import (
    Done,
    Finished,
    Finishing,
    Opened,
    PathAnnounced,
    Planned,
    Started,
    Stopped,
    encode_line,
)
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.run_index import INDEX_FILE
from mml.core.scripts.schedule import StepRecord

PROJECTS, RUNS = 5, 2_000
CALLS = 100_000

# What anybody would write: the folders, and one file in each.
BARE = """
import os, sys

read = 0
for project in os.scandir(sys.argv[1]):
    if project.is_dir():
        for run in os.scandir(os.path.join(project.path, "runs")):
            with open(os.path.join(run.path, "journal.jsonl"), "rb") as file:
                read += len(file.read())
print(read)
"""


def journal(number: int, at: float) -> bytes:
    """Return the journal of a training of three steps; every fiftieth was interrupted in the last one."""
    steps = [StepRecord(command, ["digits", 0]) for command in ("train_fold", "test_fold", "predict_fold")]
    model = {"task": "digits", "fold": 0, "performance": number / 10_000, "metrics": [{"split": "val", "loss": 0.1}]}
    versions = {"mml-core": "0.1.0", "torch": "2.15.0", "lightning": "2.6.6", "numpy": "2.4.6"}
    command = ["mml", "train", "task=digits", f"optimizer.lr={number / 1e6}"]
    events = [
        Opened(time=at, pid=1, host="box", command=command, mode="train", tasks=["digits"], versions=versions),
        Planned(time=at, steps=steps),
    ]
    for step in range(3):
        events.append(Started(time=at + step, step=step))
        for kind in ("parameters", "metrics", "plots"):
            path = f"p/{kind.upper()}/digits/{kind}_{number:04d}.json"
            events.append(PathAnnounced(time=at + step, path=path, key=kind, step=step))
        events.append(Done(time=at + step, step=step, seconds=1.0, tasks={"digits": {"models": [model]}}))
    if number % 50 == 0:
        events[-1:] = [Stopped(time=at + 3, step=2, signal="SIGTERM")]
    else:
        value = number / 10_000
        events += [Finishing(time=at + 3, value=value), Finished(time=at + 3, seconds=3.0, value=value)]
    return b"".join(encode_line(event) for event in events)


def make_runs(root: Path) -> None:
    """Write run folders as trainings leave them."""
    start = time.time() - 365 * 86400
    for number in range(PROJECTS * RUNS):
        at = start + number * 3000
        name = f"{time.strftime('%Y-%m-%d_%H-%M-%S', time.localtime(at))}_train"
        folder = root / f"project_{number % PROJECTS}" / "runs" / name
        folder.mkdir(parents=True)
        (folder / "journal.jsonl").write_bytes(journal(number, at))
        for file in ("config.yaml", "overrides.yaml", "exp.log", "run.lock"):
            (folder / file).write_text("x" * 500)
        os.utime(folder / "journal.jsonl", (at, at))


def processor_time(command: Sequence[str], folder: Path) -> float:
    """Return the processor time of a whole process, in seconds; both read from memory, and others disturb it less."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def listing(folder: Path) -> None:
    """Measure whole processes, with an index and without."""
    root = folder / "results"
    make_runs(root)
    (folder / "bare.py").write_text(BARE)
    ours, bare = python("-m", "mml", "runs", f"out_dir={root}"), python("bare.py", str(root))

    def cold() -> float:
        (root / INDEX_FILE).unlink(missing_ok=True)
        return processor_time(ours, folder)

    for figure, limit, measure in (
        (
            "`mml runs`, 10,000 runs / a bare script reading one small file each",
            "<= 1.5",
            lambda: processor_time(ours, folder),
        ),
        ("the same without the index, which it makes", "", cold),
    ):
        mine, peer, ratio = pairs(measure, lambda: processor_time(bare, folder), runs=9)
        show(figure, ratio, limit, f"{mine:.2f} s / {peer:.2f} s")


def per_call(progress: RunProgress) -> float:
    """Return the microseconds that counting one batch takes."""
    with progress, progress.task("train", CALLS) as task:
        return seconds(lambda: _count(task.advance)) / CALLS * 1e6


def _count(advance: Callable[[], None]) -> None:
    for _ in range(CALLS):
        advance()


def live_state(folder: Path) -> None:
    """Measure what a run pays per call for telling others where it is."""

    def with_file() -> float:
        progress = RunProgress(enabled=False)
        progress.live_in(folder)
        return per_call(progress)

    ours = median_of(with_file)
    plain = median_of(lambda: per_call(RunProgress(enabled=False)))
    show("counting one batch, with live state / without, us", ours / plain, "", f"{ours:.2f} us / {plain:.2f} us")


def main() -> None:
    """Measure in turn and print the ratios."""
    folder = Path(tempfile.mkdtemp(dir=Path.cwd()))
    try:
        live_state(folder)
        listing(folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
