from pathlib import Path

from mml.core.scripts.training_folders import TrainingFolders


def test_a_repeated_step_gets_the_same_folders_in_the_same_order(tmp_path: Path) -> None:
    first, again = TrainingFolders(tmp_path, "0123"), TrainingFolders(tmp_path, "0123")
    names: list[str | None] = [None, "digits_fold_0", None, "digits_fold_0", "training_2"]
    given = [first.new(name) for name in names]
    assert [path.name for path in given] == [
        "training",
        "digits_fold_0",
        "training_2",
        "digits_fold_0_2",
        "training_2_2",
    ]
    assert [again.new(name) for name in names] == given
    assert not list(tmp_path.iterdir())


def test_the_folders_of_a_step_are_removed_and_no_others(tmp_path: Path) -> None:
    one, other = TrainingFolders(tmp_path, "a"), TrainingFolders(tmp_path, "b")
    for folders in (one, other):
        folders.new(None).mkdir(parents=True)
    one.remove()
    assert [path.name for path in one.path.parent.iterdir()] == ["b"]
    one.remove()
