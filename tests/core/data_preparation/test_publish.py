import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mml.core.data_preparation import publish
from mml.core.data_preparation.publish import Workbench, heal
from mml.core.scripts.exceptions import MMLMisconfigurationException, RunLockedError, TaskDataError

HOLD = """
import sys, pathlib
from mml.core.data_preparation.publish import Workbench
with Workbench(pathlib.Path(sys.argv[1]), "birds").locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tasks"


@pytest.fixture(params=["at once", "by two renames"])
def way_to_replace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with the system's way to swap folders, and as on a system that has none."""
    if request.param == "by two renames":
        monkeypatch.setattr(publish.ctypes, "CDLL", lambda _: SimpleNamespace())
    return str(request.param)


def make(bench: Workbench, token: str, text: str) -> None:
    (bench.begin(token) / "task.json").write_text(text)
    (bench.begin(token) / "images.jsonl").write_text("records")


def publish_text(tasks: Path, token: str, text: str, overwrite: bool = False) -> None:
    bench = Workbench(tasks, "birds")
    with bench.locked():
        make(bench, token, text)
        bench.publish(token, overwrite)


def content(tasks: Path) -> str:
    return (tasks / "birds" / "task.json").read_text()


def left(tasks: Path) -> list[str]:
    return sorted(path.name for path in (tasks / ".creating" / "birds").iterdir() if path.name != "run.lock")


def test_a_task_is_nowhere_to_be_seen_until_it_is_published(tasks: Path) -> None:
    bench = Workbench(tasks, "birds")
    with bench.locked():
        make(bench, "run-1", "whole")
        assert [path.name for path in tasks.iterdir()] == [".creating"]
        bench.publish("run-1", overwrite=False)
    assert content(tasks) == "whole"
    assert not (tasks / "birds" / "images.jsonl").exists()
    assert left(tasks) == []


@pytest.mark.parametrize("name", ["task.json", "images.jsonl"])
def test_what_it_was_killed_in_writing_does_not_get_into_the_task(tasks: Path, name: str) -> None:
    bench = Workbench(tasks, "pets")
    with bench.locked():
        folder = bench.begin("run-1")
        (folder / f".{name}.abcdefgh.tmp").touch()
        (folder / "image.tmp").touch()
        assert [path.name for path in bench.begin("run-1").iterdir()] == ["image.tmp"]


def test_what_is_gone_with_the_publication_stays_gone_after_a_power_cut(
    tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[Path, set[str]]] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        folder = Path(f"/proc/self/fd/{handle}").readlink()
        synced.append((folder, {path.name for path in folder.iterdir()}))
        fsync(handle)

    bench = Workbench(tasks, "pets")
    with bench.locked():
        made = bench.begin("run-1")
        (made / "images.jsonl").write_text("records")
        monkeypatch.setattr(os, "fsync", watched)
        bench.publish("run-1", overwrite=False)
    assert synced[0] == (made, {".creation"})
    assert synced[-1] == (bench.folder, {"run.lock"})


def test_what_a_run_left_is_there_when_it_begins_again(tasks: Path) -> None:
    bench = Workbench(tasks, "birds")
    with bench.locked():
        make(bench, "run-1", "part")
        assert (bench.begin("run-1") / "task.json").read_text() == "part"
        assert bench.leftovers("run-2") == [bench.folder / "run-1"]
        assert bench.leftovers("run-1") == []


def test_an_existing_task_is_refused_and_stays_as_it_is(tasks: Path) -> None:
    publish_text(tasks, "run-1", "first")
    with pytest.raises(MMLMisconfigurationException, match=r"'birds' exists already.*mode\.overwrite=true"):
        publish_text(tasks, "run-2", "second")
    assert content(tasks) == "first"


@pytest.mark.usefixtures("way_to_replace")
def test_an_existing_task_is_replaced_when_told_and_nothing_of_it_is_left(tasks: Path) -> None:
    publish_text(tasks, "run-1", "first")
    (tasks / "birds" / "old.png").write_text("")
    publish_text(tasks, "run-2", "second", overwrite=True)
    assert content(tasks) == "second"
    assert not (tasks / "birds" / "old.png").exists()
    assert left(tasks) == []


@pytest.mark.usefixtures("way_to_replace")
def test_a_linked_task_is_replaced_and_what_the_link_points_to_stays(tasks: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "task.json").write_text("far")
    tasks.mkdir(parents=True)
    (tasks / "birds").symlink_to(tmp_path / "far")
    publish_text(tasks, "run-1", "new", overwrite=True)
    assert content(tasks) == "new"
    assert (tmp_path / "far" / "task.json").read_text() == "far"
    assert left(tasks) == []


def test_without_an_existing_task_there_is_nothing_to_overwrite(tasks: Path) -> None:
    publish_text(tasks, "run-1", "first", overwrite=True)
    assert content(tasks) == "first"


def test_an_empty_folder_of_the_name_is_no_task(tasks: Path) -> None:
    (tasks / "birds").mkdir(parents=True)
    with pytest.raises(MMLMisconfigurationException, match="exists already"):
        publish_text(tasks, "run-1", "first")
    publish_text(tasks, "run-1", "first", overwrite=True)
    assert content(tasks) == "first"


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_of_the_name_is_never_replaced(tasks: Path, overwrite: bool) -> None:
    tasks.mkdir(parents=True)
    (tasks / "birds").write_text("mine")
    with pytest.raises(MMLMisconfigurationException, match="is a file, and none of mml's"):
        publish_text(tasks, "run-1", "first", overwrite)
    assert (tasks / "birds").read_text() == "mine"


def test_a_run_knows_what_it_published_itself(tasks: Path) -> None:
    publish_text(tasks, "run-1", "first")
    bench = Workbench(tasks, "birds")
    assert bench.is_published("run-1")
    assert not bench.is_published("run-2")
    assert not Workbench(tasks, "fish").is_published("run-1")


def test_a_kill_between_two_renames_loses_nothing(tasks: Path) -> None:
    publish_text(tasks, "run-1", "first")
    (tasks / "birds").rename(tasks / ".creating" / "birds" / "replaced")
    heal(tasks)
    assert content(tasks) == "first"


def test_a_kill_after_the_second_rename_leaves_the_new_task(tasks: Path) -> None:
    publish_text(tasks, "run-1", "first")
    (tasks / "birds").rename(tasks / ".creating" / "birds" / "replaced")
    make(Workbench(tasks, "birds"), "run-2", "second")
    (tasks / ".creating" / "birds" / "run-2").rename(tasks / "birds")
    heal(tasks)
    assert content(tasks) == "second"
    assert left(tasks) == []


def test_an_error_between_two_renames_puts_the_old_task_back(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_text(tasks, "run-1", "first")
    monkeypatch.setattr(publish.ctypes, "CDLL", lambda _: SimpleNamespace())
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == "run-2":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(TaskDataError, match="Input/output error"):
        publish_text(tasks, "run-2", "second", overwrite=True)
    assert content(tasks) == "first"


def test_healing_without_a_data_folder_does_nothing(tasks: Path) -> None:
    heal(tasks)
    assert not tasks.exists()


def test_a_task_that_another_process_makes_is_refused_with_who_does(tasks: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tasks)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        expected = rf"'birds' is being created by process {child.pid} of .*Wait for it"
        with pytest.raises(RunLockedError, match=expected), Workbench(tasks, "birds").locked():
            pass
        with Workbench(tasks, "fish").locked():
            pass
        (tasks / ".creating" / "birds" / "replaced").mkdir()
        heal(tasks)  # leaves alone what is being worked on
        assert left(tasks) == ["replaced"]
        child.communicate()
    with Workbench(tasks, "birds").locked():
        assert left(tasks) == []


def test_a_killed_process_holds_nothing(tasks: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tasks)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        child.kill()
    with Workbench(tasks, "birds").locked():
        pass


def test_a_data_folder_that_can_not_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    bench = Workbench(tmp_path / "data" / "tasks", "birds")
    with pytest.raises(TaskDataError, match=r"data folder can't be written.*data_dir="), bench.locked():
        pass


def test_the_mode_of_a_task_is_that_of_any_folder(tasks: Path) -> None:
    publish_text(tasks, "run-1", "first")
    (tasks / "plain").mkdir()
    assert (tasks / "birds").stat().st_mode == (tasks / "plain").stat().st_mode
