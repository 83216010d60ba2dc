"""Kill the creation of a task at its every access to a file below the data folder, look, continue it, and compare.

`python create_sweep.py <folder> <stride> <offset> <new or old>` prints a line of JSON per fault; nothing printed means:
wherever the creation was killed, the task was whole or not there, and continuing made it. With `old` there is a task
already, which is to be replaced. Each run is a fork of this process, so that a kill costs milliseconds.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path

from omegaconf import DictConfig

CHECKOUT = Path(__file__).parents[3]
sys.path.insert(0, str(CHECKOUT))

from mml.config_loading import compose  # noqa: E402 # needs the path above
from mml.core.data_loading.task_description import load_description  # noqa: E402
from mml.core.scripts.create_scheduler import CreateScheduler  # noqa: E402
from tests.core.data_preparation.make_sources import class_folders  # noqa: E402
from tests.support.kill_sweep import watch  # noqa: E402

IMAGES = {"cat": 5, "dog": 5}


def create(root: Path, cfg: DictConfig, run: str | None = None, kill_at: int | None = None) -> tuple[int, int]:
    """Run the mode, or continue a run, in a fork; return its wait status and the number of accesses."""
    note = root / "accesses"
    if pid := os.fork():
        status = os.waitpid(pid, 0)[1]
        return status, int(note.read_text()) if note.exists() else 0
    try:
        cfg.data_dir, cfg.out_dir, cfg["continue"] = str(root / "data"), str(root / "out"), run
        scheduler = CreateScheduler(cfg)
        seen = watch(root / "data", kill_at)
        with redirect_stdout(sys.stderr):
            scheduler.run()
        note.write_text(str(len(seen)))
    except BaseException:  # noqa: BLE001 # a fork must not return into the loop of its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def state(root: Path) -> str:
    """Return whether the task is there, and which one: `"none"`, `"old"`, `"new"` or what is wrong with it."""
    folder = root / "data" / "tasks" / "pets"
    if not folder.exists():
        return "none"
    if (folder / "old").exists():
        return "old"
    try:
        task = load_description(folder / "task.json")
    except Exception as error:  # noqa: BLE001 # whatever is wrong is reported
        return str(error)
    samples = {**task.train_samples, **task.test_samples}
    files = {path.relative_to(folder).as_posix() for path in (folder / "images").rglob("*.png")}
    whole = len(samples) == sum(IMAGES.values()) and files == {str(sample["image"]) for sample in samples.values()}
    return "new" if whole else f"{len(samples)} samples, {len(files)} files"


def fault(root: Path, kill_at: int, cfg: DictConfig) -> str | None:
    """Kill a creation, look, continue it, and return what is wrong."""
    create(root, cfg, kill_at=kill_at)
    if (found := state(root)) not in ("new", "old" if cfg.mode.overwrite else "none"):
        return f"after the kill the task is: {found}"
    (run,) = (root / "out" / "default" / "runs").iterdir()
    status, _ = create(root, cfg, run=run.name)
    left = [path.name for path in (root / "data" / "tasks" / ".creating" / "pets").iterdir()]
    if status or state(root) != "new" or left != ["run.lock"]:
        return f"continuing ends with status {status}, the task is: {state(root)}, left are {left}"
    return None


def make_root(base: Path, name: str, replaces: bool) -> Path:
    """Return a new folder with a data folder, and in this an old task if asked for."""
    root = base / name
    (root / "data").mkdir(parents=True)
    if replaces:
        (root / "data" / "tasks" / "pets").mkdir(parents=True)
        (root / "data" / "tasks" / "pets" / "old").write_text("")
    return root


def main(base: Path, stride: int, offset: int, replaces: bool) -> None:
    """Kill at every `stride`-th access, from `offset` on."""
    class_folders(base / "source", IMAGES)
    options = [f"mode.source={base / 'source'}", f"mode.overwrite={replaces}"]
    cfg = compose(["mode=create", "task=pets", "logging.progress=false", "sys.num_workers=1", *options])
    status, accesses = create(make_root(base, "whole", replaces), cfg)
    if status or accesses < 20:
        sys.exit(f"the uninterrupted creation ended with {status} after {accesses} accesses")
    # The last access is that of the report, when the run is finished.
    for number in range(offset + 1, accesses, stride):
        root = make_root(base, str(number), replaces)
        if found := fault(root, number, cfg):
            print(json.dumps({"access": number, "of": accesses, "fault": found}))
        shutil.rmtree(root)


if __name__ == "__main__":
    signal.alarm(300)
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "old")
