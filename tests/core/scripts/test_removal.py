from pathlib import Path

import pytest
from filelock import FileLock

from mml.core.data_loading import claims
from mml.core.data_loading.image_cache import LOCK_FILE
from mml.core.data_preparation.publish import Workbench
from mml.core.scripts.exceptions import MMLError, RunLockedError
from mml.core.scripts.holdings import CACHE, CREATIONS, Holding
from mml.core.scripts.removal import remove_holding
from mml.core.scripts.run_removal import RUN_CONTENTS
from tests.support.caches import make_cache
from tests.support.tasks import make_task
from tests.support.toy_scheduler import Toy, only_run, start_child, toy_config


@pytest.mark.parametrize("keep_claim", [False, True])
def test_a_file_goes_and_its_number_only_if_nothing_refers_to_it(tmp_path: Path, keep_claim: bool) -> None:
    file = tmp_path / "PLOTS" / "digits" / "curve_0001.png"
    file.parent.mkdir(parents=True)
    claims.claim(file, "some_run")
    file.touch()
    remove_holding(Holding("plots", file), tmp_path, keep_claim=keep_claim)
    assert not file.exists()
    assert (claims.claim_owner(file) == "some_run") is keep_claim


def test_folders_that_become_empty_go_up_to_the_root(tmp_path: Path) -> None:
    root = tmp_path / "project"
    first, second = root / "PLOTS" / "a" / "x_0001.png", root / "PLOTS" / "b" / "x_0001.png"
    for file in (first, second):
        file.parent.mkdir(parents=True)
        file.touch()
    remove_holding(Holding("plots", first), root)
    assert not first.parent.exists()
    assert second.exists()
    remove_holding(Holding("plots", second), root)
    assert list(root.iterdir()) == []
    assert root.exists()


def test_a_run_goes_with_its_folder(tmp_path: Path) -> None:
    Toy(toy_config(tmp_path, mode__n=1)).run()
    run, root = only_run(tmp_path), tmp_path / "results" / "default"
    (run / ".config.yaml.a1b2c3d4.tmp").touch()
    remove_holding(Holding("runs_finished", run), root)
    assert not run.exists()
    assert (root / "SUM" / "sum.json").exists()


@pytest.mark.parametrize("trap", ["begin1:error", "begin1:SIGKILL", "begin1:SIGTERM"])
def test_all_that_any_run_leaves_in_its_folder_is_known(tmp_path: Path, trap: str) -> None:
    with start_child(toy_config(tmp_path, mode__trap=trap)) as child:
        child.communicate()
    run = only_run(tmp_path)
    assert {path.name for path in run.iterdir()} <= set(RUN_CONTENTS)
    remove_holding(Holding("runs_crashed", run), tmp_path / "results")
    assert not run.exists()


def test_a_run_into_which_somebody_put_a_file_stays_whole(tmp_path: Path) -> None:
    Toy(toy_config(tmp_path, mode__n=1)).run()
    run = only_run(tmp_path)
    (run / "notes.txt").write_text("mine")
    before = {path.name for path in run.iterdir()}
    with pytest.raises(MMLError, match=f"Run {run.name} stays: not mml's are notes.txt. Move them out of {run}"):
        remove_holding(Holding("runs_finished", run), tmp_path)
    assert {path.name for path in run.iterdir()} == before


def test_a_run_that_has_begun_meanwhile_stays(tmp_path: Path) -> None:
    with start_child(toy_config(tmp_path, mode__trap="begin1:wait")) as child:
        assert child.stdout is not None
        child.stdout.readline()
        run = only_run(tmp_path)
        with pytest.raises(RunLockedError, match="is running"):
            remove_holding(Holding("runs_crashed", run), tmp_path)
        assert (run / "journal.jsonl").exists()
        child.kill()
        child.communicate()


def test_a_creation_goes_and_the_task_stays(tmp_path: Path) -> None:
    task = make_task(tmp_path, "digits")
    bench = Workbench(tmp_path / "tasks", "digits")
    with bench.locked():
        made = bench.begin("some_run-0123abcd")
    (made / "images").mkdir()
    (made / "images" / "half.png").touch()
    remove_holding(Holding(CREATIONS, made, ("digits",)), tmp_path)
    assert not bench.folder.exists()
    assert (task / "task.json").exists()


def test_another_creation_of_the_same_task_stays(tmp_path: Path) -> None:
    bench = Workbench(tmp_path / "tasks", "digits")
    with bench.locked():
        made, other = bench.begin("some_run-0123abcd"), bench.begin("other_run-0123abcd")
    remove_holding(Holding(CREATIONS, made, ("digits",)), tmp_path)
    assert other.is_dir()
    assert not made.exists()


def test_a_creation_that_goes_on_meanwhile_stays(tmp_path: Path) -> None:
    bench = Workbench(tmp_path / "tasks", "digits")
    with bench.locked():
        made = bench.begin("some_run-0123abcd")
        with pytest.raises(RunLockedError, match="'digits' is being created"):
            remove_holding(Holding(CREATIONS, made, ("digits",)), tmp_path)
        assert made.is_dir()


def test_a_cache_goes_with_its_folder(tmp_path: Path) -> None:
    cache = make_cache(tmp_path, "stripes")
    (cache / ".images.4711").touch()
    remove_holding(Holding(CACHE, cache), tmp_path)
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_is_being_built_stays(tmp_path: Path) -> None:
    cache = make_cache(tmp_path, "stripes")
    before = {path.name for path in cache.iterdir()}
    with FileLock(cache / LOCK_FILE), pytest.raises(RunLockedError, match="a run is building it"):
        remove_holding(Holding(CACHE, cache), tmp_path)
    assert {path.name for path in cache.iterdir()} == before


def test_a_cache_into_which_somebody_put_a_file_stays_whole(tmp_path: Path) -> None:
    cache = make_cache(tmp_path, "stripes")
    (cache / "notes.txt").touch()
    with pytest.raises(MMLError, match=r"not mml's are notes\.txt"):
        remove_holding(Holding(CACHE, cache), tmp_path)
    assert (cache / "images.npy").exists()
