"""The journal keeps what was acknowledged, whatever happens to its last line."""

import errno
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.core.scripts.exceptions import JournalError
from mml.core.scripts.journal import (
    FINISHING,
    PREPARATION,
    AnyEvent,
    Done,
    Event,
    Failed,
    Finished,
    Finishing,
    Journal,
    Opened,
    PathAnnounced,
    Planned,
    RunRecord,
    Skipped,
    Started,
    Stopped,
    decode_line,
    encode_line,
    read_events,
)
from mml.core.scripts.schedule import StepRecord

STEPS = [StepRecord("train", ["a", 0]), StepRecord("train", ["a", 1])]
ALL: list[AnyEvent] = [
    Opened(time=1.5, pid=7, host="here", command=["mml", "train"], mode="train", tasks=["a"], versions={"torch": "2"}),
    Planned(time=2.0, steps=STEPS, tasks={"a": {"paths": {"x": "p/x"}}}, reused={"all": "q/all"}),
    PathAnnounced(time=2.5, path="p/h", key="temp", hook=PREPARATION),
    Started(time=3.0, step=0),
    PathAnnounced(time=4.0, path="p/x é", key="parameters", step=0),
    Done(time=5.0, step=0, seconds=1.25, tasks={"a": {"keep": 1}}, value=None, grown=[StepRecord("test", [None])]),
    Failed(time=6.0, step=1, error="boom\n", traceback="errors/1.txt"),
    Failed(time=6.5, step=0, error="flaky", attempt=2, goes_on=True),
    Skipped(time=6.7, step=1, needs=0),
    Stopped(time=7.0, step=None, signal="SIGTERM"),
    Finishing(time=8.0, value={"a": [1, "b"]}),
    Finished(time=9.0, seconds=1.25, value=0.5),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def write(path: Path, *events: Event) -> bytes:
    path.write_bytes(b"".join(encode_line(event) for event in events))
    return path.read_bytes()


# --- lines


@pytest.mark.parametrize("event", ALL, ids=lambda event: type(event).__name__)
def test_every_event_comes_back(event: AnyEvent) -> None:
    line = encode_line(event)
    assert decode_line(line[:-1]) == event
    assert line.count(b"\n") == 1


def test_line_is_json_with_the_checksum_of_all_before_it() -> None:
    line = encode_line(Started(time=3.0, step=0))
    body = b'{"event":"start","step":0,"time":3.0'
    assert line == body + b',"crc":"%08x"}\n' % zlib.crc32(body)
    assert msgspec.json.decode(line)["event"] == "start"


def test_value_that_was_not_set_differs_from_none() -> None:
    unset, none = Done(time=1, step=0, seconds=0), Done(time=1, step=0, seconds=0, value=None)
    assert b"value" not in encode_line(unset)
    assert decode_line(encode_line(unset)[:-1]).value is msgspec.UNSET  # type: ignore[union-attr]
    assert decode_line(encode_line(none)[:-1]).value is None  # type: ignore[union-attr]


def test_every_single_damaged_byte_of_a_line_is_found() -> None:
    line = encode_line(ALL[4])[:-1]
    for number in range(len(line)):
        for flip in (0x01, 0x20):
            damaged = line[:number] + bytes([line[number] ^ flip]) + line[number + 1 :]
            with pytest.raises(ValueError, match="."):
                decode_line(damaged)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"null",
        b"[]",
        b'{"event":"start","time":1.0,"step":0}',
        b'{"event":"other","time":1,"crc":"00000000"}',
    ],
)
def test_line_of_another_form_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        decode_line(line)


# --- reading


def test_missing_journal_has_no_events(path: Path) -> None:
    assert read_events(path) == ([], 0)


def test_journal_that_can_not_be_read_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(JournalError, match=r"journal\.jsonl can't be read: Is a directory"):
        read_events(path)


def test_all_events_are_read_in_order(path: Path) -> None:
    data = write(path, *ALL)
    assert read_events(path) == (ALL, len(data))


def test_truncated_at_any_byte_of_the_last_line_all_before_it_are_read(path: Path) -> None:
    whole = write(path, *ALL[:3])
    last = encode_line(ALL[5])
    for length in range(len(last)):
        path.write_bytes(whole + last[:length])
        assert read_events(path) == (ALL[:3], len(whole))


def test_damaged_last_line_is_dropped_though_it_is_complete(path: Path) -> None:
    whole = write(path, *ALL[:3])
    path.write_bytes(whole + encode_line(ALL[3]).replace(b"start", b"stort"))
    assert read_events(path) == (ALL[:3], len(whole))


def test_zeros_at_the_end_as_after_a_power_loss_are_dropped(path: Path) -> None:
    whole = write(path, *ALL[:3])
    path.write_bytes(whole + bytes(512))
    assert read_events(path) == (ALL[:3], len(whole))


def test_damage_in_the_middle_is_an_error_that_names_file_and_line(path: Path) -> None:
    data = write(path, *ALL)
    for number in range(len(ALL) - 1):
        lines = data.splitlines(keepends=True)
        lines[number] = lines[number].replace(b'"time":', b'"time": ')
        path.write_bytes(b"".join(lines))
        with pytest.raises(JournalError, match=rf"journal\.jsonl, line {number + 1}, is damaged: the checksum"):
            read_events(path)


def test_missing_newline_in_the_middle_is_an_error(path: Path) -> None:
    lines = write(path, *ALL).splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:-1] + b"".join(lines[2:]))
    with pytest.raises(JournalError, match="line 2, is damaged"):
        read_events(path)


def test_empty_line_in_the_middle_is_an_error(path: Path) -> None:
    lines = write(path, *ALL).splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\n" + lines[1])
    with pytest.raises(JournalError, match="line 2, is damaged"):
        read_events(path)


def test_deeply_nested_nonsense_is_an_error_like_any_other(path: Path) -> None:
    path.write_bytes(b"[" * 100_000 + b"\n" + encode_line(ALL[0]))
    with pytest.raises(JournalError, match="line 1, is damaged"):
        read_events(path)


@given(st.binary(max_size=200), st.integers(0, 3), st.data())
def test_any_bytes_are_events_or_a_clear_error(noise: bytes, before: int, data: Any) -> None:
    path = Path("journal.jsonl")
    whole = write(path, *ALL[:before])
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut] + noise)
    try:
        events, size = read_events(path)
    except JournalError as error:
        assert "journal.jsonl, line" in str(error)
    else:
        assert events == ALL[: len(events)]
        assert path.read_bytes()[:size] == whole[:size]


# --- appending


def test_appended_events_are_read_at_once(path: Path) -> None:
    journal = Journal(path)
    for number, event in enumerate(ALL, start=1):
        journal.append(event, durable=number % 2 == 0)
        assert read_events(path)[0] == ALL[:number]
    journal.close()
    journal.close()


def test_events_after_those_that_are_known_are_read_alone(path: Path) -> None:
    first, rest = write(path, *ALL[:2]), b"".join(encode_line(event) for event in ALL[2:])
    path.write_bytes(first + rest)
    assert read_events(path, len(first)) == (ALL[2:], len(first + rest))
    assert read_events(path, len(first + rest)) == ([], len(first + rest))


def test_torn_line_after_those_that_are_known_is_dropped(path: Path) -> None:
    first = write(path, *ALL[:2])
    path.write_bytes(first + encode_line(ALL[2])[:-3])
    assert read_events(path, len(first)) == ([], len(first))


def test_damage_after_what_is_known_is_an_error_that_names_where_it_looked(path: Path) -> None:
    first = write(path, *ALL[:2])
    path.write_bytes(first + b"{}\n" + encode_line(ALL[2]))
    with pytest.raises(JournalError, match=rf"line 1 from byte {len(first)} on, is damaged"):
        read_events(path, len(first))


def test_append_after_a_torn_line_does_not_glue_to_it(path: Path) -> None:
    whole = write(path, *ALL[:2])
    for torn in (b"{", encode_line(ALL[2])[:-1], bytes(8), b"x" * 500):
        path.write_bytes(whole + torn)
        events, size = read_events(path)
        journal = Journal(path, size)
        journal.append(ALL[3])
        journal.close()
        assert read_events(path)[0] == [*events, ALL[3]]


FILL = """
import errno, resource, signal, sys
from pathlib import Path
from mml.core.scripts.journal import Journal, Started, read_events
path = Path(sys.argv[1])
journal = Journal(path)
journal.append(Started(time=1.0, step=0))
size = path.stat().st_size
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for space in range(0, 40, 3):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + space, resource.RLIM_INFINITY))
    try:
        journal.append(Started(time=1.0, step=1))
        sys.exit("nothing failed")
    except OSError as error:
        assert error.errno in (errno.EFBIG, errno.ENOSPC), error
    assert path.stat().st_size == size, "a part of the line was left"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append(Started(time=1.0, step=2))
assert [event.step for event in read_events(path)[0]] == [0, 2]
"""


def test_line_that_the_disk_takes_in_part_only_leaves_the_file_as_it_was(path: Path) -> None:
    child = subprocess.run([sys.executable, "-c", FILL, path], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr


def test_line_that_fails_takes_back_no_line_of_a_fork(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, fork = Journal(path), Journal(path)
    fork.append(ALL[0])

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("mml.core.scripts.journal._sync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        journal.append(ALL[1])
    assert read_events(path)[0] == [ALL[0]]


def test_line_that_can_not_be_made_durable_is_taken_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    journal.append(ALL[0])

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("mml.core.scripts.journal._sync", fail)
        with pytest.raises(OSError, match="Input/output error"):
            journal.append(ALL[1])
    journal.append(ALL[2])
    journal.close()
    assert read_events(path)[0] == [ALL[0], ALL[2]]


def test_line_of_a_process_that_died_at_once_is_there(path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from mml.core.scripts.journal import *\n"
        "Journal(Path(sys.argv[1])).append(Started(time=1.0, step=5)); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False)
    assert read_events(path)[0] == [Started(time=1.0, step=5)]


# --- replaying


def test_empty_record_knows_nothing() -> None:
    record = RunRecord([])
    assert (record.plan, record.done, record.opened, record.last, record.value) == (None, {}, None, None, None)
    assert not record.finished
    assert record.unfinished_paths() == []


def test_record_has_plan_results_and_growth() -> None:
    record = RunRecord(ALL[:6])
    assert record.plan == [*STEPS, StepRecord("test", [None])]
    assert record.base_plan == 2
    assert record.initial == {"a": {"paths": {"x": "p/x"}}}
    assert record.reused == {"all": "q/all"}
    assert set(record.done) == {0}
    assert record.seconds == 1.25


def test_first_opening_is_kept_when_the_run_is_continued() -> None:
    again = Opened(time=9.0, pid=8, host="there", command=[])
    record = RunRecord([ALL[0], again])
    assert record.opened is ALL[0]
    assert record.last is again


@pytest.mark.parametrize(
    ("events", "value"),
    [
        ([Done(time=1, step=0, seconds=1, value=3)], 3),
        ([Done(time=1, step=0, seconds=1, value=3), Done(time=1, step=1, seconds=1)], 3),
        ([Done(time=1, step=0, seconds=1, value=3), Done(time=1, step=1, seconds=1, value=None)], None),
        ([Done(time=1, step=0, seconds=1, value=3), Finishing(time=1, value=4)], 4),
        ([Finishing(time=1, value=4), Finished(time=1, seconds=1, value=5)], 5),
    ],
)
def test_value_is_the_last_one_set(events: list[AnyEvent], value: Any) -> None:
    assert RunRecord(events).value == value


def record(*events: AnyEvent) -> RunRecord:
    return RunRecord(events)


def test_failed_and_skipped_steps_are_those_of_the_last_process() -> None:
    failed, skipped = Failed(time=1.0, step=0, error="no", goes_on=True), Skipped(time=1.0, step=1, needs=0)
    told = record(ALL[0], ALL[1], failed, skipped)
    assert (told.failed, told.skipped) == ({0: failed}, {1: skipped})
    told.apply(ALL[0])
    assert (told.failed, told.skipped) == ({}, {})


def test_step_that_is_tried_again_has_not_failed() -> None:
    failed = Failed(time=1.0, step=0, error="no", goes_on=True)
    assert record(ALL[0], failed, Started(time=2.0, step=0)).failed == {}


def test_failure_of_the_whole_run_is_that_of_no_step() -> None:
    told = record(ALL[0], Failed(time=1.0, step=None, error="1 of 2 steps failed"))
    assert told.failed == {}
    assert told.ended_by is not None


def test_failure_after_which_the_run_goes_on_is_not_its_end() -> None:
    assert record(Failed(time=1.0, step=0, error="no", goes_on=True)).ended_by is None
    assert record(Failed(time=1.0, step=0, error="no"), Stopped(time=2.0, step=0, signal="SIGINT")).ended_by is None


def test_finished_run_stays_finished_whatever_comes_later() -> None:
    record = RunRecord([*ALL, Stopped(time=10.0, step=None, signal="SIGTERM")])
    assert record.finished
    assert record.finishing
    assert not RunRecord(ALL[:-1]).finished
    assert RunRecord(ALL[:-1]).finishing


def announced(path: str, step: int | None = None, hook: str = "", key: str = "k") -> PathAnnounced:
    return PathAnnounced(time=1.0, path=path, key=key, step=step, hook=hook)


def done(step: int) -> Done:
    return Done(time=1.0, step=step, seconds=1.0)


PLAN = Planned(time=1.0, steps=STEPS)


@pytest.mark.parametrize(
    ("events", "unfinished"),
    [
        ([PLAN, announced("a", 0), done(0), announced("b", 1)], ["b"]),
        ([PLAN, announced("a", 0), announced("b", 0)], ["a", "b"]),
        ([PLAN, announced("a", 0), announced("a", 0)], ["a"]),
        ([PLAN, announced("a", 0), done(0), announced("a", 1)], []),
        ([PLAN, announced("a", 0), Started(time=1.0, step=0), announced("b", 0)], ["b"]),
        ([announced("a", hook=PREPARATION)], ["a"]),
        ([announced("a", hook=PREPARATION), PLAN], []),
        ([announced("a", hook=PREPARATION), PLAN, announced("a", 0)], []),
        ([PLAN, announced("a", hook=FINISHING)], ["a"]),
        ([PLAN, announced("a", hook=FINISHING), Finishing(time=1.0)], []),
    ],
)
def test_paths_of_what_was_never_done_are_unfinished(events: list[AnyEvent], unfinished: list[str]) -> None:
    assert RunRecord(events).unfinished_paths() == unfinished


def test_paths_of_an_attempt_are_those_that_no_finished_step_has() -> None:
    told = record(
        announced("a", 0), announced("b", 0), done(0), announced("a", 1), announced("c", 1), announced("c", 1)
    )
    assert told.paths_of_attempt(1) == ["c"]
    assert told.paths_of_attempt(2) == []
    told.apply(Started(time=1.0, step=1))
    assert told.paths_of_attempt(1) == []


def test_paths_of_the_hook_that_is_repeated_are_known_once_each() -> None:
    events = [announced(path, hook=PREPARATION) for path in ("b", "a", "b")]
    assert RunRecord([*events, announced("c", 0)]).repeated_paths() == ["b", "a"]
    assert RunRecord([]).repeated_paths() == []


def test_paths_of_a_kind_are_those_of_all_steps_and_hooks() -> None:
    events = [announced("a", 0), announced("b", 0, key="other"), announced("c", hook=FINISHING), announced("a", 1)]
    assert RunRecord(events).paths_of_kind("k") == ["a", "c"]


def test_steps_done_before_any_plan_are_taken_as_they_are() -> None:
    record = RunRecord([Done(time=1.0, step=0, seconds=1.0, grown=STEPS)])
    assert record.plan is None
    assert set(record.done) == {0}


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "start", "time": 1.0, "step": -1},
        {"event": "start", "time": -1.0, "step": 1},
        {"event": "start", "time": 1e300, "step": 1},
        {"event": "done", "time": 1.0, "step": 0, "seconds": -5.0},
        {"event": "path", "time": 1.0, "path": "../up", "key": "x"},
        {"event": "path", "time": 1.0, "path": "default/../../up", "key": "x"},
        {"event": "path", "time": 1.0, "path": "data:../up", "key": "x"},
        {"event": "path", "time": 1.0, "path": "a\nb/..", "key": "x"},
        {"event": "path", "time": 1.0, "path": "a\0b", "key": "x"},
        {"event": "plan", "time": 1.0, "steps": [], "reused": {"x": "../up"}},
        {"event": "failed", "time": 1.0, "step": 0, "error": "x", "traceback": "../../etc/passwd"},
    ],
)
def test_what_no_run_can_have_recorded_is_damage_even_with_a_checksum(fields: dict[str, Any], tmp_path: Path) -> None:
    body = msgspec.json.encode(fields)[:-1]
    line = b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))
    path = tmp_path / "journal.jsonl"
    path.write_bytes(line + encode_line(Started(time=1.0, step=0)))
    with pytest.raises(JournalError, match=r"line 1, is damaged"):
        read_events(path)


@pytest.mark.parametrize(
    "path", ["default/a..b/c", "..a/b", "a/...", "data:tasks/a", "/elsewhere/x", "a\nb", "", "data:x/..y"]
)
def test_odd_names_are_no_damage(path: str) -> None:
    event = PathAnnounced(time=1.0, path=path, key="x")
    assert decode_line(encode_line(event).rstrip(b"\n")) == event


def test_a_journal_closes_on_a_disk_that_can_not_flush_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    handle = journal._handle
    monkeypatch.setattr(os, "fsync", broken)
    journal.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


def test_several_events_are_written_at_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(Started(time=1.0, step=0))
    assert journal.size == path.stat().st_size
    journal.append(
        PathAnnounced(time=2.0, path="a", key="x", step=0), Done(time=3.0, step=0, seconds=1.0, attempt="1.2")
    )
    assert journal.size == path.stat().st_size
    journal.close()
    found = read_events(path)[0]
    assert [type(event) for event in found] == [Started, PathAnnounced, Done]
    assert found[-1].attempt == "1.2"  # type: ignore[union-attr]


def test_value_is_that_of_the_last_step_of_the_plan_in_whatever_order_they_are_done() -> None:
    def done(step: int, value: Any = msgspec.UNSET) -> Done:
        return Done(time=1.0, step=step, seconds=0.0, value=value)

    assert RunRecord([done(0, "a"), done(1, "b"), done(2)]).value == "b"
    assert RunRecord([done(2), done(1, "b"), done(0, "a")]).value == "b"
    assert RunRecord([done(1, "b"), done(1, "again")]).value == "again"
    assert RunRecord([done(1, None), done(0, "a")]).value is None
