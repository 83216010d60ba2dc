"""Real `mml` commands as processes of their own in a folder of their own, which tests start, signal and kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from PIL import Image

from mml.core.scripts.run_files import LOG_FILE, RUNS_FOLDER
from mml.testing.outcomes import RunOutcome, events_of, outcome_of, repeated_steps

TASK = "shapes"
# In the folder by which a test and the steps talk to one another: a file for each attempt that began.
TRACE = "trace"
# In the environment of a command and of what it starts: the folder of its world.
MARK = "MML_CONTRACT_WORLD"
PATIENCE = 180.0
_LOOK = 0.05


class World:
    """A folder with data and results, and the commands that work in it.

    Args:
        root: the folder, which all workers see.
        data: folder of the data.
        overrides: of every command.
    """

    def __init__(self, root: Path, data: Path, overrides: Sequence[str] = ()) -> None:
        self.root, self.results, self.control = root, root / "results", root / "control"
        self.trace, self.output = self.control / TRACE, root / "output.txt"
        self.trace.mkdir(parents=True, exist_ok=True)
        self.output.touch()
        self._data, self._overrides = data, list(overrides)
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start a command; what it prints goes to `output`."""
        places = [f"data_dir={self._data}", f"out_dir={self.results}"]
        with self.output.open("ab") as output:
            output.write(f"$ mml {' '.join(words)}\n".encode())
            output.flush()
            child = subprocess.Popen(
                [sys.executable, "-m", "mml.testing", *words, *places],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.root,
            )
        self._started.append(child)
        return child

    def plan(self, name: str, *words: str) -> "subprocess.Popen[bytes]":
        """Start a run of the mode `contract`."""
        mode = [f"task={TASK}", f"mode.plan={name}", f"mode.control={self.control}"]
        return self.start("contract", *mode, *self._overrides, *words)

    def ends(self, child: "subprocess.Popen[bytes]", code: int = 0) -> None:
        """Wait for a command, and hold it to its exit code."""
        found = self.wait(child)
        assert found == code, f"exit code {found}, not {code}:\n{self.said()}"

    def wait(self, child: "subprocess.Popen[bytes]", patience: float = PATIENCE) -> int:
        """Return the exit code of a command; one that hangs is killed."""
        try:
            return child.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return child.wait()

    def said(self) -> str:
        """Return all that the commands printed, and the end of the run's log."""
        logs = [path.read_text(errors="backslashreplace")[-3000:] for path in self.results.rglob(LOG_FILE)]
        return "\n".join([self.output.read_text(errors="backslashreplace"), *logs])

    def run_folder(self) -> Path:
        """Return the folder of the only run."""
        (folder,) = self.results.glob(f"*/{RUNS_FOLDER}/*")
        return folder

    def outcome(self) -> RunOutcome:
        """Return what the only run did and left; no step may be recorded as done twice."""
        folder = self.run_folder()
        assert not (again := repeated_steps(events_of(folder))), f"steps that were done twice: {again}"
        return outcome_of(folder)

    def tell(self, name: str) -> None:
        """Make a file that a step looks for, e.g. `held_a.go`."""
        (self.control / name).touch()

    def untell(self, name: str) -> None:
        """Remove it."""
        (self.control / name).unlink()

    def attempts(self, step: str) -> list[Path]:
        """Return the notes of the attempts at a step that have begun, in order."""
        paths = (path for path in self.trace.glob(f"{step}.*") if path.suffix[1:].isdigit())
        return sorted(paths, key=lambda path: int(path.suffix[1:]))

    def wait_for(self, what: str, happened: Callable[[], bool], child: "subprocess.Popen[bytes]") -> None:
        """Wait until something happened, which has to be while a command runs."""
        end = time.monotonic() + PATIENCE
        while not happened():
            assert child.poll() is None, f"the command ended before {what}:\n{self.said()}"
            assert time.monotonic() < end, f"{what} did not happen:\n{self.said()}"
            time.sleep(_LOOK)

    def wait_for_attempts(self, child: "subprocess.Popen[bytes]", *steps: str, number: int = 1) -> None:
        """Wait until an attempt at each step has begun and has written half of its file."""
        for step in steps:
            self.wait_for(f"attempt {number} at {step}", partial(self._begun, step, number), child)

    def _begun(self, step: str, number: int) -> bool:
        return len(self.attempts(step)) >= number

    def worker_of(self, step: str) -> int:
        """Return the process of the newest attempt at a step."""
        return int(self.attempts(step)[-1].read_text().split()[1])

    def left_running(self) -> dict[int, str]:
        """Return the processes that the commands started and that still run: number -> command line."""
        return processes_with(MARK, str(self.root))

    def close(self) -> None:
        """Kill what still runs."""
        for child in self._started:
            if child.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        for number in self.left_running():
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MML_", "HYDRA_"))}
        return kept | {MARK: str(self.root), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "COLUMNS": "200"}


def processes_with(name: str, value: str) -> dict[int, str]:
    """Return the processes that have a variable in their environment: number -> command line."""
    wanted = f"{name}={value}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def make_task(world: World) -> None:
    """Create a task of a few images of two kinds, in two folds."""
    source = world.root / "images"
    for label, shade in (("dark", 40), ("light", 200)):
        (source / label).mkdir(parents=True)
        for number in range(24):
            image = Image.new("L", (8, 8), shade)
            image.putpixel((number % 8, number // 8), 255 - shade)
            image.save(source / label / f"{number}.png")
    world.ends(world.start("create", f"task={TASK}", f"mode.source={source}", "mode.folds=2"))
