"""A process that has imported what mml imports, and forks a child per command: `import lightning` takes five seconds.

Reads a line of JSON per command from standard input; answers with the child's pid, then with its wait status.
"""

import importlib
import json
import os
import signal
import sys
from typing import Any

from chaos import watcher

PRELOADED = (
    "mml.hydra_app",
    "mml.core.scripts.base_scheduler",
    "mml.report.info_tables",
)
HEAVY = (
    "mml.core.scripts.train_scheduler",
    "mml.core.scripts.create_scheduler",
    "mml.core.models.fitting",
    "mml.core.models.outcomes",
    "mml.core.models.timm",
    "mml.core.models.tiny",
    "mml.core.data_loading.lightning_datamodule",
    "lightning.pytorch",
    "sklearn.model_selection",
    "sklearn.datasets",
    "torchvision.transforms.v2",
    "PIL.Image",
)


def main() -> None:
    """Serve until standard input ends."""
    watcher.install()
    from mml.cli import main as mml

    for name in (*PRELOADED, *(HEAVY if "--light" not in sys.argv else ())):
        importlib.import_module(name)
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    replies.write("ready\n")
    for line in sys.stdin:
        order = json.loads(line)
        if child := os.fork():
            replies.write(f"{child}\n")
            replies.write(f"{os.waitpid(child, 0)[1]}\n")
            continue
        replies.close()
        _become(order)
        sys.exit(mml(order["words"]))


def _become(order: dict[str, Any]) -> None:
    """Make this fork look like a process that was started for a command: its own session, files, folder, variables."""
    os.setsid()
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115, PTH123 # lives as long as the process
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.argv = ["mml", *order["words"]]
    if order["plan"]:
        watcher.arm(watcher.Plan(**order["plan"]))


if __name__ == "__main__":
    main()
