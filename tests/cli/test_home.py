import io
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from mml import __version__
from mml.core.scripts.runs import RunInfo, run_folders
from mml.home import count_tasks, next_steps, show_home
from tests.cli.conftest import Mml
from tests.conftest import MmlCli
from tests.support.fake_plugins import install_plugin, path_with


def run(name: str = "r", project: str = "default", state: str = "finished", mode: str = "train") -> RunInfo:
    return RunInfo(
        name, project, Path(name), state, mode=mode, created=datetime(2026, 1, 1), steps_done=1, steps_total=3
    )


def home() -> str:
    out = io.StringIO()
    show_home(Console(file=out, width=200))
    return out.getvalue()


def commands(tasks: int, *runs: RunInfo) -> list[str]:
    return [command for command, _ in next_steps(tasks, runs)]


def test_a_first_visit_shows_version_folders_and_how_to_make_a_task(tmp_path: Path) -> None:
    text = home()
    assert f"mml {__version__}" in text
    assert ["data", f"{Path.home()}/.local/share/mml", "from", "default", "0", "tasks"] in map(
        str.split, text.splitlines()
    )
    assert f"{tmp_path}/results" in text
    assert "Last runs" not in text
    assert "mml create task=digits" in text


def test_the_source_of_a_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MML_DATA_PATH", "/d")
    (tmp_path / "mml.env").write_text("MML_RESULTS_PATH=/r\n")
    text = home()
    assert "/d  " in text
    assert "from MML_DATA_PATH" in text
    assert f"from {tmp_path}/mml.env" in text


def test_the_last_runs_are_shown_newest_first_with_state_and_steps(toy: Mml, tmp_path: Path) -> None:
    toy("toy", "mode.n=1")
    toy("toy", "mode.trap=end1:error", "proj=other")
    text = home()
    (finished,), (failed,) = (run_folders(tmp_path / "results" / project) for project in ("default", "other"))
    lines = [line.split() for line in text.splitlines() if line.startswith((finished.name, failed.name))]
    assert lines == [
        [failed.name, "other", "toy", "failed", "1/3"],
        [finished.name, "default", "toy", "finished", "1/1"],
    ]
    assert f"mml continue {failed.name} proj=other" in text


def test_only_tasks_that_are_complete_are_counted(tmp_path: Path) -> None:
    assert count_tasks(tmp_path) == 0
    for name in ("a", "b", ".creating/c", "empty"):
        (tmp_path / "tasks" / name).mkdir(parents=True)
    for name in ("a", "b", ".creating/c", ".creating"):
        (tmp_path / "tasks" / name / "task.json").touch()
    (tmp_path / "tasks" / "note.txt").touch()
    assert count_tasks(tmp_path) == 2


def test_what_to_type_next_depends_on_what_there_is() -> None:
    assert commands(0) == ["mml create task=digits", "mml create task=mine mode.source=<folder>", "mml --help"]
    assert commands(1) == ["mml info", "mml train task=<name>", "mml --help"]
    assert commands(1, run(mode="create")) == ["mml info", "mml train task=<name>", "mml runs", "mml --help"]
    assert commands(1, run(mode="train")) == ["mml info", "mml runs", "mml --help"]


@pytest.mark.parametrize("state", ["failed", "crashed", "interrupted"])
def test_a_run_that_stopped_comes_first(state: str) -> None:
    assert commands(1, run("done"), run("newer", state=state), run("older", state=state))[0] == "mml continue newer"
    assert commands(1, run("r", "p", state))[0] == "mml continue r proj=p"
    assert not commands(1, run(state="running"))[0].startswith("mml continue")


def test_bare_mml_is_the_home_page(mml: Mml) -> None:
    said = mml()
    assert said.code == 0
    assert f"mml {__version__}" in said.out


def test_a_bad_env_file_is_said_with_its_line(mml: Mml, tmp_path: Path) -> None:
    (tmp_path / "mml.env").write_text("nonsense\n")
    said = mml()
    assert (said.code, said.out) == (2, "")
    assert "mml.env, line 1" in said.err


def test_versions_are_those_of_mml_python_and_plugins_and_a_broken_one_says_why(
    mml_cli: MmlCli, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    install_plugin(site, "good", "p_good", {"p_good.py": ""}, version="4.5.6")
    install_plugin(site, "bad", "p_bad", {"p_bad.py": "import no_such_module_1"})
    said = mml_cli("--version", env=path_with(site))
    first, *plugins = said.stdout.splitlines()
    assert first.startswith(f"mml {__version__}, Python 3.")
    assert plugins == [
        "plugin bad (mml-bad 1.2.3) is skipped: ModuleNotFoundError: No module named 'no_such_module_1'",
        "plugin good (mml-good 4.5.6)",
    ]
    assert "mml-bad" in mml_cli(env=path_with(site)).stdout
