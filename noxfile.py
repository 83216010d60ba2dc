"""What there is to run on this checkout: `nox -l` lists it, `nox -s <name>` runs it, nothing must be set up before."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["lint", "types", "layers", "tests"]
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"

ROOT = Path(__file__).parent.resolve()
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
# One environment for all sessions that need torch, because it takes several gigabytes.
SHARED = ROOT / ".nox" / "shared"
CACHES = ROOT / ".nox" / "caches"
GROUPS = ("docs", "test", "types")
# One thread per process: the tests run in two, and more threads than cores only get in each other's way.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@nox.session(venv_backend="none")
def demo(session: nox.Session) -> None:
    """Create a task from real images, train and test a model on it, and show the result (two minutes)."""
    shared_environment(session)
    folder = ROOT / "demo"
    where = {"MML_DATA_PATH": str(folder / "data"), "MML_RESULTS_PATH": str(folder / "results")}

    def mml(what: str, *args: str) -> None:
        session.log(f"{what}: mml {' '.join(args)}")
        run(session, "-m", "mml", *args, env=where)

    if (folder / "data" / "tasks" / "digits").exists():
        session.log("The task 'digits' is there from an earlier demo.")
    else:
        mml("A task from 1,797 real images of handwritten digits", "create", "task=digits")
    mml("A small network, trained and tested on them", "train", "task=digits", "proj=demo", "trainer.max_epochs=6")
    mml("What there is now", "info", "proj=demo")
    session.log(f"All of it lies in {folder}; remove the folder when you have seen enough.")
    session.log(f"To type `mml` yourself: source {SHARED / 'bin' / 'activate'}")
    session.log("Next: `mml help train`, your own images with `mml create task=mine mode.source=<folder>`, README.md.")


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run the tests: all of them with coverage, or what you name, e.g. `nox -s tests -- tests/cli -x`."""
    shared_environment(session)
    measured = ["--numprocesses=2", "--dist=worksteal", "--cov", "--cov-report=term", "--durations=15"]
    stores = {"COVERAGE_FILE": "coverage", "HYPOTHESIS_STORAGE_DIRECTORY": "hypothesis"}
    env = ONE_THREAD | {name: str(CACHES / store) for name, store in stores.items()}
    run(session, "-m", "pytest", "-o", f"cache_dir={CACHES / 'pytest'}", *(session.posargs or measured), env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff; `nox -s lint -- --fix` mends what can be mended."""
    session.install(*dependencies("lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Check the types of the packages and of every plugin with mypy, strict."""
    shared_environment(session)
    cache = f"--cache-dir={CACHES / 'mypy'}"
    run(session, "-m", "mypy", cache)
    for plugin in sorted((ROOT / "plugins").glob("*/mml_*/")):
        run(session, "-m", "mypy", cache, str(plugin))


@nox.session
def layers(session: nox.Session) -> None:
    """Check who may import whom with import-linter; reads sources only."""
    session.install(*dependencies("layers"))
    sources = os.pathsep.join([str(ROOT / "mml_core"), str(ROOT / "configs")])
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": sources})


@nox.session(reuse_venv=False)
def wheel(session: nox.Session) -> None:
    """Build sdist and wheel, install the wheel in an empty environment and use it from an empty folder."""
    built, clean = CACHES / "dist", CACHES / "clean"
    shutil.rmtree(built, ignore_errors=True)
    session.install(*dependencies("wheel"))
    # `build` makes the wheel from the sdist, unless told otherwise.
    session.run("python", "-m", "build", "--outdir", str(built), str(ROOT))
    new_environment(session, clean)
    (package,) = built.glob("*.whl")
    session.run(python_of(clean), "-m", "pip", "install", "-qq", str(package), external=True)
    check = ROOT / "tests" / "packaging" / "installed.py"
    session.run(python_of(clean), "-I", str(check), str(ROOT), external=True, env=ONE_THREAD)
    shutil.rmtree(clean)  # several gigabytes that nobody needs any more


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/html; a warning is an error. `-- pictures` makes its pictures anew."""
    shared_environment(session)
    if "pictures" in session.posargs:
        run(session, "docs/screenshots.py")
    html = ROOT / "docs" / "_build" / "html"
    run(session, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(html))
    session.log(f"Open {html / 'index.html'}.")


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Measure mml beside its peers and print the ratios; name scripts to run only these: `nox -s bench -- start`."""
    shared_environment(session)
    names = session.posargs or sorted(script.stem for script in (ROOT / "benchmarks").glob("[!_]*.py"))
    for name in names:
        run(session, "-m", f"benchmarks.{name}")


@nox.session(venv_backend="none")
def chaos(session: nox.Session) -> None:
    """Kill runs, cut their power, damage their files, continue and compare; `-- kills --seed 7` runs one module."""
    shared_environment(session)
    run(session, "-m", "chaos", *session.posargs, env=ONE_THREAD)


def dependencies(*groups: str) -> list[str]:
    """Return the requirements of dependency groups in pyproject.toml."""
    return list(nox.project.dependency_groups(PROJECT, *groups))


def python_of(folder: Path) -> str:
    """Return the interpreter of an environment."""
    return str(folder / "bin" / "python")


def run(session: nox.Session, *args: str, env: dict[str, str] | None = None) -> None:
    """Run the shared environment's Python with `args`."""
    session.run(python_of(SHARED), *args, external=True, env={"PYTHONPATH": None, **(env or {})})


def new_environment(session: nox.Session, folder: Path) -> None:
    """Make an environment, in place of one that is there."""
    session.run(sys.executable, "-m", "virtualenv", "--quiet", "--clear", str(folder), external=True)


def shared_environment(session: nox.Session) -> None:
    """Make `SHARED` hold this package and the plugins, editable, and `GROUPS`; do nothing when it does already."""
    stamp = SHARED / "mml-stamp"
    wanted = fingerprint()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    session.log(f"Installing into {SHARED}: a few minutes the first time, and again only when requirements change.")
    stamp.unlink(missing_ok=True)
    if not is_environment(SHARED):
        new_environment(session, SHARED)
    editable = [f"--editable={folder}" for folder in (f"{ROOT}[notify,tracking]", *map(str, plugins()))]
    pip = [python_of(SHARED), "-m", "pip", "install", "-qq"]
    session.run(*pip, *editable, *dependencies(*GROUPS), external=True)
    stamp.write_text(wanted, encoding="utf-8")


def is_environment(folder: Path) -> bool:
    """Tell whether an environment of this very Python is there."""
    home = f"version_info = {'.'.join(map(str, sys.version_info[:3]))}"
    config = folder / "pyvenv.cfg"
    return config.is_file() and home in config.read_text(encoding="utf-8") and Path(python_of(folder)).exists()


def plugins() -> list[Path]:
    """Return the plugins to install: all but the template, which its own test installs."""
    return sorted(file.parent for file in (ROOT / "plugins").glob("[!_]*/pyproject.toml"))


def fingerprint() -> str:
    """Digest what decides on the contents of the shared environment: requirements and interpreter."""
    projects = [PROJECT, *(nox.project.load_toml(folder / "pyproject.toml") for folder in plugins())]
    parts: list[Any] = [sys.version, str(ROOT)]
    for project in projects:
        hatch = project.get("tool", {}).get("hatch")
        parts.append([project.get("build-system"), project.get("project"), project.get("dependency-groups"), hatch])
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
