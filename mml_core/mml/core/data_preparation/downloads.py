"""Fetching files: resumed, verified, and under their final name only when whole."""

import hashlib
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from filelock import FileLock

from mml.core.data_preparation.disk import disk_errors
from mml.core.scripts.exceptions import TaskDataError
from mml.core.scripts.utils import fsync_folder

logger = logging.getLogger(__name__)

# Seconds until a server that does not answer counts as out of reach.
TIMEOUT = 8.0
_CHUNK = 1 << 16
_SCHEMES = ("http://", "https://", "file://")

Check = Callable[[Path], None]


class DownloadError(TaskDataError):
    """A file that could not be fetched; the text says why for each address that was tried."""


def fetch(urls: Sequence[str], target: Path, check: Check, advance: Callable[[int], None] | None = None) -> Path:
    """Fetch a file unless it is there, from the first address that works.

    A part that an earlier attempt left is continued. Two processes that want one file fetch it once.

    Args:
        urls: addresses of the same file.
        target: where it goes; its folder exists.
        check: raises `ValueError` if the bytes at a path are not the file wanted.
        advance: is told how many bytes more have come.

    Raises:
        DownloadError: no address works.
        TaskDataError: the disk is full, or can't be written.
    """
    faults = []
    with disk_errors(target.parent), FileLock(target.with_name(f".{target.name}.lock")):
        if target.exists():
            return target
        part = target.with_name(f".{target.name}.part")
        for url in urls:
            continued = part.exists()
            fault = _try_fetch(url, part, check, advance or _ignore)
            if fault and continued and not part.exists():
                # What an earlier attempt left was the start of another file.
                fault = _try_fetch(url, part, check, advance or _ignore)
            if fault is None:
                part.replace(target)
                fsync_folder(target.parent)
                return target
            faults.append(f"{url}: {fault}")
    msg = f"{target.name} could not be fetched ({'; '.join(faults) or 'no address is known'})."
    raise DownloadError(msg)


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """Return the checksum of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def checksum_check(expected: str, algorithm: str = "sha256") -> Check:
    """Return a check that accepts the file with this checksum and no other."""

    def check(path: Path) -> None:
        found = checksum(path, algorithm)
        if found != expected.lower():
            msg = f"its {algorithm} is {found}, not {expected}"
            raise ValueError(msg)

    return check


def _try_fetch(url: str, part: Path, check: Check, advance: Callable[[int], None]) -> str | None:
    """Fetch what is missing of a file; return why that failed. A part that turns out to be wrong is removed."""
    try:
        _fetch_part(url, part, advance)
        check(part)
    except ValueError as error:
        part.unlink(missing_ok=True)
        return str(error)
    except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError) as error:
        return _reason(error)
    return None


def _fetch_part(url: str, part: Path, advance: Callable[[int], None]) -> None:
    """Append what is missing of a file to its part."""
    if not url.startswith(_SCHEMES):
        msg = f"only addresses that start with {', '.join(_SCHEMES)} can be fetched"
        raise ValueError(msg)
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-", "User-Agent": "mml"} if have else {})
    logger.info("Fetching %s", url)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # there is nothing after what we have: the part is whole, or wrong
            error.close()
            return
        raise
    with response:
        continued = have and response.status == 206
        with part.open("ab" if continued else "wb") as file:
            _copy(response, file.write, advance)
            file.flush()
            os.fsync(file.fileno())


def _copy(response: HTTPResponse, write: Callable[[bytes], int], advance: Callable[[int], None]) -> None:
    expected = response.headers.get("Content-Length")
    got = 0
    while data := _read(response):
        write(data)
        got += len(data)
        advance(len(data))
    if expected is not None and got < int(expected):
        msg = f"the connection broke after {got} of {expected} bytes"
        raise ConnectionError(msg)


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, HTTPException) as error:
        # Not an error of the disk that is written to, which an OSError would be taken for.
        raise ConnectionError(_reason(error)) from error


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return str(reason) or type(error).__name__


def _ignore(_: int) -> None:
    """Take no notice."""
