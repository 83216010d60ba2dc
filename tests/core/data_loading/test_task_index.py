"""Tasks are found quickly with the cache, and rightly without trusting it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mml.core.data_loading.task_attributes import Modality, TaskType
from mml.core.data_loading.task_description import TaskDescription, TaskHeader, store_description
from mml.core.data_loading.task_index import INDEX_FILE, SampleCounts, TaskIndex
from mml.core.scripts.exceptions import TaskDescriptionError, UnknownNameError

LONG_AGO = 1_600_000_000 * 10**9


def add(data: Path, name: str, folder: str | None = None, **fields: Any) -> Path:
    """Write a description that was last changed long ago, and return its path."""
    path = data / "tasks" / (folder or name) / "task.json"
    description = TaskDescription(name=name, task_type=TaskType.NO_TASK, **fields)
    store_description(description, path)
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return path


def headers(data: Path) -> dict[str, TaskHeader | TaskDescriptionError]:
    return dict(TaskIndex(data).headers())


def descriptions(data: Path) -> dict[str, str]:
    return {
        name: header.description if isinstance(header, TaskHeader) else "-" for name, header in headers(data).items()
    }


def disguise(path: Path, old: str, new: str) -> None:
    """Change the content of a file, but neither its size nor its time: only who trusts a cache does not notice."""
    assert len(old) == len(new)
    path.write_text(path.read_text().replace(old, new))
    os.utime(path, ns=(LONG_AGO, LONG_AGO))


def test_without_a_data_folder_there_are_no_tasks(tmp_path: Path) -> None:
    index = TaskIndex(tmp_path / "missing")
    assert index.names() == list(index.headers()) == []
    assert not index.has("a")
    assert not (tmp_path / "missing").exists()


def test_file_in_place_of_the_folder_holds_no_tasks(tmp_path: Path) -> None:
    (tmp_path / "tasks").touch()
    assert TaskIndex(tmp_path).names() == []


def test_tasks_are_the_visible_folders_with_a_description(tmp_path: Path) -> None:
    for name in ("b", "a", "c+tag?1"):
        add(tmp_path, name)
    add(tmp_path, "h", folder=".creating/h")
    add(tmp_path, "h", folder=".hidden")
    (tmp_path / "tasks" / "empty").mkdir()
    (tmp_path / "tasks" / "dangling").symlink_to("nowhere")
    (tmp_path / "tasks" / "a_file").touch()
    (tmp_path / "tasks" / "folder" / "task.json").mkdir(parents=True)
    index = TaskIndex(tmp_path)
    assert [name for name in index.names() if name != "folder"] == ["a", "b", "c+tag?1"]
    assert [name for name, _ in index.headers() if name != "folder"] == ["a", "b", "c+tag?1"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a", True),
        ("linked", True),
        ("b", False),
        ("", False),
        (".", False),
        ("..", False),
        (".hidden", False),
        ("a/../a", False),
        ("x" * 300, False),
        ("a\0", False),
        ("a_file", False),
    ],
)
def test_only_the_name_of_a_task_is_one(tmp_path: Path, name: str, expected: bool) -> None:
    add(tmp_path, "a")
    add(tmp_path, ".hidden")
    (tmp_path / "tasks" / "a_file").touch()
    (tmp_path / "tasks" / "linked").symlink_to("a")
    assert TaskIndex(tmp_path).has(name) is expected


def test_the_digest_of_a_task_follows_every_byte_of_its_description(tmp_path: Path) -> None:
    path = add(tmp_path, "a", description="one")
    before = TaskIndex(tmp_path).digest("a")
    assert len(before) == 16
    headers(tmp_path)  # from the cache
    assert TaskIndex(tmp_path).digest("a") == before
    path.write_text(path.read_text() + "\n")
    assert TaskIndex(tmp_path).digest("a") != before
    with pytest.raises(UnknownNameError):
        TaskIndex(tmp_path).digest("b")


def test_header_and_counts_of_a_task(tmp_path: Path) -> None:
    sample = {Modality.IMAGE: "1.png"}
    add(
        tmp_path,
        "a",
        description="first",
        train_samples={"1": sample, "2": sample},
        test_samples={"3": sample},
        train_folds=[["1"], ["2"], []],
    )
    index = TaskIndex(tmp_path)
    assert index.header("a").description == "first"
    assert index.counts("a") == SampleCounts(train=2, test=1, unlabeled=0, folds=3)


@pytest.mark.parametrize("ask", [TaskIndex.header, TaskIndex.counts])
def test_unknown_task_is_refused_with_the_nearest_and_how_to_make_it(
    tmp_path: Path, ask: Callable[[TaskIndex, str], Any]
) -> None:
    add(tmp_path, "digits")
    with pytest.raises(
        UnknownNameError, match=r"'digit'. Did you mean 'digits'\? Create it first: mml create task=digit"
    ):
        ask(TaskIndex(tmp_path), "digit")


def test_listing_fills_the_cache_that_later_ones_use(tmp_path: Path) -> None:
    path = add(tmp_path, "a", description="old")
    assert descriptions(tmp_path) == {"a": "old"}
    disguise(path, "old", "new")
    assert descriptions(tmp_path) == {"a": "old"}
    assert TaskIndex(tmp_path).header("a").description == "old"
    (tmp_path / "tasks" / INDEX_FILE).unlink()
    assert descriptions(tmp_path) == {"a": "new"}


def test_looking_at_one_task_writes_no_cache(tmp_path: Path) -> None:
    add(tmp_path, "a")
    TaskIndex(tmp_path).header("a")
    TaskIndex(tmp_path).names()
    assert not (tmp_path / "tasks" / INDEX_FILE).exists()


@pytest.mark.parametrize("touch", ["time", "size"])
def test_changed_task_is_read_again(tmp_path: Path, touch: str) -> None:
    path = add(tmp_path, "a", description="old")
    headers(tmp_path)
    path.write_text(path.read_text().replace("old", "new" if touch == "time" else "newer"))
    if touch == "size":
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    assert descriptions(tmp_path) == {"a": "new" if touch == "time" else "newer"}
    assert TaskIndex(tmp_path).header("a").description.startswith("new")


def test_task_that_changed_in_the_tick_in_which_it_was_cached_is_read_again(tmp_path: Path) -> None:
    path = add(tmp_path, "a", description="old")
    headers(tmp_path)
    stamp = (tmp_path / "tasks" / INDEX_FILE).stat().st_mtime_ns
    os.utime(path, ns=(stamp, stamp))
    headers(tmp_path)  # cached with a time that is that of the cache itself, or nearly
    os.utime(tmp_path / "tasks" / INDEX_FILE, ns=(stamp, stamp))
    path.write_text(path.read_text().replace("old", "new"))
    os.utime(path, ns=(stamp, stamp))
    assert descriptions(tmp_path) == {"a": "new"}
    assert TaskIndex(tmp_path).header("a").description == "new"


def test_same_index_notices_a_change(tmp_path: Path) -> None:
    path = add(tmp_path, "a", description="old")
    index = TaskIndex(tmp_path)
    assert index.header("a").description == "old"
    path.write_text(path.read_text().replace("old", "newer"))
    assert index.header("a").description == "newer"
    assert [header.description for _, header in index.headers()] == ["newer"]  # type: ignore[union-attr]


def test_new_removed_and_renamed_tasks_are_noticed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        add(tmp_path, name)
    headers(tmp_path)
    shutil.rmtree(tmp_path / "tasks" / "a")
    add(tmp_path, "c")
    assert set(headers(tmp_path)) == {"b", "c"}
    assert set(json.loads((tmp_path / "tasks" / INDEX_FILE).read_text())["entries"]) == {"b", "c"}


def test_up_to_date_cache_is_not_written_again(tmp_path: Path) -> None:
    add(tmp_path, "a")
    add(tmp_path, "broken").write_text("{")
    headers(tmp_path)
    before = (tmp_path / "tasks" / INDEX_FILE).stat().st_ino
    headers(tmp_path)
    assert (tmp_path / "tasks" / INDEX_FILE).stat().st_ino == before


def broken_entry(cache: Any) -> None:
    cache["entries"]["a"][2] = {"name": 3}


def foreign_entry(cache: Any) -> None:
    cache["entries"]["a"][2]["name"] = "other"


def other_version(cache: Any) -> None:
    cache["version"] = 1


def no_entries(cache: Any) -> None:
    del cache["entries"]


def wrong_counts(cache: Any) -> None:
    cache["entries"]["a"][3] = ["x"]


@pytest.mark.parametrize("damage", [broken_entry, foreign_entry, other_version, no_entries, wrong_counts])
def test_damaged_cache_costs_time_never_truth(tmp_path: Path, damage: Callable[[Any], None]) -> None:
    path = add(tmp_path, "a", description="old")
    headers(tmp_path)
    disguise(path, "old", "new")
    file = tmp_path / "tasks" / INDEX_FILE
    cache = json.loads(file.read_text())
    damage(cache)
    file.write_text(json.dumps(cache))
    assert TaskIndex(tmp_path).header("a").description == "new"
    assert descriptions(tmp_path) == {"a": "new"}


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"\xff", b"[" * 100_000])
def test_cache_that_is_no_cache_costs_time_never_truth(tmp_path: Path, content: bytes) -> None:
    add(tmp_path, "a", description="old")
    (tmp_path / "tasks" / INDEX_FILE).write_bytes(content)
    assert TaskIndex(tmp_path).header("a").description == "old"
    assert descriptions(tmp_path) == {"a": "old"}


def test_cache_that_can_not_be_written_is_done_without(tmp_path: Path) -> None:
    add(tmp_path, "a", description="old")
    (tmp_path / "tasks" / INDEX_FILE / "in_the_way").mkdir(parents=True)  # as good as a read-only folder, for root too
    assert descriptions(tmp_path) == {"a": "old"}
    assert {path.name for path in (tmp_path / "tasks").iterdir()} == {"a", INDEX_FILE}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"name": "b", ', "truncated"),
        ('{"name": "b"}', "task_type"),
        ('{"name": "other", "task_type": "no_task"}', "of a task 'other': field `name` has to be the folder's name"),
        ('{"name": "b", "task_type": "no_task", "train_samples": []}', "train_samples"),
    ],
)
def test_broken_task_is_told_by_name_while_others_work(tmp_path: Path, content: str, fault: str) -> None:
    for name in ("a", "b", "c"):
        add(tmp_path, name)
    (tmp_path / "tasks" / "b" / "task.json").write_text(content)
    for _ in range(2):  # with and without a cache
        found = headers(tmp_path)
        assert [type(found[name]) for name in "abc"] == [TaskHeader, TaskDescriptionError, TaskHeader]
        assert str(tmp_path / "tasks" / "b" / "task.json") in str(found["b"])
        assert fault in str(found["b"])
    index = TaskIndex(tmp_path)
    assert index.header("a").name == "a"
    with pytest.raises(TaskDescriptionError, match="task.json"):
        index.header("b")


def test_damaged_cache_of_a_broken_task_is_told_like_any(tmp_path: Path) -> None:
    path = add(tmp_path, "a", description="old")
    headers(tmp_path)
    disguise(path, '"name"', '"nome"')
    file = tmp_path / "tasks" / INDEX_FILE
    cache = json.loads(file.read_text())
    broken_entry(cache)
    file.write_text(json.dumps(cache))
    assert isinstance(headers(tmp_path)["a"], TaskDescriptionError)


def test_description_that_is_a_folder_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "tasks" / "a" / "task.json").mkdir(parents=True)
    assert "Is a directory" in str(headers(tmp_path)["a"])


def test_moved_data_folder_is_read_as_it_is(tmp_path: Path) -> None:
    add(tmp_path / "one", "a", description="old")
    headers(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    assert descriptions(tmp_path / "two") == {"a": "old"}


def test_thousand_tasks_are_listed_in_order(tmp_path: Path) -> None:
    names = [f"task_{number:04}" for number in range(1000)]
    for name in names:
        folder = tmp_path / "tasks" / name
        folder.mkdir(parents=True)
        (folder / "task.json").write_text(f'{{"name": "{name}", "task_type": "no_task"}}')
    for _ in range(2):
        assert [name for name, header in TaskIndex(tmp_path).headers() if isinstance(header, TaskHeader)] == names
