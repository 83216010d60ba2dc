"""A web server that takes the notifications of a run, as any service of apprise does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import NamedTuple

WAIT = 60


class Received(NamedTuple):
    """A notification as it arrived."""

    kind: str
    title: str
    lines: list[str]


class Inbox:
    """The notifications that arrived, in order.

    Attributes:
        url: where to send them.
        status: how the server answers.
        open: the server answers only when it is set.
    """

    def __init__(self, port: int) -> None:
        self.url = f"json://me:secret@127.0.0.1:{port}"
        self.status = 200
        self.open = threading.Event()
        self.open.set()
        self.arrived: SimpleQueue[Received] = SimpleQueue()

    def next(self) -> Received:
        """Wait for the next notification and return it."""
        return self.arrived.get(timeout=WAIT)

    def all(self) -> list[Received]:
        """Return those that arrived and were not looked at."""
        return [self.arrived.get() for _ in range(self.arrived.qsize())]


@contextmanager
def inbox_server() -> Iterator[Inbox]:
    """Serve an inbox on this machine while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            inbox.open.wait(WAIT)
            inbox.arrived.put(Received(content["type"], content["title"], content["message"].splitlines()))
            self.send_response(inbox.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the name is the library's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        inbox = Inbox(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield inbox
        finally:
            inbox.open.set()
            server.shutdown()
            thread.join()
