"""What has to start at once must not load what takes seconds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "torchvision", "torchmetrics", "lightning", "timm", "optuna", "pandas", "matplotlib", "sklearn"}
IMPORT_LINE = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)


def imported(*args: str) -> set[str]:
    """Return the modules that a Python process with these arguments imports."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", *args],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    said = "\n".join(line for line in result.stderr.splitlines() if not line.startswith("import time:"))
    assert result.returncode == 0, result.stdout + said
    return set(IMPORT_LINE.findall(result.stderr))


@pytest.mark.parametrize(
    "args",
    [
        pytest.param([], id="home page"),
        pytest.param(["--help"], id="--help"),
        pytest.param(["help", "train"], id="help of a mode"),
        pytest.param(["--version"], id="--version"),
        pytest.param(["info"], id="info"),
        pytest.param(["clean"], id="clean"),
        pytest.param(["runs"], id="runs"),
        pytest.param(["status"], id="status"),
    ],
)
def test_a_command_that_answers_at_once_loads_nothing_heavy(args: list[str]) -> None:
    modules = imported("-m", "mml", *args)
    assert "mml.cli" in modules
    assert modules & HEAVY == set()


@pytest.mark.parametrize(
    "module",
    [
        "mml.cli",
        "mml.core.data_loading.file_manager",
        "mml.core.data_loading.task_struct",
        "mml.core.scripts.base_scheduler",
        "mml.core.scripts.create_scheduler",
        "mml.core.scripts.factories",
        "mml.core.scripts.runs",
        "mml.picker",
        "mml.runs_gc",
        "mml.status_view",
        "mml.report",
    ],
)
def test_a_module_of_start_up_loads_nothing_heavy(module: str) -> None:
    modules = imported("-c", f"import {module}")
    assert module in modules
    assert modules & HEAVY == set()


def test_a_heavy_import_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "optuna.py").touch()
    assert imported("-c", "import optuna") & HEAVY == {"optuna"}
