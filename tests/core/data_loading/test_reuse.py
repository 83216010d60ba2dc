"""Reuse requests: read, checked, and answered with the files of other projects."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from mml.core.data_loading.path_templates import GLOBAL_REUSABLE, make_template
from mml.core.data_loading.reuse import (
    ReuseSource,
    check_projects,
    find_by_project,
    find_files,
    is_global,
    missing_error,
    parse_reuse,
    parse_source,
)
from mml.core.scripts.exceptions import ReuseError, UnknownNameError

TEMPLATES = {
    "parameters": make_template("parameters", "PROJ_PATH/P/TASK_NAME/model.st", True, True, None),
    "single": make_template("single", "PROJ_PATH/S/TASK_NAME/x.npy", False, True, None),
    "shared": make_template("shared", "PROJ_PATH/shared.npy", True, GLOBAL_REUSABLE, None),
    "plots": make_template("plots", "PROJ_PATH/PLOTS/FILE_NAME", True, False, None),
}


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


# --- reading requests


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("old", ReuseSource("old")),
        ("old#3", ReuseSource("old", 3)),
        ("old#0012", ReuseSource("old", 12)),
        ("my work", ReuseSource("my work")),
        (2024, ReuseSource("2024")),
    ],
)
def test_source_is_a_project_and_maybe_a_number(text: Any, source: ReuseSource) -> None:
    assert parse_source(text, "parameters") == source


@pytest.mark.parametrize("text", ["", "#3", "old#", "old#x", "old#1#2", "old#-1", "a/b", "a\\b", ".", "..", "../old"])
def test_other_source_is_refused_with_the_form_it_should_have(text: str) -> None:
    with pytest.raises(
        ReuseError, match=r"reuse\.parameters=.* is refused. Give a project, <project>#<number>, or a list"
    ):
        parse_source(text, "parameters")


@pytest.mark.parametrize(("source", "text"), [(ReuseSource("a"), "a"), (ReuseSource("a", 3), "a#3")])
def test_source_shows_as_it_was_given(source: ReuseSource, text: str) -> None:
    assert str(source) == text


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({}, {}),
        ({"parameters": None, "shared": False}, {}),
        ({"clean_up": {"parameters": True}}, {}),
        ({"parameters": "a"}, {"parameters": [ReuseSource("a")]}),
        ({"parameters": ["a", "b#2"]}, {"parameters": [ReuseSource("a"), ReuseSource("b", 2)]}),
        ({"parameters": []}, {}),
    ],
)
def test_requests_are_read_from_the_config(config: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert parse_reuse(config, TEMPLATES) == wanted


def test_lists_may_be_those_of_omegaconf() -> None:
    config = OmegaConf.create({"parameters": ["a"]})
    assert parse_reuse(dict(config), TEMPLATES) == {"parameters": [ReuseSource("a")]}


def test_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Unknown reuse key 'parameter'. Did you mean 'parameters'?"):
        parse_reuse({"parameter": "a"}, TEMPLATES)


def test_kind_that_can_not_be_reused_is_refused() -> None:
    with pytest.raises(ReuseError, match="Files of key 'plots' can't be reused. Known: parameters, shared, single."):
        parse_reuse({"plots": "a"}, TEMPLATES)


def test_projects_have_to_exist(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    touch(tmp_path / "older")
    check_projects({"parameters": [ReuseSource("old", 3)]}, tmp_path)
    for name in ("olde", "older"):
        with pytest.raises(
            UnknownNameError, match=rf"project in reuse\.parameters '{name}'. Did you mean 'old'?.* Results"
        ):
            check_projects({"parameters": [ReuseSource("old"), ReuseSource(name)]}, tmp_path)


def test_without_results_there_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="There is none yet"):
        check_projects({"parameters": [ReuseSource("old")]}, tmp_path / "missing")


# --- finding files


def test_numbered_files_are_found_oldest_first_and_foreign_ones_not(tmp_path: Path) -> None:
    folder = tmp_path / "old" / "P" / "pets"
    for name in ("model_0010.st", "model_0002.st", "model_final.st", "model_0003.json", ".model_0009.st.abc.tmp"):
        touch(folder / name)
    (folder / "model_0011.st").symlink_to("nowhere")
    touch(folder / ".claims" / "model_0012.st")
    found = find_files(TEMPLATES["parameters"], ReuseSource("old"), tmp_path, "pets")
    assert found == [folder / "model_0002.st", folder / "model_0010.st"]


def test_numbered_file_can_be_asked_for(tmp_path: Path) -> None:
    path = touch(tmp_path / "old" / "P" / "pets" / "model_0002.st")
    assert find_files(TEMPLATES["parameters"], ReuseSource("old", 2), tmp_path, "pets") == [path]
    assert find_files(TEMPLATES["parameters"], ReuseSource("old", 3), tmp_path, "pets") == []
    assert find_files(TEMPLATES["parameters"], ReuseSource("old", 2), tmp_path, "others") == []


def test_file_without_numbers_is_found_and_has_none(tmp_path: Path) -> None:
    assert find_files(TEMPLATES["single"], ReuseSource("old"), tmp_path, "pets") == []
    path = touch(tmp_path / "old" / "S" / "pets" / "x.npy")
    assert find_files(TEMPLATES["single"], ReuseSource("old"), tmp_path, "pets") == [path]
    assert find_files(TEMPLATES["single"], ReuseSource("old", 3), tmp_path, "pets") == []


def test_projects_are_searched_in_order(tmp_path: Path) -> None:
    paths = [touch(tmp_path / name / "shared_0001.npy") for name in ("a", "c")]
    sources = [ReuseSource(name) for name in ("c", "b", "a")]
    assert find_by_project(TEMPLATES["shared"], sources, tmp_path) == [[paths[1]], [paths[0]]]


def test_request_that_finds_nothing_is_told_with_what_to_do() -> None:
    error = missing_error("parameters", [ReuseSource("a"), ReuseSource("b", 2)], "pets")
    assert str(error).startswith("reuse.parameters=a, b#2: there is no file of kind 'parameters' for task 'pets'.")
    assert "set reuse.parameters=null" in str(error)
    assert "of the project" in str(missing_error("shared", [ReuseSource("a")], None))


@pytest.mark.parametrize(("key", "expected"), [("shared", True), ("parameters", False), ("plots", False)])
def test_kinds_with_one_file_for_a_project(key: str, expected: bool) -> None:
    assert is_global(TEMPLATES[key]) is expected
