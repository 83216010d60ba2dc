"""The sub-verbs of `mml runs`: each has a help, and none loads what it does not need."""

import sys
from pathlib import Path

import pytest

from mml.runs_cli import LIST, SUB_VERBS, make_parser, sub_verb
from tests.cli.conftest import Mml
from tests.conftest import MmlCli
from tests.packaging.test_startup_imports import HEAVY, imported
from tests.support.runs import make_run


@pytest.mark.parametrize("name", [name for name in SUB_VERBS if name != LIST])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_each_sub_verb_has_a_help(mml: Mml, name: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        mml("runs", name, flag)
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: mml runs {name} ")
    assert SUB_VERBS[name].text in " ".join(out.split())
    assert "--out-dir" in out


def test_help_of_the_list_names_the_other_verbs(mml_cli: MmlCli) -> None:
    said = mml_cli("runs", "--help")
    assert said.returncode == 0
    for name in SUB_VERBS:
        assert name == LIST or f"mml runs {name}" in said.stdout
    assert "Examples:" in said.stdout
    assert mml_cli("runs", "list", "-h").stdout == said.stdout


@pytest.mark.parametrize("verb", ["runs", "status", "doctor", "continue", "plan"])
def test_verbs_are_in_the_overview_and_can_be_asked_for(mml: Mml, verb: str) -> None:
    assert f"\n{verb}" in mml("--help").out
    assert mml("help", verb).out.startswith(f"{verb}: ")


@pytest.mark.parametrize(
    ("words", "name", "rest"),
    [
        ([], LIST, []),
        (["text"], LIST, ["text"]),
        (["list", "text"], LIST, ["text"]),
        (["show", "x"], "show", ["x"]),
        (["--json", "show"], LIST, ["--json", "show"]),
    ],
)
def test_the_first_word_is_the_sub_verb(words: list[str], name: str, rest: list[str]) -> None:
    assert sub_verb(words) == (name, rest)


@pytest.mark.parametrize("name", ["show", "log", "diff", "label", "rm"])
def test_without_a_run_it_says_what_is_missing(mml: Mml, name: str) -> None:
    said = mml("runs", name)
    assert said.code == 2
    assert "required: " in said.err
    assert f"See `mml runs {name} --help`." in said.err


def test_every_flag_is_explained() -> None:
    for name in SUB_VERBS:
        assert [action.dest for action in make_parser(name)._actions if not action.help] == []


@pytest.mark.parametrize("words", [["runs"], ["runs", "show", "latest"], ["runs", "gc"], ["status"]])
def test_no_verb_loads_what_takes_seconds(tmp_path: Path, words: list[str]) -> None:
    make_run(tmp_path)
    modules = imported("-m", "mml", *words, f"out_dir={tmp_path}")
    assert modules & (HEAVY | {"hydra"}) == set()


def test_a_list_loads_little(tmp_path: Path) -> None:
    make_run(tmp_path)
    modules = imported("-m", "mml", "runs", f"out_dir={tmp_path}")
    assert modules & {"rich", "omegaconf", "filelock", "numpy", "yaml", "tempfile", "secrets"} == set()
    assert sys.platform == "win32" or "fcntl" in modules
