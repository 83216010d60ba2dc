"""Messages arrive whole, in order, whatever their size; a side that is gone is noticed."""

import socket
import threading
from collections.abc import Iterator

import pytest

from mml.runners.local_frames import Channel, read_frame, send_frame

SIZES = [0, 1, 7, 8, 9, 65_535, 65_536, 65_537, 3_000_000]


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """Return the driver's end and the worker's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), theirs


def received(channel: Channel, count: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count and not channel.gone:
        found += channel.receive()
    return found


def test_driver_gets_what_a_worker_sends(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    messages = [bytes([number]) * size for number, size in enumerate(SIZES)]
    thread = threading.Thread(target=lambda: [send_frame(theirs, message) for message in messages])
    thread.start()
    assert received(channel, len(messages)) == messages
    thread.join()
    assert channel.receive() == []
    assert not channel.gone


def test_worker_gets_what_the_driver_sends_without_waiting(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    messages = [bytes([number]) * size for number, size in enumerate(SIZES)]
    for message in messages:
        channel.send(message)
    assert channel.sending
    got: list[bytes | None] = []
    thread = threading.Thread(target=lambda: got.extend(read_frame(theirs) for _ in messages))
    thread.start()
    while channel.sending:
        channel.flush()
    thread.join()
    assert got == messages


def test_many_small_messages_that_arrive_at_once_are_told_apart(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    messages = [str(number).encode() for number in range(1000)]
    theirs.sendall(b"".join(len(message).to_bytes(8, "big") + message for message in messages))
    assert received(channel, 1000) == messages


def test_worker_reads_that_no_more_comes(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    channel.send(b"last")
    channel.end_sending()
    assert [read_frame(theirs), read_frame(theirs)] == [b"last", None]
    send_frame(theirs, b"answer")
    assert received(channel, 1) == [b"answer"]


def test_message_that_breaks_off_is_none(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    channel.socket.sendall(b"\0\0\0\0\0\0\0\x05abc")
    channel.socket.close()
    assert read_frame(theirs) is None


def test_driver_notices_that_the_other_side_is_gone(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    send_frame(theirs, b"last")
    theirs.close()
    assert received(channel, 1) == [b"last"]
    assert channel.receive() == []
    assert channel.gone


def test_what_is_sent_to_one_who_is_gone_is_dropped(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    theirs.close()
    channel.send(b"x")
    assert (channel.gone, channel.sending) == (True, False)
    channel.close()
    channel.end_sending()
    assert channel.receive() == []
