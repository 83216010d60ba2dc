"""`mml runs rm`: shows what goes, asks, removes runs and nothing else."""

import os
from pathlib import Path

import pytest

from mml.core.scripts import run_removal
from mml.core.scripts.run_labels import read_labels, set_label
from mml.core.scripts.run_lock import RunLock
from mml.runs_rm import agreed
from tests.cli.conftest import Mml
from tests.support.runs import NAME, make_damaged, make_run
from tests.support.terminal import mml_in_terminal

OTHER = "2026-11-20_11-00-00_toy"
MADE = ("default/TOY/digits/toy_0001.txt", "default/TOY/all_0001.txt")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_run(tmp_path / "results", paths=MADE)
    make_run(tmp_path / "results", OTHER, state="crashed")
    set_label(tmp_path / "results" / "default", NAME, "old")
    return tmp_path / "results"


def runs(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "default" / "runs").iterdir() if path.is_dir())


def test_a_run_goes_with_its_label_and_its_results_stay(mml: Mml, root: Path) -> None:
    said = mml("runs", "rm", NAME, "--yes")
    assert said.code == 0, said.err
    assert runs(root) == [OTHER]
    assert read_labels(root / "default") == {}
    assert all((root / text).exists() for text in MADE)
    assert "--results removes them, too" in said.out
    assert said.out.splitlines()[-1].startswith("Removed 1 run, ")


def test_its_results_go_when_asked_with_claims_and_empty_folders(mml: Mml, root: Path) -> None:
    said = mml("runs", "rm", "old", "--results", "-y")
    assert said.code == 0, said.err
    assert sorted(path.name for path in (root / "default").iterdir()) == ["runs"]


def test_results_that_another_run_refers_to_stay_and_are_named(mml: Mml, root: Path) -> None:
    make_run(root, "2026-11-20_12-00-00_toy", "other", done_tasks={"digits": {"paths": {"toy": MADE[0]}}})
    said = mml("runs", "rm", NAME, "--results", "--yes")
    assert f"Stays: {root / MADE[0]}: run other/2026-11-20_12-00-00_toy refers to it." in said.out
    assert (root / MADE[0]).exists()
    assert not (root / MADE[1]).exists()


def test_many_that_stay_are_counted(mml: Mml, root: Path) -> None:
    paths = [f"default/X/{number:02d}.txt" for number in range(12)]
    make_run(root, "2026-11-20_12-00-00_toy", paths=paths)
    make_run(root, "2026-11-20_13-00-00_toy", done_tasks={"digits": {"paths": dict(enumerate(paths))}})
    assert "... and 4 more stay." in mml("runs", "rm", "12-00", "--results", "--dry-run").out


def test_what_a_crashed_run_had_begun_goes_with_it(mml: Mml, root: Path) -> None:
    from mml.core.data_loading.claims import claim
    from mml.core.scripts.journal import PathAnnounced
    from tests.support.runs import events_of, write_journal

    half = "default/TOY/half_0001.txt"
    assert claim(root / half, OTHER)
    (root / half).write_text("ha")
    events = [*events_of("crashed"), PathAnnounced(time=9, path=half, key="k", step=1)]
    write_journal(root / "default" / "runs" / OTHER, events)
    said = mml("runs", "rm", OTHER, "--yes")
    assert said.code == 0
    assert not (root / half).exists()
    assert f"can't be continued when this is gone: {OTHER}" in said.out


def test_several_go_at_once_and_each_once(mml: Mml, root: Path) -> None:
    said = mml("runs", "rm", NAME, "old", "11-00", "--yes", "--results")
    assert "Removed 2 runs" in said.out
    assert runs(root) == []


def test_nothing_goes_in_a_dry_run(mml: Mml, root: Path) -> None:
    said = mml("runs", "rm", NAME, "--results", "--dry-run")
    assert said.out.rstrip().endswith("Nothing was removed (--dry-run).")
    assert runs(root) == [NAME, OTHER]
    assert (root / MADE[0]).exists()


def test_nothing_goes_where_nobody_can_be_asked(mml: Mml, root: Path) -> None:
    said = mml("runs", "rm", NAME)
    assert said.code == 2
    assert "Nobody is there to be asked, so nothing was removed. Add --yes" in said.err
    assert runs(root) == [NAME, OTHER]


@pytest.mark.parametrize(("answer", "left"), [("y", [OTHER]), ("n", [NAME, OTHER]), ("", [NAME, OTHER])])
def test_at_a_terminal_it_asks(root: Path, tmp_path: Path, answer: str, left: list[str]) -> None:
    with mml_in_terminal(["runs", "rm", "old", "--results"], tmp_path) as terminal:
        terminal.wait_for("Remove 1 run and 2 files, ")
        terminal.press(f"{answer}\n")
        assert terminal.finish() == 0
    assert runs(root) == left
    assert ("Nothing was removed." in terminal.text) is (len(left) == 2)


def test_a_running_run_stays_and_so_do_those_named_beside_it(mml: Mml, root: Path) -> None:
    with RunLock(root / "default" / "runs" / OTHER):
        said = mml("runs", "rm", NAME, OTHER, "--yes")
    assert said.code == 2
    assert f"Run {OTHER} is running: process {os.getpid()} of" in said.err
    assert runs(root) == [NAME, OTHER]


def test_a_run_that_may_be_about_to_start_stays(mml: Mml, root: Path) -> None:
    new = root / "default" / "runs" / "2026-11-20_23-00-00_x"
    new.mkdir()
    assert "may be about to start" in mml("runs", "rm", "23-00", "--yes").err
    os.utime(new, (1e9, 1e9))
    assert mml("runs", "rm", "23-00", "--yes").code == 0
    assert not new.exists()


def test_a_damaged_run_can_be_removed(mml: Mml, root: Path) -> None:
    folder = make_damaged(root, "2026-11-20_23-00-00_x")
    assert mml("runs", "rm", "23-00", "--yes", "--results").code == 0
    assert not folder.exists()


def test_files_of_somebody_else_keep_the_run_and_it_is_said(mml: Mml, root: Path) -> None:
    (root / "default" / "runs" / NAME / "notes.txt").touch()
    said = mml("runs", "rm", NAME, OTHER, "--yes")
    assert said.code == 1
    assert "1 thing could not be removed:" in said.err
    assert "not mml's are notes.txt" in said.err
    assert runs(root) == [NAME]


def test_what_the_system_refuses_is_said(mml: Mml, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(run_removal, "remove", refuse)
    said = mml("runs", "rm", NAME, "--yes")
    assert said.code == 1
    assert "Permission denied." in said.err


def test_after_a_kill_in_the_midst_the_rest_is_listed_continued_and_collected_as_ever(mml: Mml, root: Path) -> None:
    going = root / "default" / "runs" / f".going.7.{NAME}"
    (root / "default" / "runs" / NAME).rename(going)
    (going / "config.yaml").unlink()
    assert NAME not in mml("runs").out
    assert mml("runs", "show", NAME).code == 2
    assert mml("runs", "gc", "--yes").code == 0
    assert not going.exists()


def test_a_yes_given_before_is_not_asked_for() -> None:
    assert agreed("?", yes=True)
