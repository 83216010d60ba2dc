"""Messages arrive whole, in order, whatever their size; a side that is gone is noticed."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from mml.runners.local_frames import Channel, Ends, both_ends, read_frame, send_frame
from tests.support.local_runs import hang_up

SIZES = [0, 1, 7, 8, 9, 65_535, 65_536, 65_537, 3_000_000]


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Ends]]:
    """Return the driver's side and the worker's."""
    ours, theirs = both_ends()
    channel = Channel(ours)
    yield channel, theirs
    theirs.close()
    with suppress(OSError):
        channel.close()


def received(channel: Channel, count: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count and not channel.gone:
        found += channel.receive()
    return found


def test_driver_gets_what_a_worker_sends(ends: tuple[Channel, Ends]) -> None:
    channel, theirs = ends
    messages = [bytes([number]) * size for number, size in enumerate(SIZES)]
    thread = threading.Thread(target=lambda: [send_frame(theirs.writer, message) for message in messages])
    thread.start()
    assert received(channel, len(messages)) == messages
    thread.join()
    assert channel.receive() == []
    assert not channel.gone


def test_worker_gets_what_the_driver_sends_without_waiting(ends: tuple[Channel, Ends]) -> None:
    channel, theirs = ends
    messages = [bytes([number]) * size for number, size in enumerate(SIZES)]
    for message in messages:
        channel.send(message)
    assert channel.sending
    got: list[bytes | None] = []
    thread = threading.Thread(target=lambda: got.extend(read_frame(theirs.reader) for _ in messages))
    thread.start()
    while channel.sending:
        channel.flush()
    thread.join()
    assert got == messages


def test_many_small_messages_that_arrive_at_once_are_told_apart(ends: tuple[Channel, Ends]) -> None:
    channel, theirs = ends
    messages = [str(number).encode() for number in range(1000)]
    os.write(theirs.writer, b"".join(len(message).to_bytes(8, "big") + message for message in messages))
    assert received(channel, 1000) == messages


def test_worker_reads_that_no_more_comes(ends: tuple[Channel, Ends]) -> None:
    channel, theirs = ends
    channel.send(b"last")
    channel.end_sending()
    assert [read_frame(theirs.reader), read_frame(theirs.reader)] == [b"last", None]
    send_frame(theirs.writer, b"answer")
    assert received(channel, 1) == [b"answer"]


def test_worker_reads_that_no_more_comes_although_a_fork_has_the_pipe_open(ends: tuple[Channel, Ends]) -> None:
    channel, theirs = ends
    kept = os.dup(channel.ends.writer)
    channel.end_sending()
    channel.close()
    assert read_frame(theirs.reader) is None
    os.close(kept)


def test_message_that_breaks_off_is_none(ends: tuple[Channel, Ends]) -> None:
    channel, theirs = ends
    os.write(channel.ends.writer, b"\0\0\0\0\0\0\0\x05abc")
    channel.close()
    assert read_frame(theirs.reader) is None


def test_driver_notices_that_the_other_side_is_gone(ends: tuple[Channel, Ends]) -> None:
    channel, theirs = ends
    send_frame(theirs.writer, b"last")
    hang_up(*theirs)
    assert received(channel, 1) == [b"last"]
    assert channel.receive() == []
    assert channel.gone


def test_what_is_sent_to_one_who_is_gone_is_dropped(ends: tuple[Channel, Ends]) -> None:
    channel, theirs = ends
    hang_up(*theirs)
    channel.send(b"x")
    assert (channel.gone, channel.sending) == (True, False)
    channel.close()
    channel.end_sending()
    assert channel.receive() == []
