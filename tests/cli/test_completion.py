import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mml.completion import Line, hydra_line, own_words, split_line
from tests.cli.conftest import Mml, Said
from tests.conftest import MmlCli
from tests.support.fake_plugins import install_plugin, install_toy, path_with

MODES = ["clean", "info", "train"]


def offered(mml: Mml, line: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what TAB offers at the end of a line."""
    monkeypatch.setenv("COMP_LINE", line)
    said: Said = mml("-sc", "query=bash")
    assert (said.code, said.err) == (0, "")
    return said.out.split()


@pytest.mark.parametrize(
    ("line", "words", "word"),
    [
        ("mml", (), ""),
        ("mml ", (), ""),
        ("mml tr", (), "tr"),
        ("mml train ", ("train",), ""),
        ("mml train opt", ("train",), "opt"),
    ],
)
def test_the_last_word_is_the_one_being_typed(line: str, words: tuple[str, ...], word: str) -> None:
    assert split_line(line) == Line(words, word)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mml ", ["clean", "continue", "doctor", "help", "info", "plan", "runs", "status", "train"]),
        ("mml c", ["clean", "continue"]),
        ("mml -m tr", ["train"]),
        ("mml train tr", []),
        ("mml train --mul", ["--multirun"]),
        ("mml continue ", ["latest"]),
        ("mml continue latest ", []),
        ("mml continue --fork ", ["latest"]),
        ("mml continue latest --f", ["--fork"]),
        ("mml train --f", []),
        ("mml train fork=l", ["fork=latest"]),
        ("mml train continue=l", ["continue=latest"]),
        ("mml help hp", ["hpo", "hpo=grid"]),
        ("mml pl", ["plan"]),
        ("mml plan ", ["clean", "continue", "info", "train"]),
        ("mml plan --json tr", ["train"]),
        ("mml plan train ", []),
        ("mml plan continue --fork ", ["latest"]),
        ("mml plan continue latest ", []),
        ("mml plan fork=l", ["fork=latest"]),
        ("mml plan --", ["--all", "--config-dir", "--config-name", "--help", "--json", "--multirun", "--out"]),
        ("mml plan continue latest --f", ["--fork"]),
    ],
)
def test_what_hydra_does_not_know_is_offered_by_mml(line: str, expected: list[str]) -> None:
    assert own_words(split_line(line), MODES) == expected


def test_names_of_tasks_and_runs_are_offered(toy: Mml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MML_DATA_PATH", str(tmp_path / "data"))
    for name in ("digits", "dogs"):
        (tmp_path / "data" / "tasks" / name).mkdir(parents=True)
        (tmp_path / "data" / "tasks" / name / "task.json").touch()
    toy("toy", "mode.n=0")
    (run,) = (tmp_path / "results" / "default" / "runs").iterdir()
    assert own_words(split_line("mml train task=d"), MODES) == ["task=digits", "task=dogs"]
    assert own_words(split_line("mml continue 2"), MODES) == [run.name]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mml ", "mml "),
        ("mml opt", "mml opt"),
        ("mml train opt", "mml mode=train opt"),
        ("mml other opt", "mml other opt"),
        ("mml train -m --cfg job opt", "mml --multirun mode=train job opt"),
        ("mml continue latest logging.", "mml logging."),
        ("mml continue a=1 ", "mml a=1 "),
        ("mml continue ", None),
        ("mml continue --fork ", None),
        ("mml continue latest --fork a=1 b", "mml a=1 b"),
        ("mml help opt", None),
        ("mml plan opt", "mml opt"),
        ("mml plan --all train opt", "mml mode=train opt"),
        ("mml plan continue latest --json logging.", "mml logging."),
        ("mml plan --o", None),
        ("mml train --mu", None),
    ],
)
def test_hydra_completes_a_line_that_it_understands(line: str, expected: str | None) -> None:
    assert hydra_line(split_line(line), MODES) == expected


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("mml in", ["info"]),
        ("mml info hp", ["hpo="]),
        ("mml info hpo=", ["hpo=grid"]),
        ("mml info mode.gri", ["mode.grid_columns=", "mode.grid_pixels="]),
        ("mml continue latest logging.l", ["logging.level="]),
        ("mml --multirun info seed", ["seed="]),
    ],
)
def test_keys_groups_and_options_are_offered(
    mml: Mml, monkeypatch: pytest.MonkeyPatch, line: str, some: list[str]
) -> None:
    assert offered(mml, line, monkeypatch) == some


@pytest.mark.parametrize(
    "line", ["mml info task=[a ", "mml info sed=1 see", "mml info continue=nope see", "mml info --c "]
)
def test_a_line_that_makes_no_sense_gets_no_offer_and_no_complaint(
    mml: Mml, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    assert isinstance(offered(mml, line, monkeypatch), list)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_the_shell_is_printed(mml: Mml, shell: str) -> None:
    said = mml("-sc", f"install={shell}")
    assert said.code == 0
    assert "query=" in said.out
    assert mml("-sc", f"uninstall={shell}").code == 0


@pytest.mark.parametrize(
    "words", [["-sc"], ["-sc", "install=csh"], ["-sc", "instal=bash"], ["-sc", "install=bash", "x=1"]]
)
def test_other_wishes_are_refused(mml: Mml, words: list[str]) -> None:
    said = mml(*words)
    assert said.code == 2
    assert "with a shell among bash, zsh, fish" in said.err


def test_plugins_join_in_and_broken_or_loud_ones_are_not_heard(mml_cli: MmlCli, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install_toy(site)
    install_plugin(site, "bad", "p_bad", {"p_bad.py": "print('loud')\nimport no_such_module_1"})
    env = {**path_with(site), "COMP_LINE": "mml to"}
    said = mml_cli("-sc", "query=bash", env=env)
    assert (said.stdout.split(), said.stderr) == (["toy"], "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_the_program_with_the_script(tmp_path: Path) -> None:
    """Does what bash does at TAB: it calls the registered function with the words, and reads COMPREPLY."""
    (tmp_path / "mml").write_text(f'#!/bin/bash\nexec "{sys.executable}" -m mml "$@"\n')
    (tmp_path / "mml").chmod(0o755)
    script = """
        eval "$(mml -sc install=bash)"
        complete -p mml | grep -q hydra_bash_completion || exit 3
        COMP_LINE="mml info hpo=g"; COMP_POINT=${#COMP_LINE}; COMP_WORDS=(mml info hpo=g); COMP_CWORD=2
        hydra_bash_completion
        echo "${COMPREPLY[@]}"
    """
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    said = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout.strip()) == (0, "hpo=grid"), said.stderr
