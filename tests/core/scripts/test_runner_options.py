"""A class becomes the text of an option: its docstring the comments, the defaults of its arguments the values."""

from importlib.metadata import EntryPoint
from typing import Any

import pytest
import yaml

from mml.config_docs import option_doc
from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.runner_options import RUNNER_GROUP, RunnerOption, option_text, runner_option
from mml.runners.serial import SerialRunner


class Documented(SerialRunner):
    """Runs steps on a farm.

    It needs a farm.

    Args:
        address: where the farm is,
            with a port.
        workers (int): how many.

    Attributes:
        other: nothing that can be set.
    """

    def __init__(
        self,
        address: str,
        workers: int = 2,
        *names: str,
        queue: str | None = None,
        share: float = 0.5,
        sizes: tuple[int, ...] = (1, 2),
        tags: Any = object,
        more: dict[str, Any] | None = None,
        text: str = "a: b # c",
        **options: Any,
    ) -> None:
        super().__init__()


def test_arguments_become_keys_with_their_defaults() -> None:
    assert yaml.safe_load(option_text("farm.Documented", Documented)) == {
        "_target_": "farm.Documented",
        "address": "???",
        "workers": 2,
        "queue": None,
        "share": 0.5,
        "sizes": [1, 2],
        "more": None,
        "text": "a: b # c",
    }


def test_docstring_becomes_the_comments() -> None:
    option = option_doc(option_text("farm.Documented", Documented), "runner", "farm")
    told = {key.key: key.text for key in option.keys}
    assert option.text == "Runs steps on a farm."
    assert told["runner.address"] == "where the farm is, with a port."
    assert told["runner.workers"] == "how many."
    assert told["runner.queue"] == "See the documentation of the plugin."


def test_arguments_may_be_told_of_where_the_class_is_made() -> None:
    class Farm(SerialRunner):
        def __init__(self, depth: int = 1) -> None:
            """Make a farm.

            Args:
                depth: of the soil.
            """
            super().__init__()

    option = option_doc(option_text("farm.Farm", Farm), "runner", "farm")
    assert {key.key: key.text for key in option.keys}["runner.depth"] == "of the soil."


def test_class_without_a_docstring_has_a_comment_all_the_same() -> None:
    class Bare(SerialRunner):
        __doc__ = None

    assert option_text("farm.Bare", Bare).startswith("# A runner of a plugin.\n\n")


@pytest.mark.parametrize("value", [{"a": [1, None, True]}, [[]], "", "null", "1e3", -3.5, {}, "x" * 300, "ü\n\tz"])
def test_default_values_come_back_from_the_text(value: Any) -> None:
    class Farm(SerialRunner):
        def __init__(self, key: Any = value) -> None:
            super().__init__()

    text = option_text("farm.Farm", Farm)
    assert yaml.safe_load(text)["key"] == value
    assert len(text.splitlines()) == len(option_text("farm.Farm", Documented.__base__ or object).splitlines()) + 2


@pytest.mark.parametrize("value", [object(), {1: 2}, [object()], float, b"x"])
def test_default_that_no_yaml_file_can_hold_is_no_key(value: Any) -> None:
    class Farm(SerialRunner):
        def __init__(self, key: Any = value) -> None:
            super().__init__()

    assert "key" not in yaml.safe_load(option_text("farm.Farm", Farm))


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, RUNNER_GROUP)


def test_entry_point_names_option_and_class() -> None:
    option = runner_option(entry("farm-1", "mml.runners.serial:SerialRunner"), "mml-farm")
    assert option == RunnerOption("farm-1", "mml-farm", option_text("mml.runners.serial.SerialRunner", SerialRunner))


@pytest.mark.parametrize("name", ["a b", "1a", "a.b", "ä", "a/b", "a=b"])
def test_name_that_could_not_be_typed_is_refused(name: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=f"'{name}' can't be the name of a runner"):
        runner_option(entry(name, "mml.runners.serial:SerialRunner"), "mml-farm")


def test_name_of_a_runner_of_mml_is_refused() -> None:
    with pytest.raises(MMLMisconfigurationException, match="mml has a runner 'serial' of its own"):
        runner_option(entry("serial", "mml.runners.serial:SerialRunner"), "mml-farm")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("mml.runners.base:Work", "has no method open, check, has_room, submit, wait, interrupt, close"),
        ("mml.runners.base:NOTHING", "is no class"),
    ],
)
def test_what_is_no_runner_is_refused(value: str, fault: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=fault):
        runner_option(entry("farm", value), "mml-farm")
