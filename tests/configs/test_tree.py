"""The whole tree: every option composes, everything that it names exists, and every key says what it is for."""

from collections.abc import Iterator
from typing import Any

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from mml.config_docs import read_tree
from mml.config_loading import CONFIG_TREE, compose

TREE = read_tree([CONFIG_TREE])
CHOICES = [f"{group.name}={option}" for group in TREE.groups.values() for option in group.options]
GROUPS = {
    *("mode", "tasks", "reuse", "runner", "hpo", "search_space", "logging", "sys", "arch", "optimizer", "lr_scheduler"),
    "notify",
    *("loss", "metrics", "trainer", "sampling", "augmentations", "preprocessing", "callbacks", "tune"),
}


def targets(node: Any) -> Iterator[str]:
    """Yield every `_target_` in a plain config; null stands for none."""
    if isinstance(node, dict):
        yield from filter(None, [node.get("_target_")])
        node = list(node.values())
    for item in node if isinstance(node, list) else ():
        yield from targets(item)


def plain(*overrides: str) -> dict[str, Any]:
    config = OmegaConf.to_container(compose(overrides), resolve=True, throw_on_missing=True)
    assert isinstance(config, dict)
    return config


def test_the_groups_are_those_of_the_design_and_each_has_a_default_that_exists() -> None:
    assert set(TREE.groups) == GROUPS
    for group in TREE.groups.values():
        assert group.default in group.options, group.name


@pytest.mark.parametrize("choice", CHOICES)
def test_every_option_composes_and_resolves(choice: str) -> None:
    group = choice.partition("=")[0]
    config = plain(choice)
    assert config["mode"]["id"] == (choice.partition("=")[2] if group == "mode" else "info")
    assert "hydra" not in config


@pytest.mark.parametrize("mode", TREE.groups["mode"].options)
def test_every_mode_names_its_scheduler_and_subroutines(mode: str) -> None:
    config = plain(f"mode={mode}")["mode"]
    assert config["id"] == mode
    assert config["scheduler"]["_target_"].endswith(f".{mode}_scheduler.{mode.capitalize()}Scheduler")
    assert config["subroutines"]


def test_everything_that_a_config_names_exists() -> None:
    named = {target for choice in CHOICES for target in targets(plain(choice))}
    assert len(named) > len(TREE.groups["mode"].options)
    for target in sorted(named):
        assert callable(get_object(target)), target


def test_every_key_every_option_and_every_group_says_what_it_is_for() -> None:
    options = [option for group in TREE.groups.values() for option in group.options.values()]
    assert [group.name for group in TREE.groups.values() if not group.text] == []
    assert [f"{option.group}={option.name}" for option in options if not option.text] == []
    assert [
        f"{option.group}={option.name}: {key.key}" for option in options for key in option.keys if not key.text
    ] == []
    assert [key.key for key in TREE.keys if not key.text] == []


def test_urls_of_notifications_come_from_a_variable_and_stay_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plain()["notify"] == {"urls": [], "on": ["start", "finish", "failure", "interrupt"]}
    monkeypatch.setenv("MML_NOTIFY_URLS", "json://a  ntfy://b,c ")
    assert plain()["notify"]["urls"] == ["json://a", "ntfy://b,c"]
    assert compose([])._get_node("notify")._get_node("urls")._value() == "${mml.notify_urls:}"


def test_root_keys_are_those_of_the_design() -> None:
    keys = set(plain()) - set(TREE.groups)
    policy = {"on_error", "retries", "retries_lost", "retry_pause"}
    assert keys == {"task", "task_list", "pivot", "proj", "continue", "fork", "seed", "data_dir", "out_dir", *policy}


def test_the_tree_composes_with_hydra_alone() -> None:
    from hydra import compose as compose_alone
    from hydra import initialize_config_module

    with initialize_config_module("mml_configs", version_base="1.3"):
        cfg = compose_alone("config", ["mode=info", "task=[a,b]"])
        assert list(cfg.task_list) == ["a", "b"]
        assert cfg.out_dir.endswith("/results")
