"""A runner without its engine names the command that installs it."""

from pathlib import Path

import pytest

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.runners.extras import refuse_missing, require


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_library_that_is_there_is_returned(place: Path) -> None:
    (place / "engine_there.py").write_text("answer = 42\n")
    assert require("engine_there", "there").answer == 42


def test_missing_library_names_runner_and_command() -> None:
    with pytest.raises(MMLMisconfigurationException) as caught:
        require("engine_nowhere", "nowhere")
    assert str(caught.value) == (
        "runner=nowhere needs engine_nowhere, which is not installed: pip install 'mml-core[nowhere]'"
    )


def test_folder_of_that_name_is_no_library(place: Path) -> None:
    (place / "engine_folder").mkdir()
    with pytest.raises(MMLMisconfigurationException, match="which is not installed"):
        require("engine_folder", "folder")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import engine_part_nowhere\n", "ModuleNotFoundError: No module named 'engine_part_nowhere'"),
        ("raise RuntimeError('no libfoo')\n", "RuntimeError: no libfoo"),
    ],
    ids=["part", "broken"],
)
def test_library_that_can_not_be_imported_says_why(place: Path, text: str, said: str) -> None:
    (place / "engine_broken.py").write_text(text)
    with pytest.raises(MMLMisconfigurationException) as caught:
        require("engine_broken", "broken")
    assert f"can't be imported ({said}): pip install --force-reinstall 'mml-core[broken]'" in str(caught.value)


def test_a_library_is_looked_for_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "costly_engine.py").write_text("raise ValueError('imported')")
    refuse_missing("costly_engine", "ray")
    (tmp_path / "mere_folder").mkdir()
    for name in ("mere_folder", "nowhere_engine"):
        with pytest.raises(MMLMisconfigurationException, match=rf"runner=ray needs {name}, which is not installed"):
            refuse_missing(name, "ray")
