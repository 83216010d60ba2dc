import os
from pathlib import Path

import pytest

from mml.core.data_loading import claims
from mml.core.data_loading.cleanup import (
    KindFile,
    claimed_since,
    find_kind_files,
    find_leftovers,
    remove,
    remove_with_claim,
    wanted_kinds,
)
from mml.core.data_loading.path_templates import PathTemplate, make_template
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError

TEMPLATES = {
    key: make_template(key, path, numbered, False, None)
    for key, path, numbered in [
        ("parameters", "PROJ_PATH/PARAMETERS/TASK_NAME/model.safetensors", True),
        ("plots", "PROJ_PATH/PLOTS/TASK_NAME/FILE_NAME", True),
        ("chart", "PROJ_PATH/PLOTS/TASK_NAME/chart.png", True),
        ("summary", "PROJ_PATH/summary.json", False),
        ("temp", "TEMP_PATH/FILE_NAME", False),
    ]
}
RUN = "2026-11-20_07-30-00_train"


def write(path: Path, owner: str | None = RUN) -> Path:
    """Write a file, claimed by a run as those from the file manager are; None for a file of somebody else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if owner is not None:
        assert claims.claim(path, owner)
    path.write_text("x")
    return path


def found(proj_path: Path) -> list[KindFile]:
    return list(find_kind_files(TEMPLATES.values(), proj_path))


def test_files_are_found_with_kind_task_and_owner(tmp_path: Path) -> None:
    weights = write(tmp_path / "PARAMETERS" / "digits" / "model_0001.safetensors")
    plot = write(tmp_path / "PLOTS" / "digits" / "curve_0003.png", "other_run")
    summary = write(tmp_path / "summary.json")
    assert found(tmp_path) == [
        KindFile("summary", summary, RUN, None),
        KindFile("parameters", weights, RUN, "digits"),
        KindFile("plots", plot, "other_run", "digits"),
    ]


def test_the_closest_template_names_the_kind(tmp_path: Path) -> None:
    write(tmp_path / "PLOTS" / "digits" / "chart_0001.png")
    assert [file.key for file in found(tmp_path)] == ["chart"]


def test_a_file_whose_name_tells_its_kind_needs_no_claim(tmp_path: Path) -> None:
    write(tmp_path / "PARAMETERS" / "digits" / "model_0001.safetensors", owner=None)
    assert [(file.key, file.owner) for file in found(tmp_path)] == [("parameters", None)]


@pytest.mark.parametrize(
    "name",
    [
        "PARAMETERS/digits/notes.txt",
        "PARAMETERS/digits/model.safetensors",
        "PARAMETERS/digits/deeper/model_0001.safetensors",
        "PARAMETERS/model_0001.safetensors",
        "PLOTS/digits/holiday_2024.png",  # has the form of a plot, but no run made it
        "PLOTS/digits/holiday.png",
        "summary_0001.json",
        "temp/scratch.txt",
        "runs/some_run/PARAMETERS/digits/model_0001.safetensors",
    ],
)
def test_files_of_somebody_else_are_not_found(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, owner=None)
    assert found(tmp_path) == []


def test_a_folder_is_ours_only_when_it_was_claimed(tmp_path: Path) -> None:
    (tmp_path / "PARAMETERS" / "digits" / "model_0001.safetensors").mkdir(parents=True)
    ours = tmp_path / "PLOTS" / "digits" / "frames_0001"
    ours.parent.mkdir(parents=True)
    claims.claim(ours, RUN)
    ours.mkdir()
    (ours / "frame.png").touch()
    (tmp_path / "PLOTS" / "digits" / "holiday_2024").mkdir()
    assert [file.path for file in found(tmp_path)] == [ours]


def test_links_are_neither_ours_nor_followed(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "digits" / "model_0001.safetensors", owner=None)
    project = tmp_path / "project"
    (project / "PLOTS").mkdir(parents=True)
    (project / "PARAMETERS").symlink_to(outside.parents[1])
    link = project / "PLOTS" / "digits" / "curve_0001.png"
    link.parent.mkdir()
    claims.claim(link, RUN)
    link.symlink_to(outside)
    assert found(project) == []


def test_a_project_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert found(tmp_path / "nowhere") == []
    assert list(find_leftovers(TEMPLATES.values(), tmp_path / "nowhere")) == []


def leftovers(proj_path: Path) -> list[KindFile]:
    return list(find_leftovers(TEMPLATES.values(), proj_path))


def test_a_claim_without_its_file_is_a_leftover(tmp_path: Path) -> None:
    written = write(tmp_path / "PLOTS" / "digits" / "curve_0001.png")
    never = written.with_name("curve_0002.png")
    claims.claim(never, RUN)
    assert leftovers(tmp_path) == [KindFile("plots", never, RUN, "digits")]


@pytest.mark.parametrize("name", [".curve_0002.png.a1b2c3d4.tmp", ".curve_0002.4711.tmp.png"])
def test_an_unfinished_write_of_a_claimed_file_is_a_leftover(tmp_path: Path, name: str) -> None:
    target = tmp_path / "PLOTS" / "digits" / "curve_0002.png"
    target.parent.mkdir(parents=True)
    claims.claim(target, RUN)
    half = write(target.with_name(name), owner=None)
    assert leftovers(tmp_path) == [KindFile("plots", path, RUN, "digits") for path in (half, target)]
    target.touch()
    assert [file.path for file in leftovers(tmp_path)] == [half]


def test_other_hidden_files_and_claims_of_no_kind_are_no_leftovers(tmp_path: Path) -> None:
    target = write(tmp_path / "PLOTS" / "digits" / "curve_0001.png")
    write(target.with_name(".curve_0001.png.swp"), owner=None)
    write(target.with_name(".other_0001.png.a1b2c3d4.tmp"), owner=None)
    foreign = tmp_path / "PARAMETERS" / "digits" / "notes.txt"
    foreign.parent.mkdir(parents=True)
    claims.claim(foreign, RUN)
    assert leftovers(tmp_path) == []


def test_only_kinds_set_to_true_are_wanted() -> None:
    assert wanted_kinds({"plots": True, "chart": False, "parameters": None}, TEMPLATES) == ["plots"]


def test_an_unknown_kind_is_refused_with_the_nearest_name() -> None:
    known: dict[str, PathTemplate] = TEMPLATES
    with pytest.raises(UnknownNameError, match="'plot'. Did you mean 'plots'?"):
        wanted_kinds({"plot": False}, known)


def test_removing_a_file_frees_its_number(tmp_path: Path) -> None:
    file = write(tmp_path / "PLOTS" / "digits" / "curve_0001.png")
    remove_with_claim(file)
    assert list(file.parent.iterdir()) == []
    assert claims.claim(file, "another_run")


def test_removing_a_link_leaves_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    kept = write(tmp_path / "folder" / "kept.txt", owner=None)
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    remove(tmp_path / "link")
    assert kept.exists()
    assert not (tmp_path / "link").is_symlink()


def test_removing_what_is_gone_is_no_error(tmp_path: Path) -> None:
    remove(tmp_path / "gone")
    remove_with_claim(tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    write(tmp_path / "folder" / "deep" / "file", owner=None)
    remove(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["no", "off", 0, 1, "", [True]])
def test_a_wish_that_is_neither_true_nor_false_is_refused(value: object) -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"reuse\.clean_up\.plots=.* is neither true nor false"):
        wanted_kinds({"plots": value}, TEMPLATES)


def test_a_kind_that_is_not_decided_on_stays() -> None:
    assert wanted_kinds({"plots": None}, TEMPLATES) == []


def test_what_a_run_claimed_since_a_moment_is_found(tmp_path: Path) -> None:
    for folder, name, owner, age in [
        ("A/x", "new_0001.txt", "mine", 0),
        ("A", "old_0001.txt", "mine", 1000),
        ("A", "other_0001.txt", "others", 0),
        ("runs/r", "run.txt", "mine", 0),
    ]:
        mark = tmp_path / folder / claims.CLAIMS_FOLDER / name
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(owner)
        os.utime(mark, (10_000 - age, 10_000 - age))
    assert list(claimed_since(tmp_path, "mine", 9_999)) == [tmp_path / "A" / "x" / "new_0001.txt"]
    assert len(list(claimed_since(tmp_path, "mine", 0))) == 2
