"""Which run a word means, and what is said when it means none or several."""

from pathlib import Path

import pytest

from mml.core.scripts.exceptions import MMLError, MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.run_labels import set_label
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.runs import read_run
from mml.runs_choice import choose, continue_command, find_runs, waiting_runs
from tests.support.runs import LONG_AGO, make_damaged, make_run

OLD, MID, NEW = "2026-11-18_10-00-00_train", "2026-11-19_10-00-00_toy", "2026-11-20_10-00-00_toy"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_run(tmp_path, OLD, created=LONG_AGO - 200, state="crashed")
    make_run(tmp_path, MID, "other", created=LONG_AGO - 100, state="failed")
    make_run(tmp_path, NEW, created=LONG_AGO)
    set_label(tmp_path / "default", OLD, "Baseline, lr 0.1")
    return tmp_path


@pytest.mark.parametrize(
    ("word", "project", "name"),
    [
        (OLD, None, OLD),
        ("2026-11-18", None, OLD),
        ("_train", None, OLD),
        ("TRAIN", None, OLD),
        ("Baseline, lr 0.1", None, OLD),
        ("baseline", None, OLD),
        ("latest", None, NEW),
        ("other/latest", None, MID),
        ("other/toy", None, MID),
        (f"other/{MID}", "other", MID),
        ("toy", "other", MID),
        ("latest", "other", MID),
    ],
)
def test_a_run_is_meant_by_many_words(root: Path, word: str, project: str | None, name: str) -> None:
    assert choose(word, root, project).name == name


def test_a_name_counts_before_a_label_and_that_before_a_part(root: Path) -> None:
    set_label(root / "default", NEW, "train")
    assert choose("train", root).name == NEW
    set_label(root / "default", NEW, OLD)
    assert choose(OLD, root).name == OLD


def test_the_same_name_in_two_projects_is_told_apart(root: Path) -> None:
    make_run(root, OLD, "other")
    with pytest.raises(MMLMisconfigurationException) as caught:
        choose(OLD, root)
    assert f"  default/{OLD}" in str(caught.value)
    assert f"  other/{OLD}" in str(caught.value)
    assert choose(f"other/{OLD}", root).project == "other"


def test_a_word_for_many_names_some_of_them(root: Path) -> None:
    for number in range(20):
        make_run(root, f"2026-12-01_00-00-{number:02d}_many")
    with pytest.raises(MMLMisconfigurationException, match=r"'many' means 20 runs\. Say more(.|\n)*\.\.\. and 8 more"):
        choose("many", root)


@pytest.mark.parametrize("word", ["2026-11-18_10-00-00_trian", "Baselnie, lr 0.1"])
def test_a_word_for_none_is_compared_with_names_and_labels(root: Path, word: str) -> None:
    with pytest.raises(MMLMisconfigurationException) as caught:
        choose(word, root)
    assert f"There is no run '{word}'" in str(caught.value)
    assert f"'{OLD}'" in str(caught.value) or "'Baseline, lr 0.1'" in str(caught.value)


def test_where_nothing_is_near_the_newest_are_named(root: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match=f"Did you mean '{NEW}' or '{MID}' or '{OLD}'"):
        choose("zzz", root)
    with pytest.raises(MMLMisconfigurationException, match="There is no run ''"):
        choose("", root)


def test_two_projects_are_refused(root: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match="name two projects"):
        choose("other/toy", root, "default")
    with pytest.raises(UnknownNameError, match="Unknown project 'othre'. Did you mean 'other'"):
        choose("othre/toy", root)


def test_without_any_run_it_is_said_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match="There is no run yet"):
        choose("latest", tmp_path)


def test_runs_come_newest_first_also_those_without_a_record(root: Path) -> None:
    (root / "default" / "runs" / "2020-01-01_00-00-00_x").mkdir()
    names = [run.name for run in find_runs(root)]
    assert names == [NEW, MID, OLD, "2020-01-01_00-00-00_x"]
    assert [run.name for run in find_runs(root, "other")] == [MID]


def test_a_folder_that_can_not_be_read_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(root))

    monkeypatch.setattr("mml.runs_choice.all_runs", refuse)
    with pytest.raises(MMLError, match=r"can't be read: .*Permission denied"):
        find_runs(root)
    with pytest.raises(MMLError, match=r"can't be read: .*Permission denied"):
        waiting_runs(root)


def test_only_what_can_be_continued_waits(root: Path) -> None:
    make_damaged(root, "2026-11-20_10-00-01_x")
    (root / "default" / "runs" / "2020-01-01_00-00-00_x").mkdir()
    assert [run.name for run in waiting_runs(root)] == [MID, OLD]
    assert [run.name for run in waiting_runs(root, "default")] == [OLD]
    with RunLock(root / "default" / "runs" / OLD):
        assert [run.name for run in waiting_runs(root)] == [MID]
    assert waiting_runs(root, "nope") == []


def test_the_command_names_what_it_has_to(root: Path) -> None:
    run = read_run(root / "default" / "runs" / OLD)
    assert continue_command(run) == f"mml continue {OLD}"
    assert continue_command(run._replace(project="my p"), "a b") == f"mml continue {OLD} 'proj=my p' 'out_dir=a b'"
