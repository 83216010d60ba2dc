"""Runners of other distributions: `runner=<name>` works without a YAML file, and a broken one is named and skipped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.object_type import ObjectType

from mml.core.scripts.runner_options import RunnerOption, option_text
from mml.runner_source import RunnerSource
from mml.runners.serial import SerialRunner
from tests.support.fake_plugins import install_plugin, install_runner, install_toy, path_with

FARM = RunnerOption("farm", "mml-farm", option_text("mml.runners.serial.SerialRunner", SerialRunner))
YAML_OF_ITS_OWN = """
# Runs on a farm, as its YAML file says.

# Class of the runner.
_target_: farm_runner.ToyRunner
# What to say.
greeting: from the file
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with distributions: a good runner, a broken one, one that wants the place of `serial`."""
    folder = tmp_path_factory.mktemp("site")
    install_toy(folder)
    install_runner(folder, "farm")
    install_runner(folder, "torn", code="import no_such_module_1")
    install_runner(folder, "serial", code="from farm_runner import ToyRunner")
    return folder


def mml(site: Path, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    places = {"MML_DATA_PATH": str(site / "data"), "MML_RESULTS_PATH": str(site / "results")}
    return subprocess.run(
        [sys.executable, "-m", "mml", *words],
        env={**os.environ, **path_with(site), **places, **env, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        cwd=site,
        timeout=120,
    )


def test_runner_of_a_plugin_runs_steps_and_takes_settings(site: Path) -> None:
    child = mml(site, "toy", "runner=farm", "runner.times=3", "proj=farm")
    assert child.returncode == 0, child.stderr
    assert "TOY hello: you 3 ['a', 'b']" in child.stdout
    assert "is finished: 3 steps" in child.stdout


def test_broken_runner_is_named_and_skipped(site: Path) -> None:
    child = mml(site, "toy", "proj=other")
    assert child.returncode == 0, child.stderr
    fault = "is skipped: ModuleNotFoundError: No module named 'no_such_module_1'"
    assert f"Warning: runner torn (mml-torn 1.2.3) {fault}" in child.stderr
    assert "TOY" not in child.stdout


def test_nobody_takes_the_name_of_a_runner_of_mml(site: Path) -> None:
    child = mml(site, "toy", "runner=serial", "--cfg", "job")
    assert "_target_: mml.runners.serial.SerialRunner" in child.stdout
    assert "runner serial (mml-serial 1.2.3) is skipped" in child.stderr
    assert "mml has a runner 'serial' of its own" in child.stderr


def test_near_miss_is_told_the_name(site: Path) -> None:
    child = mml(site, "toy", "runner=frm")
    assert child.returncode == 2
    assert "Unknown option of 'runner' 'frm'. Did you mean 'farm'?" in " ".join(child.stderr.split())


def test_unknown_setting_of_the_runner_is_told_the_name(site: Path) -> None:
    child = mml(site, "toy", "runner=farm", "runner.greting=x")
    assert child.returncode == 2
    assert "runner.greeting" in child.stderr


def test_help_tells_what_the_class_says(site: Path) -> None:
    group, option = mml(site, "help", "runner").stdout, mml(site, "help", "runner=farm").stdout
    assert "Runs steps here, and greets." in group
    assert "torn" not in group
    assert "what to say, at the start." in option
    assert "runner.times" in option


def test_completion_offers_it(site: Path) -> None:
    child = mml(site, "-sc", "query=bash", COMP_LINE="mml toy runner=fa", COMP_POINT="17")
    assert child.stdout.split() == ["runner=farm"], child.stderr


def test_version_names_it(site: Path) -> None:
    said = mml(site, "--version").stdout
    assert "runner farm (mml-farm 1.2.3)\n" in said
    assert "plugin toy (mml-toy 1.2.3)\n" in said


def test_yaml_file_of_the_plugin_comes_first(tmp_path: Path) -> None:
    install_runner(tmp_path, "farm")
    code = "from mml.core.scripts.plugins import add_config_search_path as add\nadd('pkg://own_configs')"
    files = {"own.py": code, "own_configs/__init__.py": "", "own_configs/runner/farm.yaml": YAML_OF_ITS_OWN}
    install_plugin(tmp_path, "own", "own", files)
    assert "greeting: from the file" in mml(tmp_path, "mode=info", "runner=farm", "--cfg", "job").stdout
    assert "as its YAML file says" in mml(tmp_path, "help", "runner").stdout


def test_first_of_two_distributions_has_the_name(tmp_path: Path) -> None:
    install_runner(tmp_path, "farm")
    twin = tmp_path / "zzz_farm-1.0.dist-info"
    twin.mkdir()
    (twin / "METADATA").write_text("Metadata-Version: 2.1\nName: zzz-farm\nVersion: 1.0\n")
    (twin / "entry_points.txt").write_text("[mml.runners]\nfarm = farm_runner:Other\n")
    said = mml(tmp_path, "--version").stdout
    assert "runner farm (mml-farm 1.2.3)\n" in said
    assert "runner farm (zzz-farm 1.0) is skipped" in said
    assert "mml-farm brings a runner of this name, too" in said


def test_source_has_one_group() -> None:
    source = RunnerSource([FARM])
    assert (source.available(), source.is_group("runner"), source.is_group("")) == (True, True, False)
    assert source.list("", None) == source.list("", ObjectType.GROUP) == ["runner"]
    assert source.list("runner", None) == source.list("runner/", ObjectType.CONFIG) == ["farm"]
    assert source.list("", ObjectType.CONFIG) == source.list("runner", ObjectType.GROUP) == []
    assert source.is_config("runner/farm")
    assert source.is_config("runner/farm.yaml")
    assert not source.is_config("runner/other")


def test_source_without_runners_is_empty() -> None:
    source = RunnerSource([])
    assert not source.is_group("runner")
    assert source.list("", None) == source.list("runner", None) == []


def test_option_says_who_brings_it() -> None:
    result = RunnerSource([FARM]).load_config("runner/farm")
    assert (result.provider, result.config) == ("mml-farm", {"_target_": "mml.runners.serial.SerialRunner"})
