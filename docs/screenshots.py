"""Make the pictures of the docs: run the real `mml` in a terminal emulator and draw its screen as SVG.

`nox -s docs -- pictures` runs it. Fashion-MNIST is fetched by `mml create`; all folders are temporary.
"""

import copy
import os
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyte
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

STATIC = Path(__file__).parent / "_static"
COLUMNS, LINES = 110, 46


def run_in_terminal(
    words: Sequence[str],
    cwd: Path,
    lines: int = LINES,
    until: Callable[[str], bool] | None = None,
    python: str = sys.executable,
    press: str | signal.Signals = "",
) -> tuple[pyte.Screen, pyte.Screen]:
    """Run `mml` with `words` in a terminal of its own; return the screen in the midst of it, and at the end.

    Args:
        words: what to type after `mml`.
        cwd: folder to run in.
        lines: height of the terminal.
        until: tells, given the text on the screen, that the midst of it has come.
        python: the interpreter.
        press: keys to type in the midst of it, or a signal to send.
    """
    screen, midst = pyte.Screen(COLUMNS, lines), None
    stream = pyte.ByteStream(screen)
    main, child = pty.openpty()
    size = {"COLUMNS": str(COLUMNS), "LINES": str(lines)}
    env = {**os.environ, **size, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen([python, "-m", "mml", *words], cwd=cwd, stdin=child, stdout=child, stderr=child, env=env)
    os.close(child)
    while data := _read(main, process):
        stream.feed(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        if midst is None and until is not None and until("\n".join(screen.display)):
            midst = copy.deepcopy(screen)
            process.send_signal(press) if isinstance(press, signal.Signals) else os.write(main, press.encode())
    process.wait()
    os.close(main)
    return midst or screen, screen


def _read(handle: int, process: subprocess.Popen[bytes]) -> bytes:
    """Return what the terminal has to show next, nothing at its end."""
    while True:
        ready, _, _ = select.select([handle], [], [], 0.2)
        if ready:
            try:
                return os.read(handle, 65536)
            except OSError:  # Linux says so when the last program has left the terminal
                return b""
        if process.poll() is not None:
            return b""


def _color(name: str) -> Color | None:
    if name == "default":
        return None
    return Color.parse(
        f"#{name}" if len(name) == 6 and all(c in "0123456789abcdef" for c in name) else _ANSI.get(name, name)
    )


_ANSI = (
    {"brown": "yellow"}
    | {
        f"bright{name}": f"bright_{name}"
        for name in ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
    }
    | {"brightbrown": "bright_yellow"}
)


def draw(screen: pyte.Screen, title: str, name: str) -> None:
    """Write the screen as `_static/<name>.svg`, without the empty lines at its end."""
    rows = [[screen.buffer[line][column] for column in range(COLUMNS)] for line in range(screen.lines)]
    while rows and not "".join(char.data for char in rows[-1]).strip():
        rows.pop()
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        for row in rows:
            text = Text()
            for char in row:
                style = Style(color=_color(char.fg), bgcolor=_color(char.bg), bold=char.bold, reverse=char.reverse)
                text.append(char.data, style)
            console.print(text, no_wrap=True, overflow="crop")
    svg = console.export_svg(title=title)
    (STATIC / f"{name}.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


def _is_well_under_way(shown: str) -> bool:
    """Tell whether the display shows the middle of the third epoch."""
    return re.search(r"2/5", shown) is not None and re.search(r"[4-6]\d\d/750", shown) is not None


def draw_doctor(folder: Path) -> None:
    """Draw `mml doctor` on a machine with a torchvision for another torch, few open files and a misspelt variable."""
    site = folder / "site"
    (site / "torchvision").mkdir(parents=True)
    (site / "torchvision" / "__init__.py").write_text('raise RuntimeError("operator torchvision::nms does not exist")')
    # Under a name that says nothing of the machine that the picture is made on.
    (folder / "env").symlink_to(sys.prefix)
    python = folder / "env" / "bin" / "python"
    limits, before = resource.getrlimit(resource.RLIMIT_NOFILE), dict(os.environ)
    os.environ |= {
        "PYTHONPATH": str(site),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "MML_RESULT_PATH": "/data/results",
    }
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))
    try:
        draw(run_in_terminal(["doctor"], folder, lines=120, python=str(python))[1], "mml doctor", "doctor")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.environ.clear()
        os.environ.update(before)


def _are_well_under_way(shown: str) -> bool:
    """Tell whether the display shows two steps in the middle of their second epochs."""
    return shown.count("epoch 1/5") == 2 and len(re.findall(r" [3-6]\d\d/750 ", shown)) == 2


@contextmanager
def training(
    folder: Path, *words: str, task: str = "digits", sign: str = '"epoch","completed":2', times: int = 1
) -> Iterator[subprocess.Popen[bytes]]:
    """Train in the background until the end of the block.

    Args:
        folder: to run in.
        words: of the command line.
        task: what to train on.
        sign: the block begins when `live.json` says this.
        times: how often it has to say so.
    """
    command = [sys.executable, "-m", "mml", "train", f"task={task}", "trainer.max_epochs=60", *words]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not any(path.read_text().count(sign) >= times for path in folder.glob("results/*/runs/*/live.json")):
            time.sleep(0.5)
        yield process
    finally:
        process.terminate()  # and its workers with it
        process.wait()
        for path in folder.glob("results/*/runs/*/live.json"):
            path.unlink(missing_ok=True)  # so that the next training is not taken for this one


def draw_workers(folder: Path) -> None:
    """Draw two folds of Fashion-MNIST that train at once: the display of the run, and watching it."""
    words = ["mode.cv=true", "runner=local", "runner.workers=2", "proj=folds"]
    train = ["train", "task=fashion_mnist", "trainer.max_epochs=5", *words]
    # First, for it decodes the images, which the other one need not tell of then.
    with training(folder, *words, "trainer.max_epochs=5", task="fashion_mnist", sign='"description":"train"', times=2):
        watched = run_in_terminal(["status", "--watch"], folder, until=_are_well_under_way, press="q")
        draw(watched[0], "mml status --watch", "status_local")
    running, _ = run_in_terminal(train, folder, until=_are_well_under_way, press=signal.SIGINT)
    draw(running, f"mml {' '.join(train)}", "runner_local")


def draw_runs(folder: Path) -> None:
    """Draw the list of runs, the picker of `mml continue`, and watching a training, with real trainings on digits."""
    run_in_terminal(["create", "task=digits"], folder)
    run_in_terminal(["train", "task=digits", "trainer.max_epochs=5"], folder)
    run_in_terminal(["runs", "label", "latest", "baseline"], folder)
    with training(folder, "optimizer.lr=0.02") as process:
        process.kill()
    with training(folder, "proj=ablation", "arch.width=8") as process:
        process.terminate()
        process.wait()
    picked = run_in_terminal(["continue"], folder, until=lambda shown: "q leaves" in shown, press="q")
    draw(picked[0], "mml continue", "picker")
    with training(folder, "proj=ablation", "mode.cv=true") as process:
        watched = run_in_terminal(["status", "--watch"], folder, until=lambda shown: "q or Ctrl-C" in shown, press="q")
        draw(watched[0], "mml status --watch", "status")
        draw(run_in_terminal(["runs"], folder)[1], "mml runs", "runs")


def draw_plan(folder: Path) -> None:
    """Draw what a fork of a training of five folds would take over and do: in the terminal, and as `--out` does."""
    before = os.environ["MML_RESULTS_PATH"]
    os.environ["MML_RESULTS_PATH"] = str(folder / "study")
    words = ["plan", "continue", "latest", "--fork", "mode.predict=[test]", "runner=local"]
    try:
        run_in_terminal(["create", "task=digits"], folder)
        run_in_terminal(["train", "task=digits", "mode.cv=true", "trainer.max_epochs=5"], folder)
        draw(run_in_terminal(words, folder, lines=120)[1], f"mml {' '.join(words)}", "plan")
        run_in_terminal([*words, "--out", str(STATIC / "plan_graph.svg")], folder)
    finally:
        os.environ["MML_RESULTS_PATH"] = before


def main() -> None:
    """Draw all pictures."""
    STATIC.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp())
    os.environ |= {"MML_DATA_PATH": str(folder / "data"), "MML_RESULTS_PATH": str(folder / "results")}
    train = ["train", "task=fashion_mnist", "trainer.max_epochs=5"]
    try:
        run_in_terminal(["create", "task=fashion_mnist"], folder)
        running, finished = run_in_terminal(train, folder, until=_is_well_under_way)
        draw(running, f"mml {' '.join(train)}", "running")
        draw(finished, f"mml {' '.join(train)}", "finished_run")
        for name, words in {"home": [], "help_train": ["help", "train"], "info": ["info"]}.items():
            draw(run_in_terminal(words, folder, lines=120)[1], " ".join(["mml", *words]), name)
        draw_doctor(folder)
        draw_runs(folder)
        draw_plan(folder)
        draw_workers(folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
