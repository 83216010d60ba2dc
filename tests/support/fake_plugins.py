"""Plugins without pip: a package and a dist-info folder beside it, on `sys.path`, are an installed distribution."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

CHECKOUT = Path(__file__).parents[2]

# As published plugins do it: the module of the entry point registers a Hydra plugin when it is imported.
ACTIVATE = """
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from mml.core.data_loading.file_manager import MMLFileManager


class ToySearchPath(SearchPathPlugin):
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("mml-toy", "pkg://mml_toy.configs")


Plugins.instance().register(ToySearchPath)
MMLFileManager.add_assignment_path(None, "toy", "PROJ_PATH/TOY/TASK_NAME/toy.txt", True, True)
"""
TOY_MODE = """
# Works in small steps that may be told to fail.
# mml toy mode.n=5

# Name of the mode.
id: toy
# What carries the mode out.
scheduler:
  # Class of the scheduler.
  _target_: tests.support.toy_scheduler.Toy
# What to do, a list of: work, rest.
subroutines: [work]
# Number of steps, at least 0.
n: 3
# Where to fail: null or <place>:<what>.
trap: null
# Number of the step that adds another one; null for none.
grow_at: null
# File that gets a line for every place that is passed; null for none.
trace: null
"""


# A runner that does nothing else than the serial one, and says what it was made with.
TOY_RUNNER = """
    from mml.runners.serial import SerialRunner


    class ToyRunner(SerialRunner):
        '''Runs steps here, and greets.

        Args:
            greeting: what to say,
                at the start.
            times: how often.
        '''

        def __init__(self, greeting: str = "hello: you", times: int = 1, names: tuple[str, ...] = ("a", "b")) -> None:
            super().__init__()
            self.greeting, self.times, self.names = greeting, times, names

        def open(self, run):
            print("TOY", self.greeting, self.times, list(self.names), flush=True)
            return super().open(run)
"""


def install_runner(site: Path, name: str, code: str = TOY_RUNNER, made: str = "ToyRunner", **options: str) -> None:
    """Install a distribution `mml-<name>` with the module `<name>_runner` and an entry point for the class in it."""
    module = f"{name.replace('-', '_')}_runner"
    files = {f"{module}.py": code} if code else {}
    install_plugin(site, name, f"{module}:{made}", files, **options, group="mml.runners")


def install_plugin(
    site: Path, name: str, value: str, files: Mapping[str, str], version: str = "1.2.3", group: str = "mml.plugins"
) -> None:
    """Install a distribution with one entry point into the folder `site`.

    Args:
        site: a folder that is, or will be, on `sys.path`.
        name: of the entry point; the distribution is called `mml-<name>`.
        value: of the entry point, e.g. `mml_toy.activate`.
        files: path relative to `site` -> text.
        version: of the distribution.
        group: of the entry point.
    """
    info = site / f"mml_{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mml-{name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    for path, text in files.items():
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(dedent(text))


def install_toy(site: Path) -> None:
    """Install a plugin with a mode `toy`, whose scheduler is `tests.support.toy_scheduler.Toy`."""
    files = {
        "mml_toy/__init__.py": "",
        "mml_toy/activate.py": ACTIVATE,
        "mml_toy/configs/__init__.py": "",
        "mml_toy/configs/mode/toy.yaml": TOY_MODE,
    }
    install_plugin(site, "toy", "mml_toy.activate", files)


def path_with(site: Path) -> dict[str, str]:
    """Return the environment in which a child process finds the plugins in `site`."""
    return {"PYTHONPATH": f"{site}:{CHECKOUT}"}
