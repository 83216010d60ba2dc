import io

import pytest
from rich.console import Console

from mml.config_docs import GroupDoc, KeyDoc, OptionDoc, TreeDoc
from mml.core.scripts.exceptions import UnknownNameError
from mml.help import examples, find_keys, load_tree, merged_keys, settable, show_help, topics


def said(*names: str) -> str:
    """Return what `mml help` prints, on one long line per row."""
    out = io.StringIO()
    show_help(names, Console(file=out, width=400))
    return out.getvalue()


def option(name: str, *keys: KeyDoc, examples: tuple[str, ...] = (), group: str = "g") -> OptionDoc:
    return OptionDoc(group, name, f"About {name}.", examples, keys, "")


def key(name: str, default: str = "1", text: str = "Text.", leaf: bool = True) -> KeyDoc:
    return KeyDoc(name, default, text, leaf)


def test_the_overview_has_modes_verbs_groups_keys_and_flags_each_with_what_it_is() -> None:
    text = said()
    for line in (
        "Usage: mml <mode> [key=value ...]",
        "info   ",
        "continue  Go on with a run",
        "optimizer=adamw  ",
        "seed  ",
        "--multirun, -m  ",
        "-sc install=bash",
    ):
        assert line in text
    assert "hydra.run.dir" not in text


def test_a_mode_shows_subroutines_keys_with_defaults_and_two_examples() -> None:
    text = said("info")
    assert "mml info" in text
    assert "[tasks,models,runs]  What to show" in text
    assert "mode.format        table" in text
    assert "Examples\nmml info " in text
    assert "mml info task=digits mode.sample_grid=true" in text
    assert "_target_" not in text
    assert "mode.id" not in text


def test_a_group_shows_its_options_the_default_one_marked_and_its_keys() -> None:
    text = said("hpo")
    assert "grid (default)  Every combination" in text
    assert "hydra.sweeper.max_batch_size  null" in text


def test_the_group_of_modes_lists_modes_but_not_all_their_keys() -> None:
    text = said("mode")
    assert "info (default)" in text
    assert "mode.format" not in text


@pytest.mark.parametrize("topic", ["hpo=grid", "hpo/grid"])
def test_an_option_can_be_asked_for(topic: str) -> None:
    assert "Every combination" in said(topic)


@pytest.mark.parametrize("topic", ["mode.grid_columns", "grid_columns"])
def test_a_key_is_found_by_its_name_or_its_last_part(topic: str) -> None:
    text = said(topic)
    assert text.startswith("mode.grid_columns\nImages per row")
    assert "Default: 8 (mode=info)" in text


def test_a_root_key_shows_its_default() -> None:
    assert "Default: 42\n" in said("seed")


def test_a_verb_can_be_asked_for() -> None:
    assert "mml continue [RUN]" in said("continue")


def test_several_topics_are_answered_one_after_the_other() -> None:
    text = said("seed", "proj")
    assert text.index("seed\n") < text.index("proj\n")


def test_an_unknown_topic_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Unknown help topic 'sed'. Did you mean 'seed'"):
        said("sed")


def test_every_topic_that_is_offered_is_answered() -> None:
    tree = load_tree()
    names = topics(tree)
    assert {"info", "hpo", "hpo=grid", "seed", "mode.format", "continue"} <= names
    assert said(*sorted(names)).count("\n") > len(names)


def test_one_wording_of_a_key_is_said_once_with_all_its_defaults() -> None:
    a, b = option("a", key("g.lr", "0.1")), option("b", key("g.lr", "0.2"), key("g.x", text="Other."))
    tree = TreeDoc((), {"g": GroupDoc("g", "", "a", {"a": a, "b": b})})
    assert find_keys(tree, "lr") == [("g=a", key("g.lr", "0.1")), ("g=b", key("g.lr", "0.2"))]
    assert find_keys(tree, "g.lr") == find_keys(tree, "lr")
    assert find_keys(tree, "g") == []


def test_keys_of_a_group_are_merged_and_name_the_option_where_they_differ() -> None:
    sgd = option("sgd", key("g.lr", "0.1"), key("g.same"), key("g.momentum", "0.9"))
    adam = option("adam", key("g.lr", "0.001"), key("g.same"))
    merged = merged_keys(GroupDoc("g", "", "sgd", {"adam": adam, "sgd": sgd}))
    assert [(doc.key, doc.default) for doc in merged] == [
        ("g.lr", "0.1 (sgd), 0.001 (adam)"),
        ("g.same", "1"),
        ("g.momentum", "0.9 (sgd)"),
    ]


def test_wiring_is_no_setting() -> None:
    wiring = [key("mode.id"), key("mode.scheduler", leaf=False), key("mode.scheduler._target_"), key("arch._partial_")]
    assert settable([*wiring, key("arch.width")]) == [key("arch.width")]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), ["mml go task=digits", "mml go task=digits mode.n=3"]),
        (("mml go now",), ["mml go now", "mml go task=digits"]),
        (("mml go a", "mml go b", "mml go c"), ["mml go a", "mml go b"]),
    ],
)
def test_a_mode_has_two_examples_its_own_first(given: tuple[str, ...], expected: list[str]) -> None:
    keys = (key("mode.id", "go"), key("mode.source", "null"), key("mode.n", "3"))
    assert examples(option("go", *keys, examples=given)) == expected
