"""The plugin to copy from, installed for real beside this environment's packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MmlCli


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> dict[str, str]:
    """Return the environment of a process that has the plugin: a wheel of it is built and installed in a folder."""
    site = tmp_path_factory.mktemp("site")
    # What it requires is here already, and several gigabytes.
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir", "--target", str(site)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options]
    subprocess.run([*command, str(checkout / "plugins" / "_template")], check=True)
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def test_the_version_lists_the_plugin(mml_cli: MmlCli, installed: dict[str, str]) -> None:
    assert "plugin template (mml-template 0.1.0)" in mml_cli("--version", env=installed).stdout


def test_its_mode_is_explained_like_those_of_mml(mml_cli: MmlCli, installed: dict[str, str]) -> None:
    told = mml_cli("help", "brightness", env=installed)
    assert told.returncode == 0, told.stderr
    for word in ("mean image", "mode.bins", "measure", "compare"):
        assert word in told.stdout


def test_a_misspelt_mode_of_the_plugin_is_recognised(mml_cli: MmlCli, installed: dict[str, str]) -> None:
    refused = mml_cli("brightnes", "task=shapes", env=installed)
    assert refused.returncode == 2
    assert "brightness" in refused.stderr


def test_the_tests_that_it_brings_pass(tmp_path: Path, installed: dict[str, str], checkout: Path) -> None:
    # Away from its sources, so that what is installed is what is tested.
    shutil.copytree(checkout / "plugins" / "_template" / "tests", tmp_path / "tests")
    shutil.copy(checkout / "plugins" / "_template" / "pyproject.toml", tmp_path)
    options = ["-v", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}"]
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | installed, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for test in ("test_a_killed_run_goes_on_at_the_step_it_was_killed_in", "TestBrightness::test_killed_at_any_step"):
        assert any(test in line and "PASSED" in line for line in done.stdout.splitlines())


def test_what_its_mode_wrote_is_known_to_info_and_clean(mml_cli: MmlCli, installed: dict[str, str]) -> None:
    for words in (["create", "task=shapes"], ["brightness", "task=shapes"]):
        done = mml_cli(*words, env=installed)
        assert done.returncode == 0, done.stderr
    assert "brightness" in mml_cli("info", env=installed).stdout
    cleaned = mml_cli("clean", "mode.kinds=[brightness,mean_image,brightness_chart]", "mode.yes=true", env=installed)
    assert "Removed 7 files" in cleaned.stdout, cleaned.stderr


def test_without_the_plugin_its_task_is_unknown(mml_cli: MmlCli) -> None:
    refused = mml_cli("create", "task=shapes")
    assert refused.returncode == 2
    assert "shapes" in refused.stderr
