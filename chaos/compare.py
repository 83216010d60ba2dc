"""What a run left, so written down that two runs can be compared byte for byte, and what of it differs.

Only this is made equal: the folder that a run was started in, the name of the run (it holds the time), the random part
of the token of a creation, and the fields of `TIMES`. Files that tell of processes, not of results, are left out. The
curves for TensorBoard, one file per process, are compared by what they show: tag, step and value of every point.
"""

import hashlib
import re
import stat
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mml.core.scripts.journal import JOURNAL_FILE, AnyEvent, Done, RunRecord, Started, read_events
from mml.core.scripts.run_folder import CONFIG_FILE

# Fields of records that hold the time at which, or for which, something was done.
TIMES = ("created", "training_time", "mtime_ns")
_CURVES = "events.out.tfevents"
_TIME = re.compile(rb'("(?:%s)": ?)("[^"]*"|[-+0-9.eE]+)' % "|".join(TIMES).encode())
_TOKEN = re.compile(rb"(<run \d+>-)[0-9a-f]{8}")
# Which processes worked, and when: file -> why it says nothing of results.
OF_PROCESSES = {
    "exp.log": "has a line for whatever each process did",
    "run.lock": "names the process that held it last",
    "live.json": "says where the process is just now, and is not durable by design",
    ".live.tmp.json": "the same, about to be written",
    "record.json": "of the cache of images: a digest of their time stamps; the cache itself is compared",
    ".index.json": "a cache with time stamps of files, which is made anew when it is missing",
}


def run_folders(results: Path) -> list[Path]:
    """Return the folders of all runs that can be continued; a run killed before that left nothing to continue."""
    return sorted(path.parent for path in results.glob(f"*/runs/*/{CONFIG_FILE}"))


def outcome(root: Path) -> dict[str, bytes]:
    """Return what is below `results` and `data` of a world: path -> kind, permissions and content, made comparable."""
    runs = run_folders(root / "results")
    names = {str(root).encode(): b"<root>"} | {
        run.name.encode(): b"<run %d>" % i for i, run in enumerate(runs, start=1)
    }
    abandoned = {run for run in root.glob("results/*/runs/*") if run.is_dir() and run not in runs}
    found = {}
    for path in _paths(root, abandoned):
        content = _curves(path.parent) if path.name == _CURVES else _content(path)
        key = _made_equal(path.relative_to(root).as_posix().encode(), names).decode()
        found[key] = _made_equal(content, names)
    return found


def _paths(root: Path, left_out: set[Path]) -> Iterator[Path]:
    """Yield all that is compared; the files of curves in one folder as one."""
    for folder in ("results", "data"):
        for path in sorted((root / folder).rglob("*")):
            if path.name not in OF_PROCESSES and left_out.isdisjoint((path, *path.parents)):
                yield path.with_name(_CURVES) if path.name.startswith(_CURVES) else path


def differences(root: Path, expected: Path) -> list[str]:
    """Return one line per file or folder that is not what it is in another world."""
    left, right = outcome(root), outcome(expected)
    return [
        f"{path}: {_short(left.get(path))}, not {_short(right.get(path))}"
        for path in sorted(left | right)
        if left.get(path) != right.get(path)
    ]


def repeated_steps(root: Path) -> int:
    """Return how many steps were begun or recorded again after they were recorded as done, over all runs of a world."""
    return sum(_repeated(read_events(path)[0]) for path in root.glob(f"results/*/runs/*/{JOURNAL_FILE}"))


def is_finished(run: Path) -> bool:
    """Tell whether the journal of a run says that nothing is left to do."""
    return RunRecord(read_events(run / JOURNAL_FILE)[0]).finished


def done_steps(data: bytes, scratch: Path) -> int:
    """Return how many steps a journal of these bytes records as done."""
    scratch.write_bytes(data)
    return len(RunRecord(read_events(scratch)[0]).done)


def _repeated(events: Iterable[AnyEvent]) -> int:
    done: set[int] = set()
    again = 0
    for event in events:
        if isinstance(event, Started | Done):
            again += event.step in done
        if isinstance(event, Done):
            done.add(event.step)
    return again


def _content(path: Path) -> bytes:
    mode = path.lstat().st_mode
    head = f"{stat.filemode(mode)}\n".encode()
    if path.is_symlink():
        return head + bytes(path.readlink())
    if path.is_dir():
        return head
    return head + (_of_journal(path) if path.name == JOURNAL_FILE else path.read_bytes())


def _of_journal(path: Path) -> bytes:
    """Return what a journal says of the work, whatever processes it took."""
    record = RunRecord(read_events(path)[0])
    said: dict[str, Any] = {
        "plan": record.plan,
        "planned at the start": record.base_plan,
        "reused": [record.initial, record.reused],
        "done": [
            [e.step, e.tasks, None if e.value is msgspec.UNSET else e.value, e.grown] for e in record.done.values()
        ],
        "files": {
            str(maker): list(dict.fromkeys(e.path for e in events)) for maker, events in record.announced.items()
        },
        "value": record.value,
        "finished": record.finished,
    }
    return msgspec.json.format(msgspec.json.encode(said, order="deterministic"), indent=1)


def _curves(folder: Path) -> bytes:
    """Return the points of all curves that TensorBoard shows of a folder, sorted and each once."""
    from tensorboard.compat.proto.event_pb2 import Event

    points = set()
    for path in folder.glob(f"{_CURVES}.*"):
        for record in _records(path.read_bytes()):
            event = Event.FromString(record)
            points |= {(value.tag, event.step, value.simple_value) for value in event.summary.value}
    return "\n".join(map(str, sorted(points))).encode()


def _records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a TFRecord file: length, checksum of it, bytes, checksum of these; a torn one ends it."""
    start = 0
    while start + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, start)
        if start + 16 + length > len(data):
            return
        yield data[start + 12 : start + 12 + length]
        start += 16 + length


def _made_equal(data: bytes, names: dict[bytes, bytes]) -> bytes:
    for name, common in names.items():
        data = data.replace(name, common)
    return _TIME.sub(rb"\1<time>", _TOKEN.sub(rb"\1<token>", data))


def _short(content: bytes | None) -> str:
    if content is None:
        return "missing"
    if len(content) <= 120:
        return repr(content.decode(errors="backslashreplace"))
    return f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()[:12]}"


def first_difference(left: bytes, right: bytes) -> str:
    """Return where two contents part, for whoever looks into a difference."""
    place = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    around = slice(max(0, place - 60), place + 60)
    return f"at byte {place}: {_cut(left, around)} / {_cut(right, around)}"


def _cut(data: Sequence[int] | bytes, around: slice) -> str:
    return repr(bytes(data[around]).decode(errors="backslashreplace"))
