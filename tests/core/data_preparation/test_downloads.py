import hashlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from mml.core.data_preparation.downloads import DownloadError, checksum, checksum_check, fetch
from mml.core.scripts.exceptions import TaskDataError

CONTENT = bytes(range(256)) * 1000
CHECK = checksum_check(hashlib.sha256(CONTENT).hexdigest())


class Handler(BaseHTTPRequestHandler):
    """Serves `CONTENT` under /file, understands ranges unless the path says so, and breaks off under /broken."""

    requests: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.requests.append((self.path, wanted))
        if self.path == "/missing":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.path != "/no-ranges" else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = b"<html>log in</html>" if self.path == "/portal" else CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/broken" else body)

    def log_message(self, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.requests.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data.bin"


def part(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def test_a_file_is_fetched_verified_and_counted(server: str, target: Path) -> None:
    counted: list[int] = []
    assert fetch([f"{server}/file"], target, CHECK, counted.append) == target
    assert target.read_bytes() == CONTENT
    assert sum(counted) == len(CONTENT)
    assert not part(target).exists()


def test_a_file_that_is_there_is_not_fetched_again(server: str, target: Path) -> None:
    target.write_bytes(b"verified before")
    fetch([f"{server}/file"], target, CHECK)
    assert target.read_bytes() == b"verified before"
    assert Handler.requests == []


@pytest.mark.parametrize("have", [1000, len(CONTENT)])
def test_a_part_is_continued(server: str, target: Path, have: int) -> None:
    part(target).write_bytes(CONTENT[:have])
    fetch([f"{server}/file"], target, CHECK)
    assert target.read_bytes() == CONTENT
    assert Handler.requests == [("/file", f"bytes={have}-")]


def test_a_part_of_another_file_is_fetched_anew(server: str, target: Path) -> None:
    part(target).write_bytes(b"the start of something else")
    fetch([f"{server}/file"], target, CHECK)
    assert target.read_bytes() == CONTENT
    assert Handler.requests[-1] == ("/file", None)


def test_a_server_that_can_not_continue_starts_over(server: str, target: Path) -> None:
    part(target).write_bytes(b"something else")
    fetch([f"{server}/no-ranges"], target, CHECK)
    assert target.read_bytes() == CONTENT
    assert len(Handler.requests) == 1


def test_a_connection_that_breaks_leaves_its_part_for_the_next_attempt(server: str, target: Path) -> None:
    with pytest.raises(DownloadError, match="broke after 128000 of 256000 bytes"):
        fetch([f"{server}/broken"], target, CHECK)
    assert not target.exists()
    assert part(target).read_bytes() == CONTENT[:128000]
    fetch([f"{server}/file"], target, CHECK)
    assert Handler.requests[-1] == ("/file", "bytes=128000-")


def test_the_next_address_is_tried(server: str, target: Path) -> None:
    urls = [f"{server}/missing", f"{server}/portal", f"{server}/broken", f"{server}/file"]
    fetch(urls, target, CHECK)
    assert target.read_bytes() == CONTENT


def test_when_no_address_works_every_reason_is_told(server: str, target: Path) -> None:
    with pytest.raises(DownloadError) as raised:
        fetch([f"{server}/missing", f"{server}/portal", "ftp://host/file"], target, CHECK)
    message = str(raised.value)
    assert "data.bin could not be fetched" in message
    assert "/missing: Not Found" in message
    assert "/portal: its sha256 is" in message
    assert "ftp://host/file: only addresses that start with http" in message


def test_a_file_of_another_checksum_never_gets_its_name(server: str, target: Path) -> None:
    with pytest.raises(DownloadError, match="its sha256 is"):
        fetch([f"{server}/portal"], target, CHECK)
    assert not target.exists()
    assert not part(target).exists()


def test_a_server_out_of_reach_is_an_error_with_the_reason(target: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(DownloadError, match="Connection refused"):
        fetch([f"http://127.0.0.1:{port}/file"], target, CHECK)


def test_a_server_that_stays_silent_is_given_up(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mml.core.data_preparation.downloads.TIMEOUT", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DownloadError, match="timed out"):
            fetch([f"http://127.0.0.1:{silent.getsockname()[1]}/file"], target, CHECK)


def test_without_addresses_nothing_can_be_fetched(target: Path) -> None:
    with pytest.raises(DownloadError, match="no address is known"):
        fetch([], target, CHECK)


def test_two_that_want_one_file_fetch_it_once(server: str, target: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fetch([f"{server}/file"], target, CHECK), range(4)))
    assert len(Handler.requests) == 1


def test_a_folder_that_can_not_be_written_is_explained(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TaskDataError, match="data folder can't be written"):
        fetch([f"{server}/file"], tmp_path / "file" / "data.bin", CHECK)


@pytest.mark.parametrize(("algorithm", "digits"), [("sha256", 64), ("md5", 32)])
def test_checksums_of_any_kind_can_be_checked(target: Path, algorithm: str, digits: int) -> None:
    target.write_bytes(b"x")
    found = checksum(target, algorithm)
    assert len(found) == digits
    checksum_check(found.upper(), algorithm)(target)
    with pytest.raises(ValueError, match=f"its {algorithm} is {found}, not 00"):
        checksum_check("00", algorithm)(target)
