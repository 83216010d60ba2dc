import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mml.core.scripts import plugins
from mml.doctor import surroundings
from mml.doctor.surroundings import check_clock, check_config, check_env, check_plugins, check_text, read_settings
from mml.doctor.verdicts import Level, Settings
from tests.doctor.fakes import python
from tests.support.fake_plugins import install_plugin

NOWHERE = Settings(None, None)


@pytest.fixture
def fresh_plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Return a folder for plugins, which are loaded afresh."""
    monkeypatch.syspath_prepend(tmp_path)
    plugins.load_plugins.cache_clear()
    yield tmp_path
    plugins.load_plugins.cache_clear()


def test_settings_are_those_of_a_run(tmp_path: Path) -> None:
    words = [f"data_dir={tmp_path}/d", f"out_dir={tmp_path}/r", "sys.allow_gpu=false"]
    assert read_settings(words) == Settings(tmp_path / "d", tmp_path / "r", allow_gpu=False)


def test_a_config_that_can_not_be_composed_leaves_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MML_DATA_PATH", str(tmp_path / "d"))
    settings = read_settings(["no_such.key=1"])
    assert settings.data == tmp_path / "d"
    assert settings.results == tmp_path / "results"
    verdict = check_config(settings)
    assert verdict.level is Level.PROBLEM
    assert "no_such" in verdict.what


def test_a_config_that_can_be_composed_is_fine() -> None:
    assert check_config(NOWHERE).level is Level.OK


def test_an_env_file_that_can_not_be_read_is_a_problem_and_names_no_folder(tmp_path: Path) -> None:
    (tmp_path / "mml.env").write_text("MML_DATA_PATH\n")
    verdict = check_env(NOWHERE)
    assert verdict.level is Level.PROBLEM
    assert "line 1" in verdict.what
    assert verdict.fix == f"edit {tmp_path / 'mml.env'}"
    settings = read_settings([])
    assert (settings.data, settings.results) == (None, None)
    assert settings.fault


def test_a_good_env_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "mml.env").write_text(f"MML_DATA_PATH={tmp_path}\n")
    assert check_env(NOWHERE).what == f"read from {tmp_path / 'mml.env'}"


def test_no_env_file_is_fine() -> None:
    assert check_env(NOWHERE).level is Level.OK


def test_a_misspelt_variable_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MML_DATA_PAHT", "/data")
    verdict = check_env(NOWHERE)
    assert verdict.level is Level.WARNING
    assert verdict.fix == 'export MML_DATA_PATH="$MML_DATA_PAHT"; unset MML_DATA_PAHT'


def test_other_variables_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MML_DATA_PATH", "/data")
    monkeypatch.setenv("MML_TOKEN_OF_A_PLUGIN", "x")
    assert check_env(NOWHERE).level is Level.OK


def test_a_plugin_that_lacks_a_module_is_mended_by_installing_it(fresh_plugins: Path) -> None:
    install_plugin(fresh_plugins, "sad", "mml_sad", {"mml_sad/__init__.py": "import nobody_has_this.at_all"})
    verdict = check_plugins(NOWHERE)
    assert verdict.level is Level.PROBLEM
    assert "plugin sad (mml-sad 1.2.3) is skipped: ModuleNotFoundError" in verdict.what
    assert "pip install nobody_has_this (what sad lacks)" in verdict.fix


def test_a_plugin_that_fails_otherwise_is_upgraded_or_removed(fresh_plugins: Path) -> None:
    install_plugin(fresh_plugins, "sad", "mml_sad_2", {"mml_sad_2/__init__.py": "raise ValueError('old')"})
    verdict = check_plugins(NOWHERE)
    assert "ValueError: old" in verdict.what
    assert "pip install --upgrade mml-sad" in verdict.fix
    assert "pip uninstall mml-sad" in verdict.fix


def test_plugins_that_work_are_listed(fresh_plugins: Path) -> None:
    install_plugin(fresh_plugins, "glad", "mml_glad", {"mml_glad/__init__.py": ""})
    verdict = check_plugins(NOWHERE)
    assert verdict.level is Level.OK
    assert "glad (mml-glad 1.2.3)" in verdict.what


def test_a_clock_that_agrees_is_fine(tmp_path: Path) -> None:
    (tmp_path / "default" / "runs" / "a").mkdir(parents=True)
    assert check_clock(Settings(None, tmp_path)).level is Level.OK
    assert sorted(path.name for path in tmp_path.iterdir()) == ["default"]


def test_without_results_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert check_clock(Settings(None, tmp_path / "none")).level is Level.OK
    assert check_clock(NOWHERE).level is Level.OK


def test_a_clock_that_was_never_set_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 100_000.0)
    verdict = check_clock(NOWHERE)
    assert verdict.level is Level.PROBLEM
    assert "1970" in verdict.what


@pytest.mark.parametrize(("shift", "word"), [(-500.0, "ahead"), (500.0, "behind")])
def test_a_disk_with_another_clock_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: float, word: str
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    verdict = check_clock(Settings(None, tmp_path))
    assert verdict.level is Level.WARNING
    assert verdict.what.endswith(word)


def test_runs_from_the_future_are_a_warning(tmp_path: Path) -> None:
    run = tmp_path / "default" / "runs" / "2030"
    run.mkdir(parents=True)
    (run / "journal.jsonl").touch()
    later = time.time() + 7200
    os.utime(run / "journal.jsonl", (later, later))
    verdict = check_clock(Settings(None, tmp_path))
    assert verdict.level is Level.WARNING
    assert "journal.jsonl is from the future, by " in verdict.what
    assert "jumped back" in verdict.what


def test_text_that_is_no_utf8_is_a_warning(tmp_path: Path) -> None:
    code = "from mml.doctor import surroundings; print(*surroundings.check_text(None), sep='|')"
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    found = python(code, tmp_path, **plain)
    assert found.stdout.startswith("warning|"), found.stderr
    assert "ascii for file names" in found.stdout
    assert re.search("(iso-?8859-?1|latin-1) for the terminal", found.stdout.lower())
    assert "PYTHONUTF8=1" in found.stdout
    good = python(code, tmp_path, LC_ALL="C.UTF-8", PYTHONUTF8="1", PYTHONIOENCODING="utf-8")
    assert good.stdout.startswith("ok|UTF-8 everywhere")


def test_the_terminal_may_have_no_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings.sys, "stdout", object())
    assert check_text(NOWHERE).what
