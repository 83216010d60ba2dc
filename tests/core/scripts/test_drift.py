import pytest

from mml.core.scripts.drift import Drift, config_drift, data_drift, show_drift, version_drift
from mml.core.scripts.journal import Opened


def opened(versions: dict[str, str] | None = None, code: dict[str, str] | None = None) -> Opened:
    return Opened(time=0.0, pid=1, host="h", command=[], versions=versions or {}, code=code or {})


def test_configs_differ_key_by_key_but_not_in_what_names_the_run() -> None:
    then = {"optimizer": {"lr": 0.1}, "trainer": {"devices": 1}, "continue": None, "fork": None}
    now = {"optimizer": {"lr": 0.1}, "trainer": {"devices": [1]}, "continue": "run", "fork": "other"}
    assert config_drift(then, now) == [Drift("config", "trainer.devices", "1", "[1]")]


def test_packages_and_python_differ_by_version() -> None:
    then = opened({"torch": "2.14", "timm": "1", "old": "3"}, {"Python": "3.11.1"})
    now = opened({"torch": "2.15", "timm": "1", "new": "4"}, {"Python": "3.11.2"})
    assert version_drift([then], now) == [
        Drift("package", "Python", "3.11.1", "3.11.2"),
        Drift("package", "torch", "2.14", "2.15"),
        Drift("package", "old", "3", "<nothing>"),
        Drift("package", "new", "<nothing>", "4"),
    ]


def test_code_differs_by_version_and_files_and_is_not_said_twice() -> None:
    then = opened({"mml-core": "1"}, {"mml-core": "1, commit ab, files 11", "mml-a": "1, commit ab, files 22"})
    now = opened({"mml-core": "2"}, {"mml-core": "2, files 12", "mml-a": "1, commit cd with changes, files 22"})
    assert version_drift([then], now) == [Drift("code", "mml-core", "1, commit ab, files 11", "2, files 12")]


def test_every_process_that_worked_on_the_run_counts() -> None:
    first, second = opened({"torch": "1"}, {"a": "1, files 1"}), opened({"torch": "2"}, {"a": "1, files 1"})
    assert version_drift([first, second], first) == [Drift("package", "torch", "1, then 2", "1")]
    assert version_drift([first, first, second, second], second) == [Drift("package", "torch", "1, then 2", "2")]
    assert version_drift([first, first], first) == []


def test_what_a_record_does_not_tell_is_not_compared() -> None:
    assert version_drift([opened()], opened({"torch": "1"}, {"a": "1, files 1"})) == []
    assert version_drift([opened({"a": "1"})], opened({"a": "2"}, {"a": "2, files 1"})) == [
        Drift("package", "a", "1", "2")
    ]


def test_tasks_differ_by_the_digest_of_their_description() -> None:
    assert data_drift({"a": "1", "b": "1", "gone": "1"}, {"a": "1", "b": "2", "new": "1"}) == [
        Drift("data", "b", "1", "2")
    ]


def test_nothing_is_printed_when_nothing_differs(capsys: pytest.CaptureFixture[str]) -> None:
    show_drift("Title", [])
    assert capsys.readouterr() == ("", "")


def test_the_table_goes_to_stderr_and_names_kind_field_then_and_now(capsys: pytest.CaptureFixture[str]) -> None:
    show_drift("Changed:", [Drift("package", "torch", "1", "2"), Drift("config", "[b]", "1", "[i]")])
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split() for line in said.err.splitlines()] == [
        ["Changed:"],
        ["kind", "field", "then", "now"],
        ["package", "torch", "1", "2"],
        ["config", "[b]", "1", "[i]"],
    ]


def test_a_long_table_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show_drift("Changed:", [Drift("config", f"key{number}", "1", "2") for number in range(45)])
    assert capsys.readouterr().err.splitlines()[-1] == "... and 5 more"
