"""What a power cut leaves: the folders of a recording at any of its events, less what was not durable by then.

`strict` keeps no more than POSIX promises: the bytes of a file as of its last fsync, and a name only when its folder
was fsynced after the name was made; what was removed is back when the folder was not. `journaled` is what common file
systems do: names become durable in the order in which they were made, up to some moment after the last fsync, and files
that were not fsynced since have old, no or some of their bytes.
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from chaos.recorder import CONTENTS_FOLDER, FOLDER, LINK, LOG_FILE

STRICT, JOURNALED = "strict", "journaled"


class Node(NamedTuple):
    """A file, folder or link, whatever its names: `content` is a digest, `folder` or `link <target>`."""

    number: int
    inode: int
    content: str
    mode: int


class Disk:
    """The files of a recording, as the process sees them and as they are durable."""

    def __init__(self) -> None:
        self.seen: dict[str, Node] = {}
        self.durable: dict[int, str] = {}
        self.names: dict[int, dict[str, Node]] = {}
        self._next = 0

    def change(self, changed: dict[str, list[Any]], gone: list[str]) -> None:
        """Take over what an observation found; an inode without a name at the last one is another file now."""
        numbers = {node.inode: node.number for node in self.seen.values()}
        for path in gone:
            self.seen.pop(path, None)
        for path, (inode, content, mode) in changed.items():
            if inode not in numbers:
                self._next += 1
                numbers[inode] = self._next
            self.seen[path] = Node(numbers[inode], inode, content, mode)

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


class Remains(NamedTuple):
    """Builds what a power cut leaves.

    Attributes:
        recording: of an undisturbed run.
        root: folder that the recorded run had for itself.
        target: folder that the remains get; paths of the one in texts become paths of the other.
    """

    recording: Recording
    root: str
    target: Path

    def build(self, cut: int, model: str, draw: random.Random, watched: Sequence[str]) -> Disk:
        """Build the watched folders and return the disk as of the cut.

        Args:
            cut: place in the log.
            model: `STRICT` or `JOURNALED`.
            draw: decides what `JOURNALED` leaves open.
            watched: the folders.
        """
        disk = self.recording.disk(cut)
        if model == STRICT:
            for folder in watched:
                self._strict(disk, folder, disk.seen[folder])
            return disk
        named = self.recording.disk(draw.randint(min(self.recording.last_sync(cut) + 1, cut), cut)).seen
        for path, node in sorted(named.items()):
            self._put(path, node, self._drawn(disk, path, node, draw))
        return disk

    def _strict(self, disk: Disk, path: str, node: Node) -> None:
        self._put(path, node, self._read(disk.durable.get(node.number)))
        for name, child in disk.names.get(node.number, {}).items():
            self._strict(disk, f"{path}/{name}", child)

    def _drawn(self, disk: Disk, path: str, node: Node, draw: random.Random) -> bytes:
        """Return the bytes of a file: the durable ones, or what may have become of later ones."""
        now = disk.seen.get(path)
        latest = now.content if now is not None and now.number == node.number else node.content
        durable = disk.durable.get(node.number)
        old, written = self._read(durable), self._read(latest)
        if durable == latest:
            return written
        torn = written[: draw.randint(min(len(old), len(written)), len(written))]
        return draw.choice([old, torn, written])

    def _read(self, content: str | None) -> bytes:
        if content is None or content == FOLDER or content.startswith(LINK):
            return b""
        return (self.recording.contents / content).read_bytes()

    def _put(self, path: str, node: Node, content: bytes) -> None:
        target = self.target / path.removeprefix(self.root).lstrip("/")
        if node.content.startswith(LINK):
            target.symlink_to(node.content.removeprefix(LINK).strip())
            return
        if node.content == FOLDER:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.write_bytes(content.replace(self.root.encode(), str(self.target).encode()))
        target.chmod(node.mode)
