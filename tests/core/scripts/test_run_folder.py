"""Run folders: made for one run each, and with all that a run needs to go on."""

import os
import re
import sys
from pathlib import Path
from subprocess import run

import pytest
from omegaconf import OmegaConf

from mml.core.scripts.exceptions import ContinueError, MMLMisconfigurationException
from mml.core.scripts.run_folder import find_run_folder, make_run_folder, plain_config, store_config
from tests.support import toy_scheduler

CROWD = f"""
import sys
sys.path.insert(0, {str(Path(toy_scheduler.__file__).parents[2])!r})
from pathlib import Path
from mml.core.scripts.run_folder import make_run_folder
from tests.support.toy_scheduler import crowd
crowd(lambda number: (make_run_folder(Path(sys.argv[1]), "train") / str(number)).touch(), 30)
"""


def test_folder_is_named_by_time_and_mode(tmp_path: Path) -> None:
    folder = make_run_folder(tmp_path / "proj", "train")
    assert folder.parent == tmp_path / "proj" / "runs"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_train", folder.name)
    assert list(folder.iterdir()) == []


def test_name_of_a_run_is_durable_before_the_run_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink()) or fsync(handle)
    )
    folder = make_run_folder(tmp_path / "proj", "train")
    assert synced == [tmp_path, tmp_path / "proj", folder.parent]


def test_runs_of_the_same_moment_have_folders_of_their_own(tmp_path: Path) -> None:
    child = run([sys.executable, "-c", CROWD, tmp_path], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 30
    assert sorted(int(path.name) for folder in folders for path in folder.iterdir()) == list(range(30))


@pytest.mark.parametrize("blocked", ["results", "results/proj", "results/proj/runs"])
def test_results_that_can_not_be_written_are_refused_with_what_to_do(tmp_path: Path, blocked: str) -> None:
    (tmp_path / blocked).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / blocked).touch()
    with pytest.raises(MMLMisconfigurationException, match=r"Results can't be written to .*runs: .*out_dir=<folder>"):
        make_run_folder(tmp_path / "results" / "proj", "train")


def test_existing_run_is_found(tmp_path: Path) -> None:
    folder = make_run_folder(tmp_path, "train")
    assert find_run_folder(tmp_path, folder.name) == folder


@pytest.mark.parametrize("name", ["other", "a_file", "..", ".", ".hidden", "sub/folder", "../runs/x", "/"])
def test_what_is_no_run_is_refused(tmp_path: Path, name: str) -> None:
    for inside in ("x", ".hidden", "sub/folder"):
        (tmp_path / "runs" / inside).mkdir(parents=True)
    (tmp_path / "runs" / "a_file").touch()
    with pytest.raises(ContinueError, match=f"There is no run '{re.escape(name)}' in {tmp_path / 'runs'}"):
        find_run_folder(tmp_path, name)


def test_config_is_stored_resolved_and_overrides_as_given(tmp_path: Path) -> None:
    cfg = OmegaConf.create({"a": {"b": "${c}", "open": "???"}, "c": [1, "é"]})
    store_config(tmp_path, cfg, ["mode=train", "task=[a,b]", "x='y z'"])
    assert OmegaConf.to_container(OmegaConf.load(tmp_path / "config.yaml")) == {
        "a": {"b": [1, "é"], "open": "???"},
        "c": [1, "é"],
    }
    assert OmegaConf.load(tmp_path / "overrides.yaml") == ["mode=train", "task=[a,b]", "x='y z'"]


def test_config_comes_last_as_it_makes_a_run_one_that_can_be_continued(tmp_path: Path) -> None:
    (tmp_path / "overrides.yaml").mkdir()
    with pytest.raises(IsADirectoryError):
        store_config(tmp_path, OmegaConf.create({}), [])
    assert not (tmp_path / "config.yaml").exists()


def test_plain_config_has_no_omegaconf_in_it() -> None:
    plain = plain_config(OmegaConf.create({"a": [{"b": "${a.1}"}, 2]}))
    assert plain == {"a": [{"b": 2}, 2]}
    assert [type(part) for part in (plain, plain["a"], plain["a"][0])] == [dict, list, dict]
