"""Kill a run at its every access to a file below the results, continue it, and compare: run as a child process.

`python kill_sweep.py <folder> <stride> <offset>` prints one line of JSON per difference; nothing printed means that
wherever a run was killed, what it left in the end is what an uninterrupted run leaves. Each run is a fork of this
process, so that a kill costs milliseconds.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))

from tests.support.toy_scheduler import RUNS_FOLDER, Toy, outcome, toy_config  # noqa: E402 # needs the path above

ACCESSES = {
    "open",
    "os.chmod",
    "os.listdir",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.scandir",
    "os.truncate",
    "shutil.rmtree",
}


def watch(folder: Path, kill_at: int | None) -> list[str]:
    """Note down all accesses to files below a folder from now on; send SIGKILL before access number `kill_at`."""
    seen: list[str] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in ACCESSES and args and str(args[0]).startswith(str(folder)):
            seen.append(f"{event} {args[0]}")
            if len(seen) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen


def run(root: Path, settings: dict[str, Any], kill_at: int | None = None) -> int:
    """Run the toy in a fork; return its wait status. It leaves `value.json`, and `accesses.json`, in `root`."""
    if pid := os.fork():
        return os.waitpid(pid, 0)[1]
    try:
        seen = watch(root / "results", kill_at)
        value = Toy(toy_config(root, mode__trace=str(root / "trace"), **settings)).run()
        (root / "value.json").write_text(json.dumps(value))
        (root / "accesses.json").write_text(json.dumps(seen))
    except BaseException:  # noqa: BLE001 # a fork must not return into the loop of its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def differences(root: Path, expected: Path) -> list[str]:
    """Return how what a run left differs from what another left, finished steps done twice included."""
    left, right = outcome(root), outcome(expected)
    found = [f"{path}: {left.get(path)!r}, not {right.get(path)!r}" for path in sorted(left | right)]
    found = [line for line, path in zip(found, sorted(left | right), strict=True) if left.get(path) != right.get(path)]
    if (root / "value.json").read_text() != (expected / "value.json").read_text():
        found.append("the return value")
    return found + [f"{place} twice" for place in repeated(root)]


def repeated(root: Path) -> list[str]:
    """Return the ends of steps that were reached twice although the step was recorded in between."""
    (journal,) = (root / "results").glob(f"*/{RUNS_FOLDER}/*/journal.jsonl")
    done = [json.loads(line)["step"] for line in journal.read_text().splitlines() if '"event":"done"' in line]
    ends = [line for line in (root / "trace").read_text().split() if line.startswith("end") and line[3:].isdigit()]
    # A step that was killed after its end, before its record, is rightly done again: one end per restart.
    allowed = len(done) + 1
    return [*{step for step in done if done.count(step) > 1}, *(ends if len(ends) > allowed else [])]


def main(base: Path, stride: int, offset: int) -> None:
    """Kill at every `stride`-th access, from `offset` on."""
    settings = {"task_list": ["t"], "mode__n": 1, "mode__grow_at": 0, "reuse": {"clean_up": {"toy_all": True}}}
    whole = new_root(base, "whole")
    if run(whole, settings):
        sys.exit("the uninterrupted run failed")
    accesses = json.loads((whole / "accesses.json").read_text())
    for number in range(offset + 1, len(accesses) + 1, stride):
        root = new_root(base, str(number))
        run(root, settings, kill_at=number)
        folders = list((root / "results" / "default" / RUNS_FOLDER).glob("*/config.yaml"))
        if folders:
            again = settings | {"continue": folders[0].parent.name}
            status = run(root, again)
            found = [f"exit status {status}"] if status else differences(root, whole)
            for difference in found:
                print(
                    json.dumps({"access": number, "of": accesses[number - 1], "difference": difference}),
                    file=sys.stderr,
                )
        shutil.rmtree(root)


def new_root(base: Path, name: str) -> Path:
    """Return a new folder that shares the data of `base`."""
    root = base / name
    root.mkdir()
    (root / "data").symlink_to(base / "data")
    return root


if __name__ == "__main__":
    OmegaConf.create({})  # whatever is imported on first use is imported before the first fork
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
