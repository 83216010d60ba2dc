"""Messages between the driver and its worker processes: bytes behind their number, over a pipe for each direction.

Not over one pair of sockets: whoever waits at its end is woken there by the other side's reading, too, for nothing.
"""

import os
import struct
from typing import NamedTuple

_LENGTH = struct.Struct("!Q")
_CHUNK = 1 << 16
# In place of a length: no more comes. To close the pipe does not say so as long as a fork has it open.
_LAST = b"\xff" * _LENGTH.size


class Ends(NamedTuple):
    """File descriptors of one side.

    Attributes:
        reader: what the other side writes can be read from it.
        writer: what is written to it can be read by the other side.
    """

    reader: int
    writer: int

    def close(self) -> None:
        """Close both."""
        for handle in self:
            os.close(handle)


def both_ends() -> tuple[Ends, Ends]:
    """Return the ends of two sides that are connected.

    Raises:
        OSError: the system has no more pipes.
    """
    first = os.pipe()
    try:
        second = os.pipe()
    except OSError:
        Ends(*first).close()
        raise
    return Ends(first[0], second[1]), Ends(second[0], first[1])


def send_frame(writer: int, data: bytes) -> None:
    """Send a message, however long that takes.

    Raises:
        OSError: the other side is gone.
    """
    left = memoryview(_LENGTH.pack(len(data)) + data)
    while left:
        left = left[os.write(writer, left) :]


def read_frame(reader: int) -> bytes | None:
    """Wait for a message and return it; None when the other side sends no more."""
    head = _exactly(reader, _LENGTH.size)
    return None if head is None or head == _LAST else _exactly(reader, _LENGTH.unpack(head)[0])


def _exactly(reader: int, count: int) -> bytes | None:
    data = os.read(reader, count) if count else b""
    if len(data) == count:
        return data
    parts = bytearray(data)
    while data and len(parts) < count:
        data = os.read(reader, min(count - len(parts), _CHUNK))
        parts += data
    return bytes(parts) if len(parts) == count else None


class Channel:
    """The driver's side: neither sending nor receiving ever waits.

    Attributes:
        ends: to wait for.
        gone: whether the other side takes nothing any more, or says nothing.
        watched: whether somebody waits for what can be received, and for being able to send.
    """

    def __init__(self, ends: Ends) -> None:
        self.ends = ends
        self.gone = False
        self.watched = True, False
        for handle in ends:
            os.set_blocking(handle, False)
        self._out = bytearray()
        self._in = bytearray()

    @property
    def sending(self) -> bool:
        """Whether something waits to be sent, by `flush`."""
        return bool(self._out)

    def send(self, data: bytes) -> None:
        """Send a message, or as much as can be taken now."""
        self._out += _LENGTH.pack(len(data)) + data
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as it can be taken now."""
        try:
            while self._out:
                del self._out[: os.write(self.ends.writer, self._out)]
        except BlockingIOError:
            pass
        except OSError:  # that it died is seen otherwise
            self._out.clear()
            self.gone = True

    def receive(self) -> list[bytes]:
        """Return the messages that have arrived whole."""
        try:
            while data := os.read(self.ends.reader, _CHUNK):
                self._in += data
                if len(data) < _CHUNK:
                    break
            else:
                self.gone = True
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True
        return self._whole()

    def end_sending(self) -> None:
        """Let the other side read that no more comes."""
        self._out += _LAST
        self.flush()

    def close(self) -> None:
        """Close this side."""
        self.ends.close()
        self.ends = Ends(-1, -1)  # the numbers may be those of other files soon

    def _whole(self) -> list[bytes]:
        found: list[bytes] = []
        buffer, at = self._in, 0
        while len(buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if len(buffer) - at - _LENGTH.size < length:
                break
            at += _LENGTH.size
            found.append(bytes(buffer[at : at + length]))
            at += length
        del buffer[:at]
        return found
