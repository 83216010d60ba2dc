"""What code is: told from real files, real repositories and real distributions."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from mml.core.scripts.drift_code import code_versions, describe_code, package_places, same_code, source_digest
from tests.support.fake_plugins import install_plugin, install_toy, path_with

DIGEST = "[0-9a-f]{12}"


def git(folder: Path, *words: str) -> None:
    names = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **dict.fromkeys(names, "a@b")}
    subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return the folder of a package in a repository of its own."""
    folder = tmp_path / "repo" / "src" / "own"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("x = 1\n")
    (folder / "conf.yaml").write_text("a: 1\n")
    (tmp_path / "repo" / ".gitignore").write_text("env/\n__pycache__/\n")
    git(tmp_path / "repo", "init", "-q")
    git(tmp_path / "repo", "add", ".")
    git(tmp_path / "repo", "commit", "-qm", "all")
    return folder


def test_code_in_a_repository_names_the_commit(package: Path) -> None:
    text = describe_code("1.2", [package])
    assert re.fullmatch(rf"1\.2, commit {DIGEST}, files {DIGEST}", text)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "own.pyc").write_bytes(b"1")
    assert describe_code("1.2", [package]) == text


@pytest.mark.parametrize("change", ["edit", "add", "remove", "stage"])
def test_changes_that_are_not_committed_are_said_and_change_the_digest(package: Path, change: str) -> None:
    before = describe_code("1", [package])
    if change == "add":
        (package / "new.py").write_text("")
    elif change == "remove":
        (package / "conf.yaml").unlink()
    else:
        (package / "__init__.py").write_text("x = 2\n")
        if change == "stage":
            git(package, "add", ".")
    after = describe_code("1", [package])
    assert re.fullmatch(rf"1, commit {DIGEST} with changes, files {DIGEST}", after)
    assert not same_code(before, after)


def test_another_commit_of_the_same_files_is_the_same_code(package: Path) -> None:
    before = describe_code("1", [package])
    (package.parents[1] / "README.md").write_text("more")
    git(package, "add", "../..")
    git(package, "commit", "-qm", "more")
    after = describe_code("1", [package])
    assert before != after
    assert same_code(before, after)
    assert not same_code(before, after.replace("1, ", "2, ", 1))


def test_a_change_beside_the_code_is_none_of_it(package: Path) -> None:
    before = describe_code("1", [package])
    (package.parents[1] / "notes.txt").write_text("more")
    assert describe_code("1", [package]) == before


def test_code_without_a_repository_has_a_digest_alone(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("x = 1")
    text = describe_code("1", [tmp_path / "own.py"])
    assert re.fullmatch(rf"1, files {DIGEST}", text)
    (tmp_path / "own.py").write_text("x = 2")
    assert not same_code(describe_code("1", [tmp_path / "own.py"]), text)


@pytest.mark.parametrize("place", ["env/own", "src/lib/site-packages/own"])
def test_an_environment_inside_of_a_checkout_is_none_of_it(package: Path, place: str) -> None:
    folder = package.parents[1] / place
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    assert "commit" not in describe_code("1", [folder])


def test_without_git_the_digest_decides(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe_code("1", [package])
    monkeypatch.setenv("PATH", "/nowhere")
    assert re.fullmatch(rf"1, files {DIGEST}", describe_code("1", [package]))
    assert same_code(before, describe_code("1", [package]))


def test_a_repository_without_a_commit_and_one_that_git_refuses_have_none(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("")
    git(tmp_path, "init", "-q")
    assert "commit" not in describe_code("1", [tmp_path / "own.py"])
    (tmp_path / ".git" / "HEAD").write_text("no reference")
    assert "commit" not in describe_code("1", [tmp_path / "own.py"])


def test_settings_of_git_in_the_environment_do_not_mislead(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe_code("1", [package])
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere")
    assert describe_code("1", [package]) == before


def test_the_digest_knows_names_and_contents_of_sources_alone(tmp_path: Path) -> None:
    (tmp_path / "own" / "deep").mkdir(parents=True)
    (tmp_path / "own" / "a.py").write_text("ab")
    (tmp_path / "own" / "deep" / "b.py").write_text("c")
    before = source_digest([tmp_path / "own"])
    (tmp_path / "own" / "weights.bin").write_bytes(b"1" * 100)
    (tmp_path / "own" / ".hidden.py").write_text("")
    assert source_digest([tmp_path / "own"]) == before
    (tmp_path / "own" / "a.py").write_text("a")
    (tmp_path / "own" / "deep" / "b.py").write_text("bc")
    moved = source_digest([tmp_path / "own"])
    (tmp_path / "own" / "a.py").rename(tmp_path / "own" / "c.py")
    assert len({before, moved, source_digest([tmp_path / "own"])}) == 3


def test_a_file_that_can_not_be_read_counts_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "gone.py").symlink_to("nowhere")
    assert source_digest([tmp_path]) != source_digest([tmp_path / "nowhere"])


def test_a_package_is_found_by_any_of_its_modules() -> None:
    import mml

    (folder,) = [Path(folder) for folder in mml.__path__]
    assert package_places("mml") == package_places("mml.core.scripts.drift_code") == [folder]
    assert package_places("this_module_is_not_there") == []
    (json,) = package_places("json.decoder")
    assert json.name == "json"


def test_a_namespace_is_not_taken_for_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "space" / "own").mkdir(parents=True)
    (tmp_path / "space" / "own" / "__init__.py").write_text("")
    (tmp_path / "space" / "single.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert package_places("space.own") == [tmp_path / "space" / "own"]
    assert package_places("space.single") == [tmp_path / "space" / "single.py"]
    assert package_places("space") == package_places("space.nothing") == []


def test_mml_itself_and_python_are_always_named() -> None:
    found = code_versions()
    assert found["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["mml-core"].startswith(f"{version('mml-core')}, ")


def test_plugins_that_are_loaded_are_named_with_their_configs(tmp_path: Path) -> None:
    install_toy(tmp_path)
    install_plugin(tmp_path, "bad", "mml_bad", {"mml_bad.py": "raise ValueError"})
    program = (
        "import json; from mml.core.scripts import drift_code, plugins\n"
        "if {load}: plugins.load_plugins()\n"
        "print(json.dumps(drift_code.code_versions()))"
    )

    def found(load: bool) -> dict[str, str]:
        command = [sys.executable, "-c", program.format(load=load)]
        child = subprocess.run(
            command, env={**os.environ, **path_with(tmp_path)}, capture_output=True, text=True, check=True
        )
        return dict(json.loads(child.stdout))

    assert sorted(found(load=False)) == ["Python", "mml-core"]
    before = found(load=True)
    assert sorted(before) == ["Python", "mml-core", "mml-toy"]
    assert before["mml-toy"].startswith("1.2.3, files ")
    (tmp_path / "mml_toy" / "configs" / "mode" / "toy.yaml").write_text("id: toy\n")
    assert found(load=True)["mml-toy"] != before["mml-toy"]
