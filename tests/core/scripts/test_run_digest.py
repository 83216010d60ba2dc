"""A digest says what the whole replay of a journal says, for a journal cut off or damaged anywhere, too."""

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mml.core.scripts.exceptions import JournalError
from mml.core.scripts.journal import (
    DETACHED,
    AnyEvent,
    Done,
    Failed,
    Finished,
    Finishing,
    Opened,
    PathAnnounced,
    Planned,
    RunRecord,
    Skipped,
    Started,
    Stopped,
    encode_line,
    read_events,
)
from mml.core.scripts.run_digest import RunDigest, digest
from mml.core.scripts.schedule import StepRecord

STEPS = [StepRecord("work", [number]) for number in range(3)]


def opened(at: float = 1.0, **changes: Any) -> Opened:
    return Opened(time=at, pid=1, host="h", command=["mml"], **{"mode": "toy", "tasks": ["a", "b"], **changes})


WHOLE: list[AnyEvent] = [
    opened(),
    Planned(time=2, steps=STEPS, tasks={"a": {"paths": {}}}),
    Started(time=3, step=0),
    PathAnnounced(time=4, path="default/x", key="toy", step=0),
    Done(time=5, step=0, seconds=0.5, value=0.1, grown=[StepRecord("work", [100])], tasks={"a": {}}),
    Started(time=6, step=1),
    Failed(time=7, step=1, error="ValueError: boom"),
    opened(8, mode="other"),
    Started(time=9, step=1),
    Done(time=10, step=1, seconds=0.25, value={"$float": "nan"}),
    Stopped(time=11, step=2, signal="SIGTERM"),
    opened(12),
    Done(time=13, step=2, seconds=0.25),
    Skipped(time=14, step=3, needs=2),
    Done(time=15, step=3, seconds=1.0),
    Finishing(time=16, value=[1, 2]),
    Finished(time=17, seconds=2.0, value=[1, 2]),
]


def journal(events: list[AnyEvent]) -> bytes:
    return b"".join(encode_line(event) for event in events)


def state(record: RunRecord) -> str:
    if record.finished:
        return "finished"
    after = {Failed: "failed", Skipped: "failed", Stopped: "interrupted"}
    return after.get(type(record.last), "crashed")


def agree(data: bytes, folder: Path) -> RunDigest | None:
    """Read bytes both ways, and make sure that both say the same."""
    file = folder / "journal.jsonl"
    file.write_bytes(data)
    try:
        record = RunRecord(read_events(file)[0])
    except JournalError as error:
        with pytest.raises(ValueError, match="is damaged") as refused:
            digest(data)
        assert str(refused.value) in str(error)
        return None
    found = digest(data)
    first = record.opened
    assert (found.mode, found.tasks, found.created) == (
        (first.mode, first.tasks, first.time) if first else ("", [], 0.0)
    )
    assert (found.steps_done, found.steps_total) == (len(record.done), record.plan and len(record.plan))
    assert (found.value, found.state) == (record.value, state(record))
    assert found.last == (record.last.time if record.last else 0.0)
    if not record.finished:
        assert found.seconds == record.seconds
    return found


@pytest.mark.parametrize("count", range(len(WHOLE) + 1))
def test_digest_of_a_journal_that_ends_anywhere_says_what_its_replay_says(count: int, tmp_path: Path) -> None:
    assert agree(journal(WHOLE[:count]), tmp_path) is not None


def test_journal_torn_at_every_byte_of_its_last_lines_is_read_without_the_torn_one(tmp_path: Path) -> None:
    whole, short = journal(WHOLE[:6]), journal(WHOLE[:3])
    for size in range(len(short), len(whole)):
        assert agree(whole[:size], tmp_path) is not None


def test_last_line_of_full_length_but_wrong_content_was_never_written(tmp_path: Path) -> None:
    for count in (1, 4, 5, 6):
        lines = journal(WHOLE[:count]).splitlines(keepends=True)
        found = agree(b"".join([*lines[:-1], b"#" * (len(lines[-1]) - 1) + b"\n"]), tmp_path)
        assert found is not None


@pytest.mark.parametrize("line", range(len(WHOLE) - 1))
def test_damage_in_the_middle_is_told_with_its_line(line: int, tmp_path: Path) -> None:
    lines = journal(WHOLE).splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"time":', b'"tame":', 1)
    assert agree(b"".join(lines), tmp_path) is None
    with pytest.raises(ValueError, match=f"line {line + 1}, is damaged"):
        digest(b"".join(lines))


def test_a_changed_number_is_noticed_by_the_checksum() -> None:
    data = journal(WHOLE[:5]).replace(b'"step":0,"time":3', b'"step":1,"time":3')
    with pytest.raises(ValueError, match="line 3, is damaged: the checksum does not fit"):
        digest(data)


def test_error_of_an_earlier_attempt_is_forgotten() -> None:
    assert digest(journal(WHOLE[:7])).error == "ValueError: boom"
    assert digest(journal(WHOLE[:8])).error == ""


def test_a_run_whose_steps_go_on_in_a_queue_is_detached_until_a_process_takes_it_up() -> None:
    left = [*WHOLE[:5], Stopped(time=6, step=None, signal=DETACHED)]
    assert digest(journal(left)).state == "detached"
    assert digest(journal([*left, opened(7)])).state == "crashed"


def test_time_of_a_finished_run_is_what_it_wrote_last() -> None:
    assert digest(journal(WHOLE)).seconds == 2.0


def test_event_of_a_later_version_is_passed_over() -> None:
    line = encode_line(Stopped(time=3, step=0, signal="x"))
    import zlib

    body = line[: -len(b',"crc":"00000000"}\n')].replace(b"interrupted", b"postponed")
    later = b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))
    found = digest(journal(WHOLE[:5]) + later)
    assert (found.state, found.steps_done, found.last) == ("crashed", 1, 3)


@given(st.binary(max_size=200), st.integers(0, len(WHOLE)))
def test_whatever_bytes_there_are_the_answer_is_a_digest_or_a_fault_with_its_line(data: bytes, count: int) -> None:
    try:
        assert isinstance(digest(journal(WHOLE[:count]) + data), RunDigest)
    except ValueError as error:
        assert str(error).startswith("line ")


def test_deeply_nested_values_are_a_fault_and_no_crash() -> None:
    bomb = b'{"event":"done","value":' + b"[" * 100_000 + b"}\n"
    with pytest.raises(ValueError, match="line 1, is damaged"):
        digest(bomb + journal([opened(time.time())]))
