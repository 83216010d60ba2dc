"""Use an installed mml as a newcomer would, and fail where anything is missing; run by `nox -s wheel`.

Runs with the interpreter of an environment that holds nothing but the wheel and what it requires, hence no pytest.
"""

import importlib.metadata
import importlib.resources
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = ("mml", "mml_configs")


def check_files(checkout: Path) -> None:
    """Compare the installed files with those of the checkout."""
    roots = {name: Path(str(importlib.resources.files(name))) for name in PACKAGES}
    for name, source in (("mml", checkout / "mml_core"), ("mml_configs", checkout / "configs")):
        expect(not roots[name].is_relative_to(checkout / name), f"{name} is the installed one, not the checkout's")
        missing = relative_files(source / name) - relative_files(roots[name])
        expect(not missing, f"every file of {name} is in the wheel, but for: {sorted(map(str, missing))}")
    expect((roots["mml"] / "py.typed").is_file(), "py.typed is in the wheel")
    files = importlib.metadata.files("mml-core") or []
    strange = sorted({file.parts[0] for file in files} - {*PACKAGES, "..", f"{dist_name()}.dist-info"})
    expect(not strange, f"nothing but {' and '.join(PACKAGES)} is installed, but for: {strange}")


def relative_files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def dist_name() -> str:
    return f"mml_core-{importlib.metadata.version('mml-core')}"


def check_commands(folder: Path) -> None:
    """Type the first commands of a newcomer in an empty folder, with an empty home."""
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MML_", "XDG_", "PYTHON"))}
    env = {**kept, "HOME": str(home)}
    version = importlib.metadata.version("mml-core")
    digits = "task=digits"
    for args, expected in [
        ([], version),
        (["--version"], version),
        (["--help"], "create"),
        (["help", "train"], "cv"),
        (["create", digits], "digits"),
        (["info"], "digits"),
        (["train", digits, "trainer.max_epochs=1"], "digits"),
    ]:
        command = [str(Path(sys.executable).with_name("mml")), *args]
        done = subprocess.run(command, cwd=work, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        shown = f"`mml {' '.join(args)}`"
        expect(done.returncode == 0, f"{shown} ends well\n{done.stdout}\n{done.stderr}")
        expect(expected in done.stdout, f"{shown} prints '{expected}'\n{done.stdout}\n{done.stderr}")


def expect(condition: bool, promise: str) -> None:
    if not condition:
        sys.exit(f"The wheel does not keep its promise: {promise}")
    print("ok:", promise.splitlines()[0].split(", but for:")[0])


if __name__ == "__main__":
    check_files(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as name:
        check_commands(Path(name))
