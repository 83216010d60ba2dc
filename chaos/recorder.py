"""Writes down, inside of a watched process, every state of its files and every moment at which some became durable.

The recording is a log of JSON lines, read by `chaos.shadow`, and a folder of contents, named by their digests.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LOG_FILE, CONTENTS_FOLDER = "recording.jsonl", "contents"
FOLDER, LINK = "folder", "link"
# Time stamps of files move in steps of up to 10 ms: what changed just now may have changed again.
_RECENT_NS = 200_000_000

# Number of the inode, digest of the content (or `FOLDER`, or what a link points to), permissions.
Entry = tuple[int, str, int]


class Recorder:
    """Observes the watched folders whenever something is about to happen in them.

    Args:
        folders: the watched folders.
        record: where the recording goes; outside of them.
    """

    def __init__(self, folders: list[str], record: str) -> None:
        self._folders = folders
        self._contents = Path(record) / CONTENTS_FOLDER
        self._contents.mkdir(parents=True)
        self._log = (Path(record) / LOG_FILE).open("w", encoding="utf-8")
        self._known: dict[str, Entry] = {}
        self._states: dict[str, tuple[int, ...]] = {}
        self._observe()

    def before(self, event: str, paths: list[str]) -> None:
        """Write down what there is before an event."""
        self._observe()
        self._write({"event": event, "paths": paths})

    def synced(self, path: str) -> None:
        """Write down what became durable; everything, for an empty path."""
        self._observe()
        self._write({"synced": path})

    def _observe(self) -> None:
        """Write down what changed since the last look."""
        found = dict(self._found())
        changed = {path: entry for path, entry in found.items() if self._known.get(path) != entry}
        gone = [path for path in self._known if path not in found]
        if changed or gone:
            self._write({"changed": changed, "gone": gone})
        self._known = found

    def _found(self) -> Iterator[tuple[str, Entry]]:
        for root in self._folders:
            for folder, names, files in os.walk(root):
                for name in [".", *names, *files] if folder == root else [*names, *files]:
                    path = folder if name == "." else f"{folder}/{name}"
                    if entry := self._entry(path):
                        yield path, entry

    def _entry(self, path: str) -> Entry | None:
        """Return what stands at a path, None when a thread has just removed it."""
        try:
            state = os.lstat(path)  # noqa: PTH116 # a Path per file and event is slow
            mode = stat.S_IMODE(state.st_mode)
            if stat.S_ISDIR(state.st_mode):
                return state.st_ino, FOLDER, mode
            if stat.S_ISLNK(state.st_mode):
                return state.st_ino, f"{LINK} {os.readlink(path)}", mode  # noqa: PTH115
            return state.st_ino, self._content(path, state), mode
        except FileNotFoundError:
            return None

    def _content(self, path: str, state: os.stat_result) -> str:
        stamp = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        if self._states.get(path) == stamp and time.time_ns() - state.st_mtime_ns > _RECENT_NS:
            return self._known[path][1]
        data = Path(path).read_bytes()
        self._states[path] = stamp
        digest = hashlib.sha256(data).hexdigest()
        if not (self._contents / digest).exists():
            (self._contents / digest).write_bytes(data)
        return digest

    def _write(self, what: dict[str, Any]) -> None:
        self._log.write(json.dumps(what) + "\n")
        self._log.flush()
