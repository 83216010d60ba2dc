"""The index saves time and never decides: whatever happened to it or to the runs, the journals tell."""

import os
import time
from pathlib import Path

import pytest

from mml.core.scripts import run_index
from mml.core.scripts.journal import Finished, Opened, Planned, encode_line
from mml.core.scripts.run_index import INDEX_FILE, FoundRun, look_at_runs, project_names
from mml.core.scripts.schedule import StepRecord

LONG_AGO = time.time() - 3600


def make_run(root: Path, project: str, name: str, *, finished: bool = True, old: bool = True) -> Path:
    """Write the journal of a run; return it."""
    folder = root / project / "runs" / name
    folder.mkdir(parents=True)
    events = [
        Opened(time=LONG_AGO, pid=1, host="h", command=["mml"], mode="toy"),
        Planned(time=LONG_AGO, steps=[StepRecord("work", [0])]),
        Finished(time=LONG_AGO, seconds=1.0, value=0.5),
    ]
    journal = folder / "journal.jsonl"
    journal.write_bytes(b"".join(encode_line(event) for event in events[: 3 if finished else 2]))
    if old:
        os.utime(journal, (LONG_AGO, LONG_AGO))
    return journal


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Return a folder with 30 runs of two projects."""
    for number in range(30):
        make_run(tmp_path, "ab"[number % 2], f"run_{number:02d}", finished=number % 3 > 0)
    return tmp_path


def said(root: Path, projects: list[str] | None = None) -> dict[str, str]:
    """Return what is said of the runs: `project/run` -> state, or the fault."""
    return {f"{run.project}/{run.name}": run.fault or run.digest.state for run in look_at_runs(root, projects)}


def expected(root: Path) -> dict[str, str]:
    states = {number: "crashed" if number % 3 == 0 else "finished" for number in range(30)}
    return {f"{'ab'[number % 2]}/run_{number:02d}": state for number, state in states.items()}


def test_all_runs_are_found_with_the_index_and_without(many: Path) -> None:
    assert said(many) == expected(many)
    assert (many / INDEX_FILE).is_file()
    assert said(many) == expected(many)
    (many / INDEX_FILE).unlink()
    assert said(many) == expected(many)


def test_journals_that_the_index_knows_are_not_read_again(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_at_runs(many)
    monkeypatch.setattr(run_index, "_read_entry", None)  # reading would raise
    assert said(many) == expected(many)


def test_a_few_runs_need_no_index(tmp_path: Path) -> None:
    make_run(tmp_path, "a", "run")
    assert said(tmp_path) == {"a/run": "finished"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("change", ["grown", "same size and time", "replaced", "removed", "damaged"])
def test_journal_that_changed_is_read_again(many: Path, change: str) -> None:
    look_at_runs(many)
    journal = many / "a" / "runs" / "run_00" / "journal.jsonl"
    state, data = journal.stat(), journal.read_bytes()
    if change == "grown":
        with journal.open("ab") as file:
            file.write(encode_line(Finished(time=1, seconds=1)))
    if change == "same size and time":
        journal.write_bytes(data.replace(b'"mode":"toy"', b'"mode":"tox"'))
        os.utime(journal, ns=(state.st_mtime_ns, state.st_mtime_ns))
    if change == "replaced":
        other = many / "b" / "runs" / "run_01" / "journal.jsonl"
        other.replace(journal)
    if change == "removed":
        journal.unlink()
    if change == "damaged":
        journal.write_bytes(b"x" + data)
    found = said(many)["a/run_00"]
    told = {"grown": "finished", "replaced": "finished", "removed": "crashed"}
    assert found == told.get(change, found)
    assert change not in ("same size and time", "damaged") or found.startswith("line 1, is damaged")


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "other version", "a folder"])
def test_damaged_index_is_as_good_as_none(many: Path, damage: str) -> None:
    look_at_runs(many)
    index = many / INDEX_FILE
    data = bytearray(index.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    if damage == "other version":
        data[len(b"mml runs index ")] = ord("9")
    index.write_bytes({"empty": b"", "cut": bytes(data[:100])}.get(damage, bytes(data)))
    if damage == "a folder":
        index.unlink()
        index.mkdir()
    assert said(many) == expected(many)
    if damage != "a folder":
        assert len(run_index._read(index)["a"]) == 15


def test_index_that_lies_with_a_good_checksum_but_other_fields_is_not_believed(many: Path) -> None:
    import zlib

    content = run_index._encode({"a": {"run_00": [1, 2]}})
    (many / INDEX_FILE).write_bytes(run_index._HEAD + zlib.crc32(content).to_bytes(4, "big") + content)
    assert said(many) == expected(many)


def test_run_that_is_gone_is_gone(many: Path) -> None:
    look_at_runs(many)
    (many / "a" / "runs" / "run_00" / "journal.jsonl").unlink()
    (many / "a" / "runs" / "run_00").rmdir()
    assert "a/run_00" not in said(many)


def test_journal_that_was_just_written_is_not_trusted_to_stay(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(25):
        make_run(many, "c", f"new_{number}", old=False)
    look_at_runs(many)
    known = run_index._read(many / INDEX_FILE)
    assert (len(known["a"]), known["c"]) == (15, {})


def test_look_at_one_project_keeps_what_is_known_of_others(many: Path) -> None:
    look_at_runs(many)
    for number in range(25):
        make_run(many, "c", f"new_{number}")
    assert len(said(many, ["c"])) == 25
    assert {name: len(entries) for name, entries in run_index._read(many / INDEX_FILE).items()} == {
        "a": 15,
        "b": 15,
        "c": 25,
    }


def test_folder_that_cannot_be_written_does_without(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (many / f"{INDEX_FILE}.{os.getpid()}.tmp").mkdir()  # root may write everywhere, but not over a folder
    assert said(many) == expected(many)
    assert not (many / INDEX_FILE).exists()


def test_what_is_no_run_is_passed_over(tmp_path: Path) -> None:
    make_run(tmp_path, "a", "run")
    (tmp_path / "a" / "runs" / ".hidden").mkdir()
    (tmp_path / "a" / "runs" / "labels.json").touch()
    (tmp_path / "a" / "runs" / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "a" / "runs" / "killed").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / ".c" / "runs" / "run").mkdir(parents=True)
    (tmp_path / "file").touch()
    assert said(tmp_path) == {"a/run": "finished", "a/killed": "crashed"}
    assert project_names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("place", ["missing", "file"])
def test_where_there_is_no_folder_there_is_nothing(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    assert look_at_runs(tmp_path / place) == []
    assert look_at_runs(tmp_path, ["nope"]) == []


def test_journal_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a" / "runs" / "run" / "journal.jsonl").mkdir(parents=True)
    (found,) = look_at_runs(tmp_path)
    assert isinstance(found, FoundRun)
    assert found.fault == "can't be read: Is a directory."
