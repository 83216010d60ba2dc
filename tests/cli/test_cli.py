import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Mml
from tests.conftest import MmlCli
from tests.support.fake_plugins import install_plugin, install_toy, path_with


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], ["help", "--help"]])
def test_help_alone_is_the_overview(mml: Mml, words: list[str]) -> None:
    said = mml(*words)
    assert said.code == 0
    assert "Usage: mml <mode>" in said.out


@pytest.mark.parametrize(
    "words", [["info", "--help"], ["info", "task=x", "-h"], ["--multirun", "info", "--help"], ["help", "info"]]
)
def test_help_with_a_command_is_about_its_mode(mml: Mml, words: list[str]) -> None:
    assert "mml info\nShow which tasks" in mml(*words).out


def test_help_about_nothing_known_is_wrong_usage(mml: Mml) -> None:
    said = mml("help", "optimzer")
    assert said.code == 2
    assert "Unknown help topic 'optimzer'. Did you mean 'optimizer'" in said.err


@pytest.mark.parametrize("words", [["--version"], ["-V"]])
def test_the_version_is_told(mml: Mml, words: list[str]) -> None:
    assert mml(*words).out.startswith("mml ")


def test_the_version_stands_alone(mml: Mml) -> None:
    said = mml("info", "--version")
    assert said.code == 2
    assert "--version stands alone, without info." in said.err


def test_an_unknown_first_word_is_wrong_usage(mml: Mml) -> None:
    said = mml("trian", "task=x")
    assert said.code == 2
    assert "Unknown mode 'trian'. Did you mean 'train'?" in said.err


def test_the_module_is_the_program(mml_cli: MmlCli) -> None:
    said = mml_cli("-sc", "install=bash")
    assert said.returncode == 0
    assert "complete -p mml " in said.stdout


def test_the_installed_command_is_the_program(tmp_path: Path) -> None:
    said = subprocess.run(
        [Path(sys.executable).with_name("mml"), "nope"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert said.returncode == 2
    assert "Unknown mode 'nope'" in said.stderr


@pytest.mark.parametrize("words", [["help", "mode"], ["info", "--cfg", "job"]])
def test_a_reader_that_has_left_is_no_failure(tmp_path: Path, words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    said = subprocess.run(
        [sys.executable, "-m", "mml", *words],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    os.close(writer)
    assert (said.returncode, said.stderr) == (0, "")


def test_what_wants_to_end_the_process_may(mml: Mml, toy_configs: Path) -> None:
    (toy_configs / "mode" / "leave.yaml").write_text("scheduler:\n  _target_: sys.exit\n")
    with pytest.raises(SystemExit):
        mml("leave", "--config-dir", str(toy_configs))


def test_modes_of_plugins_are_modes_and_a_broken_plugin_is_named_once_and_skipped(
    mml_cli: MmlCli, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    install_toy(site)
    install_plugin(site, "bad", "p_bad:gone", {"p_bad.py": ""})
    said = mml_cli("toy", "mode.n=1", "reuse.toy=null", env=path_with(site))
    assert said.returncode == 0, said.stderr
    warning = "Warning: plugin bad (mml-bad 1.2.3) is skipped: AttributeError"
    assert said.stderr.count("mml-bad") == said.stderr.count(warning) == 1
    text = mml_cli("help", "toy", env=path_with(site)).stdout
    assert "Works in small steps" in text
    assert "mml toy mode.n=5" in text
