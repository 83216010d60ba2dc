"""Path templates: checked when declared, filled, numbered, and found again."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.core.data_loading.path_templates import (
    GLOBAL_REUSABLE,
    PathTemplate,
    make_template,
    number_path,
    numbers_taken,
)
from mml.core.data_loading.task_description import validate_task_name
from mml.core.scripts.exceptions import PathTemplateError, TaskNameError

ROOT = Path("/results/proj")


def template(path: str | Path, numbered: bool = True, reusable: Any = False, key: str = "k") -> PathTemplate:
    return make_template(key, path, numbered, reusable, None)


# --- declaring


@pytest.mark.parametrize(
    ("path", "reusable"),
    [
        ("PROJ_PATH/x.npy", False),
        ("PROJ_PATH/x.npy", GLOBAL_REUSABLE),
        (Path("PROJ_PATH") / "FIMS" / "TASK_NAME" / "fim.npy", True),
        ("TEMP_PATH/FILE_NAME", False),
        ("PROJ_PATH/a/TASK_NAME/FILE_NAME", False),
        ("PROJ_PATH/TASK_NAME_FILE_NAME.json", False),
        ("PROJ_PATH/filenames.txt", False),
        ("PROJ_PATH/a/runs/x", False),
    ],
)
def test_template_that_can_be_used_is_taken(path: str | Path, reusable: Any) -> None:
    made = template(path, reusable=reusable)
    assert str(made.path) == str(path)
    assert made.reusable == reusable


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("", "it has to start with one of PROJ_PATH, TEMP_PATH"),
        ("x.npy", "it has to start with one of PROJ_PATH, TEMP_PATH"),
        ("/PROJ_PATH/x", "it has to start with one of PROJ_PATH, TEMP_PATH"),
        ("RESULTS/x", "it has to start with one of PROJ_PATH, TEMP_PATH"),
        ("PROJ_PATHS/x", "it has to start with one of PROJ_PATH, TEMP_PATH"),
        ("TASK_NAME/x", "it has to start with one of PROJ_PATH, TEMP_PATH"),
        ("PROJ_PATH", "it names no file below the first token"),
        ("PROJ_PATH/", "it names no file below the first token"),
        ("PROJ_PATH/../x", r"it holds '\.\.'"),
        ("PROJ_PATH/a\0b", r"it holds .* a zero byte"),
        ("PROJ_PATH/PROJ_PATH/x", "PROJ_PATH and TEMP_PATH may only stand at its start"),
        ("PROJ_PATH/a_TEMP_PATH", "PROJ_PATH and TEMP_PATH may only stand at its start"),
        ("PROJ_PATH/TASK_NAME/TASK_NAME.x", "a token stands in it twice"),
        ("PROJ_PATH/FILE_NAMEFILE_NAME", "a token stands in it twice"),
        ("PROJ_PATH/TASKNAME/x", "'TASKNAME' is no token. Did you mean 'TASK_NAME'"),
        ("PROJ_PATH/task_name/x", "'task_name' is no token. Did you mean 'TASK_NAME'"),
        ("PROJ_PATH/FILE-NAME", "'FILE-NAME' is no token. Did you mean 'FILE_NAME'"),
        ("PROJ_PATH/TASK_NAME/TASK_PATH", "'TASK_PATH' is no token"),
        ("PROJ_PATH/runs/x", "'runs' is a folder of mml's own"),
        ("PROJ_PATH/a/.claims", r"'\.claims' is a folder of mml's own"),
    ],
)
def test_path_that_can_not_be_used_is_refused_with_the_reason(path: str, fault: str) -> None:
    with pytest.raises(PathTemplateError, match=f"of key 'k' is refused: {fault}"):
        template(path)


@pytest.mark.parametrize(
    ("path", "reusable", "fault"),
    [
        ("PROJ_PATH/x", True, "files reused per task need TASK_NAME in their path; .* say 'global'"),
        ("PROJ_PATH/TASK_NAME/x", GLOBAL_REUSABLE, "one file per project can't have TASK_NAME .* say reusable=True"),
        ("PROJ_PATH/TASK_NAME/FILE_NAME", True, "with FILE_NAME in its path nobody could know which file to reuse"),
        ("PROJ_PATH/FILE_NAME", GLOBAL_REUSABLE, "with FILE_NAME in its path"),
        ("TEMP_PATH/TASK_NAME/x", True, "temporary files are gone when another run could reuse them"),
        ("PROJ_PATH/x", "yes", "reusable has to be True, False or 'global', not 'yes'"),
        ("PROJ_PATH/x", 1, "reusable has to be True, False or 'global', not 1"),
        ("PROJ_PATH/x", None, "reusable has to be True, False or 'global', not None"),
    ],
)
def test_reuse_that_can_not_work_is_refused_with_the_reason(path: str, reusable: Any, fault: str) -> None:
    with pytest.raises(PathTemplateError, match=fault):
        template(path, reusable=reusable)


@pytest.mark.parametrize("key", ["", "a b", "a/b", "a.b", "-a", None, 3.5, "a=b", "clean_up"])
def test_key_that_can_not_be_typed_is_refused(key: Any) -> None:
    with pytest.raises(PathTemplateError, match="a key is made of letters, digits, '_' and '-'"):
        template("PROJ_PATH/x", key=key)


@pytest.mark.parametrize("obj_cls", ["int", 3, len, int | str])
def test_obj_cls_that_is_no_class_is_refused(obj_cls: Any) -> None:
    with pytest.raises(PathTemplateError, match="obj_cls has to be a class or None, not"):
        make_template("k", "PROJ_PATH/x", True, False, obj_cls)


@pytest.mark.parametrize(
    ("path", "per_task", "per_file_name", "temporary"),
    [
        ("PROJ_PATH/TASK_NAME/x", True, False, False),
        ("PROJ_PATH/FILE_NAME", False, True, False),
        ("TEMP_PATH/TASK_NAME/FILE_NAME", True, True, True),
    ],
)
def test_template_knows_what_it_needs(path: str, per_task: bool, per_file_name: bool, temporary: bool) -> None:
    made = template(path)
    assert (made.per_task, made.per_file_name, made.temporary) == (per_task, per_file_name, temporary)


# --- filling and numbering


def test_tokens_are_filled() -> None:
    made = template("PROJ_PATH/X/TASK_NAME/FILE_NAME")
    assert made.fill(ROOT, "pets", "a.csv") == ROOT / "X" / "pets" / "a.csv"
    assert template("TEMP_PATH/x").fill(Path("/t"), None, None) == Path("/t/x")


@pytest.mark.parametrize(
    ("name", "number", "numbered"),
    [
        ("model.safetensors", 1, "model_0001.safetensors"),
        ("model", 12, "model_0012"),
        ("x.tar.gz", 3, "x_0003.tar.gz"),
        ("task.v2.json", 3, "task.v2_0003.json"),
        ("v1.5 run", 3, "v1.5 run_0003"),
        ("run.2024", 3, "run.2024_0003"),
        (".hidden", 3, ".hidden_0003"),
        ("x.json", 12345, "x_12345.json"),
        ("a_0001.json", 2, "a_0001_0002.json"),
    ],
)
def test_number_stands_before_the_suffix(name: str, number: int, numbered: str) -> None:
    assert number_path(ROOT / name, number) == ROOT / numbered
    assert numbers_taken(ROOT / name, [numbered]) == [number]


def test_names_of_another_form_take_no_number() -> None:
    foreign = [
        "model.txt",
        "model_final.txt",
        "model_12.txt",
        "model_0001.json",
        "model_0001.txt.bak",
        "other_model_0001.txt",
        "model_0001 (copy).txt",
        "model_-0001.txt",
        "model_٠٠٠١.txt",
        ".model_0001.txt.abcdefgh.tmp",
        "MODEL_0001.txt",
        "model_0001_0001.txt",
    ]
    assert numbers_taken(Path("model.txt"), foreign) == []
    assert numbers_taken(Path("model.txt"), [*foreign, "model_0007.txt", "model_00012.txt"]) == [7, 12]


# --- finding again


TEMPLATES = [
    "PROJ_PATH/A/TASK_NAME/model.safetensors",
    "PROJ_PATH/A/TASK_NAME/FILE_NAME",
    "PROJ_PATH/A/x.tar.gz",
    "PROJ_PATH/TASK_NAME.json",
    "PROJ_PATH/FILE_NAME.json",
    "PROJ_PATH/A/folder",
    "PROJ_PATH/TASK_NAME/B/plot.png",
]


def is_task(name: str) -> bool:
    try:
        return bool(validate_task_name(name))
    except TaskNameError:
        return False


TASKS = st.text("ab.1_-+?", min_size=1, max_size=8).filter(is_task)
FILES = st.from_regex(r"[a-z0-9_-]{1,6}(\.[a-z0-9]{1,4}){0,2}", fullmatch=True)


@given(st.sampled_from(TEMPLATES), st.booleans(), TASKS, FILES, st.integers(1, 99_999))
def test_every_path_that_a_template_makes_is_found_by_its_pattern(
    path: str, numbered: bool, task: str, file: str, number: int
) -> None:
    made = template(path, numbered)
    filled = made.fill(ROOT, task if made.per_task else None, file if made.per_file_name else None)
    target = number_path(filled, number) if numbered else filled
    match = made.pattern().fullmatch(target.relative_to(ROOT).as_posix())
    assert match is not None
    found = match.groupdict()
    assert found.get("task", task) == task
    assert found.get("number") == (f"{number:04}" if numbered else None)


@pytest.mark.parametrize(
    "path",
    [
        "A/t/model.safetensors",
        "A/t/model_1.safetensors",
        "A/t/x/model_0001.safetensors",
        "A/model_0001.safetensors",
        "B",
    ],
)
def test_other_paths_are_not_found(path: str) -> None:
    assert template("PROJ_PATH/A/TASK_NAME/model.safetensors").pattern().fullmatch(path) is None
