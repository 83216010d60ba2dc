"""What the tests share: the plugin loaded as `mml` loads it, and `mml` as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from mml.config_loading import compose
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.plugins import load_plugins

HERE = Path(__file__).parent

Mml = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session", autouse=True)
def plugins() -> None:
    """Load all installed plugins, this one among them."""
    faults = [report.fault for report in load_plugins() if report.name == "template"]
    assert faults == [None], f"install the plugin first (python3 -m pip install --editable {HERE.parent}): {faults}"


@pytest.fixture(autouse=True)
def no_globals() -> Iterator[None]:
    """Forget the file manager and Hydra's engine after each test."""
    yield
    MMLFileManager.clear_instance()
    GlobalHydra.instance().clear()


@pytest.fixture
def mml(tmp_path: Path) -> Mml:
    """Run `mml` in a process of its own, with data and results in `tmp_path`; `kill_at` is for `killed.py`."""

    def call(*args: str, kill_at: int | None = None) -> "subprocess.CompletedProcess[str]":
        paths = [str(HERE), os.environ.get("PYTHONPATH", "")]
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "MML_DATA_PATH": str(tmp_path / "data"),
            "MML_RESULTS_PATH": str(tmp_path / "results"),
            "KILL_AT": "" if kill_at is None else str(kill_at),
        }
        command = [sys.executable, "-m", "mml", *args]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)

    return call


def create_shapes(data_dir: Path) -> None:
    """Create the plugin's task with mml's own mode."""
    from hydra.utils import instantiate

    overrides = ["mode=create", "task=shapes", f"data_dir={data_dir}", f"out_dir={data_dir.parent / 'made'}"]
    cfg = compose([*overrides, "sys.num_workers=0", "logging.progress=false"])
    instantiate(cfg.mode.scheduler, cfg, _recursive_=False).run()
