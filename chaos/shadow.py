"""What a power cut leaves: the folders of a recording at any of its events, less what was not durable by then.

`strict` keeps no more than POSIX promises: the bytes of a file as of its last fsync, and a name only when the folder that
it is in was fsynced after the name was made; what was removed is back when the folder was not. `journaled` is what common
file systems do: names become durable in the order in which they were made, up to some moment after the last fsync, and
files that were not fsynced since have old, no or some of their bytes.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from chaos.recorder import CONTENTS_FOLDER, FOLDER, LINK, LOG_FILE

STRICT, JOURNALED = "strict", "journaled"


class Node(NamedTuple):
    """A file, folder or link, whatever its names: `content` is a digest, `folder` or `link <target>`."""

    number: int
    content: str
    mode: int


class Disk:
    """The files of a recording, as the process sees them and as they are durable."""

    def __init__(self) -> None:
        self.seen: dict[str, Node] = {}
        self.durable: dict[int, str] = {}
        self.names: dict[int, dict[str, Node]] = {}
        self._numbers: dict[int, int] = {}
        self._next = 0

    def change(self, changed: dict[str, Any], gone: list[str]) -> None:
        """Take over what an observation found."""
        for path in gone:
            self.seen.pop(path, None)
        fresh = {path: entry for path, entry in changed.items()}
        kept = {node.number for path, node in self.seen.items() if path not in fresh}
        earlier = {node.number for node in self.seen.values()}
        for path, (inode, content, mode) in fresh.items():
            self.seen[path] = Node(self._number(inode, gone, kept | earlier), content, mode)

    def sync(self, path: str) -> None:
        """Make a file's bytes, or a folder's names, durable; everything for an empty path."""
        for name in [path] if path else list(self.seen):
            node = self.seen.get(name)
            if node is None:  # removed meanwhile by another thread
                continue
            if node.content == FOLDER:
                self.names[node.number] = dict(self.children(name))
            else:
                self.durable[node.number] = node.content

    def children(self, folder: str) -> Iterator[tuple[str, Node]]:
        """Yield the names in a folder."""
        for path, node in self.seen.items():
            if path.rpartition("/")[0] == folder:
                yield path.rpartition("/")[2], node

    def _number(self, inode: int, gone: list[str], alive: set[int]) -> int:
        """Return the number of an inode; one that had no name any more at the last look is another file now."""
        if inode not in self._numbers or (not gone and self._numbers[inode] not in alive):
            self._next += 1
            self._numbers[inode] = self._next
        return self._numbers[inode]


class Recording:
    """A recording, read.

    Args:
        folder: where `Recorder` put it.
    """

    def __init__(self, folder: Path) -> None:
        self.contents = folder / CONTENTS_FOLDER
        lines = (folder / LOG_FILE).read_text(encoding="utf-8").splitlines()
        self.log: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.cuts = [place for place, entry in enumerate(self.log) if "event" in entry]

    def disk(self, cut: int) -> Disk:
        """Return the disk before the event at a place of the log."""
        disk = Disk()
        for number, entry in enumerate(self.log[:cut]):
            if "changed" in entry:
                disk.change(entry["changed"], entry["gone"])
            if "synced" in entry:
                disk.sync(entry["synced"])
            if number == 0:  # what was there at the start has been there for long
                disk.sync("")
        return disk

    def last_sync(self, cut: int) -> int:
        """Return the place of the last sync before a place of the log, 0 if there was none."""
        return max((place for place in range(cut) if "synced" in self.log[place]), default=0)


def build(recording: Recording, cut: int, model: str, draw: random.Random, roots: dict[str, Path]) -> None:
    """Build what a power cut leaves.

    Args:
        recording: of an undisturbed run.
        cut: place in its log.
        model: `STRICT` or `JOURNALED`.
        draw: decides what `JOURNALED` leaves open.
        roots: watched folder -> where its remains go.
    """
    disk = recording.disk(cut)
    if model == STRICT:
        for root, target in roots.items():
            _build_strict(recording, disk, disk.seen[root], target)
        return
    order = draw.randint(recording.last_sync(cut) + 1, cut)
    named = recording.disk(order).seen
    for path, node in sorted(named.items()):
        root = next(root for root in roots if path == root or path.startswith(f"{root}/"))
        content = _drawn(recording, disk, path, node, draw)
        _make(node, content, roots[root] / path.removeprefix(root).removeprefix("/"))


def _build_strict(recording: Recording, disk: Disk, node: Node, target: Path) -> None:
    if node.content == FOLDER:
        _make(node, b"", target)
        for name, child in disk.names.get(node.number, {}).items():
            _build_strict(recording, disk, child, target / name)
        return
    digest = disk.durable.get(node.number)
    _make(node, _read(recording, digest) if digest else b"", target)


def _drawn(recording: Recording, disk: Disk, path: str, node: Node, draw: random.Random) -> bytes:
    """Return the bytes of a file: the durable ones, or what may have become of later ones."""
    if node.content == FOLDER or node.content.startswith(LINK):
        return b""
    now = disk.seen.get(path)
    latest = now.content if now is not None and now.number == node.number else node.content
    durable = disk.durable.get(node.number)
    if durable == latest:
        return _read(recording, latest)
    written = _read(recording, latest)
    old = _read(recording, durable) if durable else b""
    torn = written[: draw.randint(min(len(old), len(written)), len(written))]
    return draw.choice([old, torn, written])


def _read(recording: Recording, digest: str) -> bytes:
    return b"" if digest.startswith(LINK) else (recording.contents / digest).read_bytes()


def _make(node: Node, content: bytes, target: Path) -> None:
    if node.content == FOLDER:
        target.mkdir(exist_ok=True)
    elif node.content.startswith(LINK):
        target.symlink_to(node.content.removeprefix(LINK).strip())
        return
    else:
        target.write_bytes(content)
    target.chmod(node.mode)
