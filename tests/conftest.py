"""What every test relies on: a world of its own, and nothing left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock

from tests.support.real_data import NoAptError, fashion_mnist_idx
from tests.support.slurm_machine import Machine, NoSlurmError
from tests.support.slurm_machine import slurm_machine as shared_slurm

CHECKOUT = Path(__file__).parents[1]
CHILD_SECONDS = 300
# Tests run side by side: one thread each, set before anything imports torch or numpy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
# Where a shell runs the tests in its background, it has them ignore Ctrl-C, and `nohup` the end of the terminal; so
# would all their children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
# What tools of a developer make in the top folder, and git ignores.
TOOLS = {
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".import_linter_cache",
    ".nox",
    ".venv",
    ".git",
    ".hypothesis",
}

# No limit on the time of an example: it would test the machine.
hypothesis.settings.register_profile("mml", deadline=None)
hypothesis.settings.load_profile("mml")

MmlCli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def own_world(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Work in `tmp_path`, with an empty home and no setting of mml, and without objects of an earlier test."""
    home = tmp_path_factory.mktemp("home")
    for name in [name for name in os.environ if name.startswith(("MML_", "HYDRA_", "HF_", "TORCH_HOME", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    yield
    forget_globals()


def forget_globals() -> None:
    """Drop the singletons that a test may have left: the file manager and Hydra's."""
    if utils := sys.modules.get("mml.core.scripts.utils"):
        for kind in list(utils.Singleton._instances):
            kind.clear_instance()
    if hydra := sys.modules.get("hydra.core.global_hydra"):
        hydra.GlobalHydra.instance().clear()


@pytest.fixture
def mml_cli(tmp_path: Path) -> MmlCli:
    """Run `python -m mml` in a process of its own.

    Call it with the arguments of `mml`, and by keyword `env` (added to this process's) and `cwd` (`tmp_path`
    otherwise). It returns the finished process with `returncode`, `stdout` and `stderr`.
    """

    def call(
        *args: str | Path, env: Mapping[str, str] | None = None, cwd: Path = tmp_path
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "mml", *map(str, args)],
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CHILD_SECONDS,
            check=False,
        )

    return call


@pytest.fixture(scope="session", name="fashion_mnist_idx")
def _fashion_mnist_idx() -> Path:
    """Return a folder with the four IDX files of Fashion-MNIST; read only."""
    try:
        return fashion_mnist_idx()
    except NoAptError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", name="slurm_machine")
def _slurm_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Run a real Slurm while tests need it; all workers of pytest share it."""
    folder = tmp_path_factory.getbasetemp()
    try:
        with shared_slurm(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) as machine:
            yield machine
    except NoSlurmError as error:
        pytest.skip(str(error))


@pytest.fixture
def slurm(slurm_machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Let this process and its children find the Slurm of the tests, which one test has at a time: some stop parts."""
    for name, value in slurm_machine.env.items():
        monkeypatch.setenv(name, value)
    with FileLock(slurm_machine.folder / "test.lock"):
        yield slurm_machine


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the top folder of the checkout."""
    return CHECKOUT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that want the one Slurm: of two workers of pytest, one gets them all, and none waits."""
    items.sort(key=lambda item: "slurm" not in getattr(item, "fixturenames", ()))


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name values by their type where their text differs from process to process: xdist wants the same names in all."""
    unstable = " at 0x" in repr(val) or isinstance(val, set | frozenset)
    return type(val).__name__ if unstable and not hasattr(val, "__name__") else None


def names_in_checkout() -> set[str]:
    return {path.name for path in CHECKOUT.iterdir() if not path.name.startswith(".coverage")} - TOOLS


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[NAMES] = names_in_checkout()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the whole run when tests have left something in the checkout, where a relative path would put it."""
    left = names_in_checkout() - session.config.stash[NAMES]
    if left and not hasattr(session.config, "workerinput"):
        reporter = session.config.pluginmanager.getplugin("terminalreporter")
        reporter.write_line(f"Tests left in the checkout: {', '.join(sorted(left))}.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


NAMES = pytest.StashKey[set[str]]()
