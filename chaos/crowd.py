"""Many commands of mml at the same moment: forks of one process that wait for one another, and then start at once.

`python -m chaos.crowd N <words>` prints how each of them ended, as JSON.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from chaos.fork_server import PRELOADED


def start_together(work: Callable[[int], int], size: int) -> list[int]:
    """Call `work(0) ... work(size - 1)` at the same moment, each in a fork; return what each returned."""
    ready, go = os.pipe(), os.pipe()
    children = []
    for number in range(size):
        if child := os.fork():
            children.append(child)
            continue
        os.close(go[1])
        os.write(ready[1], b".")
        os.read(go[0], 1)  # returns when the parent closes its end
        code = 70
        try:
            code = work(number)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    for _ in range(size):
        os.read(ready[0], 1)
    os.close(go[1])
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def main() -> None:
    """Start as many commands as the first word says, each with a file of its own for what it prints."""
    from mml.cli import main as mml

    for name in PRELOADED:
        importlib.import_module(name)
    size, words = int(sys.argv[1]), sys.argv[2:]

    def work(number: int) -> int:
        output = os.open(f"crowd_{number}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.setsid()
        sys.argv = ["mml", *words]
        try:
            return mml(words)
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else 1

    sys.stdout.write(json.dumps(start_together(work, size)) + "\n")


def run_crowd(size: int, words: list[str], folder: Path, env: dict[str, str]) -> tuple[list[int], list[str]]:
    """Run this module as a child; return how each command ended, and what it printed.

    Args:
        size: number of commands.
        words: of each.
        folder: to run in.
        env: variables of the child.
    """
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "chaos.crowd", str(size), *words],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    codes: list[int] = json.loads(done.stdout)
    said = [(folder / f"crowd_{number}.txt") for number in range(size)]
    texts = [path.read_text(errors="replace") for path in said]
    for path in said:
        path.unlink()
    return codes, texts


if __name__ == "__main__":
    main()
