"""What is told of earlier runs, and what journals that nobody should have written do to it: nothing."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.core.scripts.journal import Done, Opened, PathAnnounced, Planned, Started, encode_line
from mml.core.scripts.schedule import StepRecord
from mml.plan_history import History, PastRun, PastStep, read_file, read_history, size_on_disk
from tests.support.runs import events_of, make_damaged, make_run, write_journal


def named(hour: int) -> str:
    return f"2026-11-20_{hour:02d}-00-00_toy"


def seconds(history: History) -> list[tuple[str, float]]:
    return [(step.run.folder.name, step.seconds) for step in history.steps]


def test_steps_of_the_newest_run_come_first(tmp_path: Path) -> None:
    make_run(tmp_path, named(9), state="interrupted")
    make_run(tmp_path, named(10), state="failed")
    history = read_history(tmp_path, "default")
    assert seconds(history) == [(named(10), 1.0), (named(9), 1.0)]
    assert history.unread == {}
    (step, _) = history.steps
    assert step.record == StepRecord("work", [0])
    assert step.key == step.record.key
    assert (step.run.mode, step.run.tasks, step.run.project) == ("toy", ("digits",), "default")


def test_runs_of_the_project_come_before_newer_ones_of_others(tmp_path: Path) -> None:
    make_run(tmp_path, named(9), "mine", state="failed")
    make_run(tmp_path, named(10), "other", state="failed")
    assert seconds(read_history(tmp_path, "mine")) == [(named(9), 1.0), (named(10), 1.0)]


def test_only_so_many_runs_are_looked_at(tmp_path: Path) -> None:
    for hour in range(5):
        make_run(tmp_path, named(hour), state="failed")
    assert seconds(read_history(tmp_path, "default", newest=2)) == [(named(4), 1.0), (named(3), 1.0)]


def test_a_run_that_is_going_on_tells_what_it_has_done(tmp_path: Path) -> None:
    make_run(tmp_path, named(9), state="running")
    assert len(read_history(tmp_path, "default").steps) == 1


def test_paths_are_those_of_the_last_attempt(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    steps = [StepRecord("work", [0])]
    write_journal(
        folder,
        [
            Opened(time=1, pid=1, host="h", command=[], mode="toy", tasks=["a"]),
            Planned(time=1, steps=steps),
            Started(time=1, step=0),
            PathAnnounced(time=1, path="default/first", key="k", step=0),
            Started(time=2, step=0),
            PathAnnounced(time=2, path="default/second", key="k", step=0),
            PathAnnounced(time=2, path="default/hook", key="k", hook="preparation"),
            Done(time=3, step=0, seconds=4.0, grown=[StepRecord("more", [])]),
            Done(time=4, step=1, seconds=5.0),
        ],
    )
    first, grown = read_history(tmp_path, "default").steps
    assert first.paths == ["default/second"]
    assert (grown.record.command, grown.seconds, grown.paths) == ("more", 5.0, [])


def test_what_a_run_took_over_counts_for_the_run_that_did_it(tmp_path: Path) -> None:
    make_run(tmp_path, source="other")
    assert [step.seconds for step in read_history(tmp_path, "default").steps] == [2.0, 3.0]


def test_no_folder_is_no_history(tmp_path: Path) -> None:
    assert read_history(tmp_path / "none", "default") == History([], {})
    (tmp_path / "file").touch()
    assert read_history(tmp_path / "file", "default") == History([], {})


def test_a_run_without_a_journal_is_passed_over(tmp_path: Path) -> None:
    (make_run(tmp_path) / "journal.jsonl").unlink()
    assert read_history(tmp_path, "default") == History([], {})


def test_damaged_journals_are_left_out_and_named(tmp_path: Path) -> None:
    good = make_run(tmp_path, named(9))
    bad = make_damaged(tmp_path, named(10))
    history = read_history(tmp_path, "default")
    assert {step.run.folder for step in history.steps} == {good}
    assert list(history.unread) == [bad]
    assert "line 1 is damaged" in history.unread[bad]


def test_a_torn_last_line_is_no_damage(tmp_path: Path) -> None:
    journal = make_run(tmp_path) / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-10])
    assert len(read_history(tmp_path, "default").steps) == 3
    journal.write_bytes(b"".join([*(encode_line(event) for event in events_of("failed")), b"torn\n"]))
    history = read_history(tmp_path, "default")
    assert len(history.steps) == 1
    assert history.unread == {}


def line(body: bytes) -> bytes:
    """Return a line with the checksum that fits."""
    import zlib

    return b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))


@pytest.mark.parametrize(
    "body",
    [
        b'{"event":"plan","time":1,"steps":5',
        b'{"event":"plan","time":1,"steps":[["a",[],["x"]]]',
        b'{"event":"done","time":1,"step":0,"seconds":-1',
        b'{"event":"done","time":1,"step":0,"seconds":1e300',
        b'{"event":"opened","time":1,"mode":3',
        b'{"event":"opened","time":1,"mode":"m","tasks":[1]',
        b'{"event":"opened","time":1,"mode":"m","tasks":{}',
        b'{"event":"path","time":1,"step":0,"path":7',
        b"[" * 100_000,
        b"\xff\xfe",
        b"{}",
    ],
)
def test_hostile_lines_make_a_journal_damaged(tmp_path: Path, body: bytes) -> None:
    folder = make_run(tmp_path)
    journal = folder / "journal.jsonl"
    journal.write_bytes(line(body) + journal.read_bytes())
    history = read_history(tmp_path, "default")
    assert history.steps == []
    assert list(history.unread) == [folder]


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    root = tmp_path_factory.mktemp("any")
    journal = make_run(root) / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[: len(data)] + data)
    read_history(root, "default")


def test_steps_that_no_plan_has_are_passed_over(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    write_journal(
        folder,
        [
            Done(time=1, step=0, seconds=1.0),
            Planned(time=1, steps=[StepRecord("work", [0])]),
            Done(time=1, step=7, seconds=1.0),
        ],
    )
    assert read_history(tmp_path, "default").steps == []


def test_a_pipe_in_the_place_of_a_journal_is_not_waited_for(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "journal.jsonl").unlink()
    os.mkfifo(folder / "journal.jsonl")
    assert read_history(tmp_path, "default").unread == {folder: "is no file"}


def test_links_in_circles_files_and_strange_names_are_no_runs(tmp_path: Path) -> None:
    runs = make_run(tmp_path, named(9), state="failed").parent
    (runs / "circle").symlink_to("circle")
    (runs / "file").touch()
    os.mkdir(os.fsencode(runs) + b"/\xff\xfe")  # noqa: PTH102 # a name that is no text
    history = read_history(tmp_path, "default")
    assert len(history.steps) == 1
    assert [folder.name for folder in history.unread] == ["circle"]


def test_a_folder_in_the_place_of_a_journal_is_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "journal.jsonl").unlink()
    (folder / "journal.jsonl").mkdir()
    assert list(read_history(tmp_path, "default").unread) == [folder]


def test_journals_beyond_what_can_be_read_in_a_moment_are_counted(tmp_path: Path) -> None:
    large = make_run(tmp_path, named(10))
    with (large / "journal.jsonl").open("r+b") as file:
        file.truncate(100_000_000)  # of which the disk has nothing
    make_run(tmp_path, named(9))
    history = read_history(tmp_path, "default")
    assert history.left_out == 1
    assert len(history.steps) == 3
    assert read_file(large / "journal.jsonl", 100) is None


def test_a_thousand_runs_cost_little(tmp_path: Path) -> None:
    for number in range(1000):
        folder = tmp_path / "default" / "runs" / f"2026-11-20_10-00-00_toy_{number}"
        folder.mkdir(parents=True)
        if number < 100:
            write_journal(folder, events_of("finished"))
    begin = time.process_time()
    history = read_history(tmp_path, "default")
    assert history.steps == []  # the newest have no journals
    assert time.process_time() - begin < 30  # some hundredths, in fact


def past(root: Path, *paths: str) -> PastStep:
    folder = root / "default" / "runs" / "run"
    return PastStep(PastRun(folder, "toy", ()), StepRecord("work", []), "key", 1.0, list(paths))


def test_the_size_of_a_step_is_that_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "results" / "p").mkdir(parents=True)
    (tmp_path / "results" / "p" / "a").write_bytes(bytes(10))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "b").write_bytes(bytes(5))
    roots = tmp_path / "results", tmp_path / "data"
    assert size_on_disk(past(tmp_path, "p/a", "data:b", "p/a"), *roots) == 15
    assert size_on_disk(past(tmp_path, "p/a", "p/gone"), *roots) == 10
    assert size_on_disk(past(tmp_path, "p/gone"), *roots) is None
    assert size_on_disk(past(tmp_path), *roots) == 0


def test_temporary_files_do_not_count(tmp_path: Path) -> None:
    assert size_on_disk(past(tmp_path, "default/runs/run/temp/best.ckpt"), tmp_path, tmp_path) == 0


def test_folders_count_with_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "p" / "deep").mkdir(parents=True)
    (tmp_path / "p" / "deep" / "a").write_bytes(bytes(7))
    (tmp_path / "p" / "b").write_bytes(bytes(3))
    assert size_on_disk(past(tmp_path, "p"), tmp_path, tmp_path) == 10


def test_a_folder_outside_is_not_walked_through(tmp_path: Path) -> None:
    assert size_on_disk(past(tmp_path, "/usr", "/etc/hostname/x", "../up", "a\0b"), tmp_path, tmp_path) is None
    (tmp_path / "link").symlink_to("/usr")
    assert size_on_disk(past(tmp_path, "link"), tmp_path, tmp_path) is None


def test_a_folder_with_very_many_files_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for number in range(10_001):
        (tmp_path / "p" / str(number)).touch()
    assert size_on_disk(past(tmp_path, "p"), tmp_path, tmp_path) is None
