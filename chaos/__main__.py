"""`python -m chaos`: run the modules, print their tables and, when asked to, write them into the documentation."""

import argparse
import importlib
import importlib.util
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from chaos.table import Options, Row, as_markdown, as_rich, is_loss, put_section
from mml.core.scripts.utils import atomic_write, did_you_mean
from mml.report.tables import seconds_text, show

MODULES = {
    "kills": "SIGKILL, SIGTERM and SIGINT at file-system events and writes of a small schedule",
    "training": "SIGKILL in a real training: two folds, test and predict",
    "fashion_mnist": "SIGKILL ten times in one training on 60,000 images",
    "runners": "SIGKILL to drivers, workers, nodes, jobs and daemons, wherever steps run",
    "study": "the same five folds with every runner, the driver killed",
    "creation": "SIGKILL in the creation of a task",
    "power": "power cuts: what was not made durable is lost",
    "faults": "full disks, damaged files, crowds of processes, a clock set back",
    "hostile": "archives, names and weights that want out of their place",
    "fuzz": "task descriptions and journals made at random",
}
DOCUMENT = Path(__file__).parents[1] / "docs" / "reliability.md"
DEFAULT_SEED = 3


def main(words: Sequence[str] | None = None) -> int:
    """Run what is asked for; return 1 when something was lost, else 0."""
    asked = _parser().parse_args(words)
    names = asked.modules or [name for name in MODULES if _exists(name)]
    base = Path(tempfile.mkdtemp(prefix="mml-chaos-", dir=asked.folder)).resolve()
    show(f"Seed {asked.seed}, {', '.join(names)}, below {base}")
    losses = 0
    for name in names:
        options = Options(asked.seed, asked.points, asked.quick, base / name)
        options.folder.mkdir()
        start = time.monotonic()
        rows = _run(name, options)
        took = seconds_text(time.monotonic() - start)
        show(as_rich(f"{name}: {_command(name, options)}, {took}", rows))
        losses += sum(map(is_loss, rows))
        if asked.write:
            _write(asked.document, name, f"`{_command(name, options)}`\n\n{as_markdown(rows)}")
        if not any(map(is_loss, rows)):
            shutil.rmtree(options.folder)
    if losses:
        show(f"{losses} of the rows above show a loss. What is left of it: {base}")
        return 1
    shutil.rmtree(base)
    return 0


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<15}{what}" for name, what in MODULES.items())
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description="Inject faults into real runs, continue them, and compare with uninterrupted ones.",
        epilog=f"modules, all by default:\n{listed}\n\nexit code: 0 when nothing was lost, 1 when something was",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("modules", nargs="*", metavar="module", type=_module, help="which to run, see below")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of everything that is drawn (%(default)s)")
    parser.add_argument("--points", type=_count, help="points to try where not all are tried; each module has its own")
    parser.add_argument("--quick", action="store_true", help="a small part of everything, in seconds")
    parser.add_argument("--folder", type=_folder, help="where to work; a temporary folder by default")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/reliability.md")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="another document to write them into")
    return parser


def _module(name: str) -> str:
    if name not in MODULES or not _exists(name):
        msg = f"'{name}' is no module of chaos. {did_you_mean(name, filter(_exists, MODULES))}"
        raise argparse.ArgumentTypeError(msg)
    return name


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        msg = f"'{text}' is no count: give a whole number of at least 1"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _folder(text: str) -> Path:
    path = Path(text)
    path.mkdir(parents=True, exist_ok=True)
    return path


def _exists(name: str) -> bool:
    return importlib.util.find_spec(f"chaos.{name}") is not None


def _run(name: str, options: Options) -> list[Row]:
    rows: list[Row] = importlib.import_module(f"chaos.{name}").run(options)
    return rows


def _command(name: str, options: Options) -> str:
    """Return the command that repeats what a module did."""
    words = ["nox -s chaos --", name, "--seed", str(options.seed)]
    words += ["--points", str(options.points)] if options.points is not None else []
    return " ".join([*words, "--quick"] if options.quick else words)


def _write(document: Path, name: str, section: str) -> None:
    text = put_section(document.read_text(encoding="utf-8"), name, section, list(MODULES))
    with atomic_write(document, "w") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main())
