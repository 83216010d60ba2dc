"""`mml runs gc`: what killed runs left goes; what anybody may need stays."""

import os
import time
from pathlib import Path

import pytest

from mml.core.data_loading.claims import claim, claim_owner
from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.run_labels import read_labels, set_label
from mml.core.scripts.run_lock import RunLock
from mml.runs_gc import find_waste
from tests.cli.conftest import Mml
from tests.support.runs import NAME, make_damaged, make_run
from tests.support.terminal import mml_in_terminal

CRASHED = "2026-11-20_11-00-00_toy"


def fill(folder: Path) -> None:
    """Put what a kill may leave into a run folder."""
    (folder / "temp" / "x").mkdir(parents=True)
    (folder / "temp" / "x" / "file").write_bytes(b"12345")
    (folder / "live.json").touch()
    (folder / ".config.yaml.abcd1234.tmp").touch()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a results folder with a finished and a crashed run, both with leftovers."""
    root = tmp_path / "results"
    fill(make_run(root))
    fill(make_run(root, CRASHED, state="crashed"))
    return root


def wasted(root: Path, project: str | None = None) -> set[tuple[str, str]]:
    return {(waste.kind, waste.path.relative_to(root).as_posix()) for waste in find_waste(root, project)}


def test_a_finished_run_needs_neither_temporary_files_nor_a_live_state(root: Path) -> None:
    finished, crashed = f"default/runs/{NAME}", f"default/runs/{CRASHED}"
    assert wasted(root) == {
        ("temporary files of finished runs", f"{finished}/temp"),
        ("live states of runs that ended", f"{finished}/live.json"),
        ("unfinished writes", f"{finished}/.config.yaml.abcd1234.tmp"),
        ("unfinished writes", f"{crashed}/.config.yaml.abcd1234.tmp"),
    }


def test_what_nothing_needs_goes_and_the_rest_stays(mml: Mml, root: Path) -> None:
    said = mml("runs", "gc", "--yes")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "Removed 4 things, 5 B."
    kept = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if path.is_file()]
    of_both = ("config.yaml", "journal.jsonl", "overrides.yaml")
    assert kept == sorted(
        [f"default/runs/{run}/{name}" for run in (NAME, CRASHED) for name in of_both]
        + [f"default/runs/{CRASHED}/live.json", f"default/runs/{CRASHED}/temp/x/file"]
    )
    assert mml("runs", "gc").out == f"There is nothing to collect in {root}.\n"


def test_a_running_run_keeps_all(root: Path) -> None:
    with RunLock(root / "default" / "runs" / CRASHED):
        assert not any(CRASHED in path for _, path in wasted(root))


def test_a_run_that_goes_on_meanwhile_keeps_its_files(root: Path) -> None:
    found = [waste for waste in find_waste(root) if CRASHED in str(waste.path)]
    with RunLock(root / "default" / "runs" / CRASHED):
        for waste in found:
            waste.remove()
        assert all(waste.path.exists() for waste in found)


def test_runs_that_never_began_go_when_they_are_old(root: Path) -> None:
    for name, age in (("old", 3600), ("new", 0)):
        folder = root / "default" / "runs" / name
        folder.mkdir()
        (folder / "run.lock").touch()
        os.utime(folder, (time.time() - age, time.time() - age))
    kinds = dict((path, kind) for kind, path in wasted(root))
    assert kinds["default/runs/old"] == "runs killed before they began"
    assert "default/runs/new" not in kinds
    for waste in find_waste(root):
        waste.remove()
    assert not (root / "default" / "runs" / "old").exists()


def test_damaged_runs_wait_for_a_person(root: Path) -> None:
    folder = make_damaged(root, "2026-11-20_12-00-00_x")
    os.utime(folder / "journal.jsonl", (1e9, 1e9))
    assert not any("12-00-00" in path for _, path in wasted(root))


def test_numbers_reserved_for_nothing_are_free_again(mml: Mml, root: Path) -> None:
    for name, owner in (("stale_0001.txt", NAME), ("open_0001.txt", CRASHED), ("gone_0001.txt", "2020_gone")):
        assert claim(root / "default" / "TOY" / name, owner)
    assert mml("runs", "gc", "--yes").code == 0
    owners = {name: claim_owner(root / "default" / "TOY" / f"{name}_0001.txt") for name in ("stale", "open", "gone")}
    assert owners == {"stale": None, "open": CRASHED, "gone": None}


def test_labels_of_runs_that_are_gone_go(mml: Mml, root: Path) -> None:
    for name in (NAME, "gone_1", "gone_2"):
        set_label(root / "default", name, "x")
    said = mml("runs", "gc", "--yes")
    assert "labels of runs that are gone 2" in " ".join(said.out.split())
    assert read_labels(root / "default") == {NAME: "x"}


def test_one_project_may_be_asked_for(mml: Mml, root: Path) -> None:
    fill(make_run(root, project="other"))
    index = root / ".runs.index.7.tmp"
    index.touch()
    os.utime(index, (1e9, 1e9))
    assert {path.split("/")[0] for _, path in wasted(root, "other")} == {"other"}
    assert ("unfinished writes of the index", ".runs.index.7.tmp") in wasted(root)
    assert "Unknown project 'nope'" in mml("runs", "gc", "proj=nope").err


def test_a_dry_run_names_all_and_removes_nothing(mml: Mml, root: Path) -> None:
    said = mml("runs", "gc", "--dry-run")
    assert str(root / "default" / "runs" / NAME / "temp") in said.out.splitlines()
    assert len(wasted(root)) == 4


def test_where_nobody_can_be_asked_nothing_goes(mml: Mml, root: Path) -> None:
    said = mml("runs", "gc")
    assert said.code == 2
    assert "Add --yes" in said.err
    assert len(wasted(root)) == 4


def test_a_no_is_a_no(root: Path, tmp_path: Path) -> None:
    with mml_in_terminal(["runs", "gc"], tmp_path) as terminal:
        terminal.wait_for("Remove 4 things, 5 B? [y/N] ")
        terminal.press("n\n")
        assert terminal.finish() == 0
    assert len(wasted(root)) == 4


def test_what_can_not_go_is_said_and_the_rest_goes(mml: Mml, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mml import runs_gc

    removed = runs_gc.remove

    def refuse(path: Path) -> None:
        if path.name == "temp":
            raise PermissionError(13, "Permission denied", str(path))
        if path.name == "live.json":
            raise MMLError("is in use")
        removed(path)

    monkeypatch.setattr(runs_gc, "remove", refuse)
    said = mml("runs", "gc", "--yes")
    assert said.code == 1
    assert "2 things could not be removed:" in said.err
    assert "temp: Permission denied." in said.err
    assert len(wasted(root)) == 2
