from pathlib import Path

import pytest

from mml.config_docs import GroupDoc, KeyDoc, TreeDoc, key_docs, option_doc, read_tree

ROOT = """
defaults:
  - _self_
  # How weights follow
  # gradients.
  - optimizer: adamw
  - bare: one
  - override hydra/job_logging: none

# A number.
seed: 42
"""
ADAMW = """# Adam, with decay.
# mml train optimizer=adamw
# `mml train optimizer.lr=0.1`

# Step size, per step.
lr: 0.001
# Momenta.
betas: [0.9, 0.999]
nested:
  # Deep.
  key: null
  # Nothing in it.
  empty: {}
"""


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_comment_above_a_key_explains_it() -> None:
    assert list(key_docs(ADAMW, "optimizer")) == [
        KeyDoc("optimizer.lr", "0.001", "Step size, per step.", True),
        KeyDoc("optimizer.betas", "[0.9,0.999]", "Momenta.", True),
        KeyDoc("optimizer.nested", "", "", False),
        KeyDoc("optimizer.nested.key", "null", "Deep.", True),
        KeyDoc("optimizer.nested.empty", "{}", "Nothing in it.", True),
    ]


def test_a_comment_of_several_lines_becomes_one_paragraph_and_an_empty_line_ends_it() -> None:
    text = "# Not this.\n\n# One\n#   two.\nkey: ''\n"
    assert list(key_docs(text, "")) == [KeyDoc("key", "''", "One two.", True)]


def test_the_comment_at_the_start_explains_the_option_and_its_commands_are_examples() -> None:
    doc = option_doc(ADAMW, "optimizer", "adamw")
    assert doc.text == "Adam, with decay."
    assert doc.examples == ("mml train optimizer=adamw", "mml train optimizer.lr=0.1")


def test_a_comment_that_touches_the_first_key_is_not_about_the_option() -> None:
    doc = option_doc("# Step size.\nlr: 1\n", "optimizer", "sgd")
    assert doc.text == ""
    assert [key.text for key in doc.keys] == ["Step size."]


def test_hydras_header_is_no_comment_but_says_where_keys_belong() -> None:
    doc = option_doc("# @package _global_\n# Two tasks.\n\n# Names.\ntask_list: [a, b]\n", "tasks", "two")
    assert doc.text == "Two tasks."
    assert [(key.key, key.default) for key in doc.keys] == [("task_list", "[a,b]")]
    assert option_doc("# @package other.place\nkey: 1\n", "tasks", "x").keys[0].key == "other.place.key"
    assert option_doc("# @package _global_\n# Names.\nkey: 1\n", "tasks", "x").keys[0].text == "Names."


def test_an_option_without_keys_still_says_what_it_is() -> None:
    assert option_doc("# Nothing at all.\n", "tune", "none").text == "Nothing at all."
    assert option_doc("", "tune", "none").text == ""


def test_a_file_that_is_no_yaml_says_so_in_the_help_instead_of_breaking_it() -> None:
    doc = option_doc("key: [1\n", "tune", "broken")
    assert doc.text.startswith("Can't be read: ")
    assert doc.keys == ()


def test_a_tree_has_groups_in_the_order_of_the_defaults_list_with_their_comments(tmp_path: Path) -> None:
    folder = write(tmp_path, config=ROOT, optimizer__adamw=ADAMW, other__x="# X.\n", bare__one="# One.\n")
    write(tmp_path, **{"hydra__launcher__mine": "# Mine.\n"})
    (folder / "optimizer" / "README.md").touch()
    (folder / "__pycache__").mkdir()
    tree = read_tree([f"file://{folder}"])
    assert list(tree.groups) == ["optimizer", "bare", "hydra/launcher", "other"]
    assert tree.groups["optimizer"][:3] == ("optimizer", "How weights follow gradients.", "adamw")
    assert list(tree.groups["optimizer"].options) == ["adamw"]
    assert tree.groups["bare"].text == ""
    assert tree.groups["other"].default == ""
    assert tree.keys == (KeyDoc("seed", "42", "A number.", True),)


def test_options_of_several_folders_join_and_the_first_of_a_name_counts(tmp_path: Path) -> None:
    first = write(tmp_path / "a", config=ROOT, optimizer__adamw="# First.\n")
    second = write(tmp_path / "b", optimizer__adamw="# Second.\n", optimizer__lion="# Roars.\n")
    sources = [f"file://{first}", f"file://{second}", f"file://{tmp_path}/gone", "pkg://no_such_1", "structured://"]
    options = read_tree(sources).groups["optimizer"].options
    assert {name: option.text for name, option in options.items()} == {"adamw": "First.", "lion": "Roars."}


def test_an_option_has_the_keys_of_the_options_that_it_builds_on(tmp_path: Path) -> None:
    write(tmp_path, s__default="# D.\n\n# Size.\nsize: 1\n# Same.\nsame: 2\n")
    write(tmp_path, s__more="# M.\n\ndefaults:\n  - default\n  - _self_\n\n# Size.\nsize: 3\n# New.\nnew: 4\n")
    write(tmp_path, s__loop="# L.\n\ndefaults:\n  - loop\n  - more\n")
    options = read_tree([f"file://{tmp_path}"]).groups["s"].options
    assert [(key.key, key.default) for key in options["more"].keys] == [
        ("s.size", "3"),
        ("s.same", "2"),
        ("s.new", "4"),
    ]
    assert options["loop"].keys == options["more"].keys


def test_a_package_is_found_by_its_name_in_either_form() -> None:
    assert read_tree(["pkg://mml_configs"]).groups["mode"].options["info"].text
    assert isinstance(read_tree(["pkg://mml_configs/"]).groups["mode"], GroupDoc)


def test_an_empty_folder_is_an_empty_tree(tmp_path: Path) -> None:
    assert read_tree([f"file://{tmp_path}"]) == TreeDoc((), {})
    (tmp_path / "config.yaml").write_text("# Nothing.\n")
    assert read_tree([f"file://{tmp_path}"]) == TreeDoc((), {})


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n"])
def test_a_file_that_is_no_mapping_has_no_keys(text: str) -> None:
    assert option_doc(text, "g", "o").keys == ()
