"""Messages between the driver and its worker processes: bytes behind their number, over a pair of sockets."""

import socket
import struct

_LENGTH = struct.Struct("!Q")
_CHUNK = 1 << 16


def send_frame(channel: socket.socket, data: bytes) -> None:
    """Send a message, however long that takes.

    Raises:
        OSError: the other side is gone.
    """
    channel.sendall(_LENGTH.pack(len(data)) + data)


def read_frame(channel: socket.socket) -> bytes | None:
    """Wait for a message and return it; None when the other side sends no more.

    Raises:
        OSError: the other side is gone.
    """
    head = _exactly(channel, _LENGTH.size)
    return None if head is None else _exactly(channel, _LENGTH.unpack(head)[0])


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    data = channel.recv(count) if count else b""
    if len(data) == count:
        return data
    parts = bytearray(data)
    while data and len(parts) < count:
        data = channel.recv(min(count - len(parts), _CHUNK << 4))
        parts += data
    return bytes(parts) if len(parts) == count else None


class Channel:
    """The driver's end: neither sending nor receiving ever waits.

    Attributes:
        socket: to wait for.
        gone: whether the other side takes nothing any more.
        watched: whether somebody waits for what can be received, and for being able to send.
    """

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self.gone = False
        self.watched = True, False
        end.setblocking(False)
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
                del self._out[: self.socket.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:  # that it died is seen otherwise
            self._out.clear()
            self.gone = True

    def receive(self) -> list[bytes]:
        """Return the messages that have arrived whole."""
        try:
            while data := self.socket.recv(_CHUNK):
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
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.gone = True

    def close(self) -> None:
        """Close this end."""
        self.socket.close()

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
