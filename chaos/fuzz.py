"""Task descriptions and journals made at random from real ones: each ends in a result or in an error for the user.

What is found is used as mml uses it. Any other exception, a hang, or a file that is touched outside of its place is a
loss; the input that led to it is kept.
"""

import copy
import json
import logging
import random
import shutil
import signal
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from chaos.launchers import ForkServer, World
from chaos.table import Options, Row
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_loading.image_cache import TaskImages
from mml.core.data_loading.modality_loaders import Preprocessing, encode_labels, sample_tables
from mml.core.data_loading.task_attributes import Modality, TaskType
from mml.core.data_loading.task_description import DESCRIPTION_FILE
from mml.core.data_loading.task_index import TaskIndex
from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.journal import (
    Done,
    Event,
    Failed,
    Finished,
    Finishing,
    Opened,
    PathAnnounced,
    Planned,
    RunRecord,
    Skipped,
    Started,
    Stopped,
    encode_line,
    read_events,
)
from mml.core.scripts.model_storage import ModelStorage, record_builtins
from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.run_folder import CONFIG_FILE, RUNS_FOLDER
from mml.core.scripts.runs import list_runs
from mml.core.scripts.schedule import StepRecord
from mml.core.scripts.struct_tracker import StructTracker
from mml.report.sample_grid import draw_grid

POINTS, QUICK_POINTS = 10_000, 100
# Of all inputs, this share is given to the real command, too, in a process of its own.
_EACH_OF_CLI, _EACH_OF_CLI_QUICK = 50, 25
_SECONDS = 20  # more than any input needs is a hang
TASK, RUN = "fuzzed", "2026-11-20_08-00-00_noop"
_CANARY = "precious"

Fuzzed = Callable[[bytes], None]


class _HangError(BaseException):
    """An input that takes too long."""


class Loss(NamedTuple):
    """An input that broke the promise.

    Attributes:
        data: the bytes.
        fault: what happened.
    """

    data: bytes
    fault: str


# --- what inputs are made of

_NAMES = st.sampled_from(
    ["..", "../../x", "/etc/passwd", "a\0b", "", "x" * 300, "é", "\n", "a/b", "PROJ_PATH", "task", "{}", "\u202e", "0"]
)
_NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, -0.0, 1e300, -1e300, 1e-320, 7]),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
_LEAVES = st.one_of(st.none(), st.booleans(), _NUMBERS, _NAMES, st.text(max_size=8))
VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(_NAMES, st.text(max_size=4)), inner, max_size=3)
    ),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value inside of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _places(inner, (*path, key))


def mutated(draw: Callable[[st.SearchStrategy[Any]], Any], value: Any, times: int) -> Any:
    """Return a JSON value in which some parts are removed, replaced, renamed, doubled or exchanged."""
    value = copy.deepcopy(value)
    for _ in range(times):
        places = list(_places(value))
        if not places:
            return draw(VALUES)
        *way, key = draw(st.sampled_from(places))
        inner = value
        for step in way:
            inner = inner[step]
        _change(draw, inner, key, draw(st.sampled_from(["remove", "replace", "rename", "copy"])))
    return value


def _change(draw: Callable[[st.SearchStrategy[Any]], Any], inner: Any, key: Any, how: str) -> None:
    if how == "remove":
        del inner[key]
    elif how == "replace":
        inner[key] = draw(VALUES)
    elif how == "rename" and isinstance(inner, dict):
        name = draw(st.one_of(_NAMES, st.sampled_from(sorted(map(str, inner)))))
        inner[name] = inner.pop(key)
    elif isinstance(inner, dict):
        inner[key] = copy.deepcopy(inner[draw(st.sampled_from(sorted(map(str, inner))))])
    else:
        inner.insert(draw(st.integers(0, len(inner))), copy.deepcopy(inner[key]))


def torn(draw: Callable[[st.SearchStrategy[Any]], Any], data: bytes) -> bytes:
    """Return bytes of which some are changed, or that are cut."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        if changed:
            changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
    return bytes(changed[: draw(st.integers(0, len(changed)))] if draw(st.booleans()) else changed)


# --- task descriptions

_KINDS: dict[TaskType, tuple[Modality, Any]] = {
    TaskType.CLASSIFICATION: (Modality.CLASS, 1),
    TaskType.MULTILABEL_CLASSIFICATION: (Modality.CLASSES, [0, 1]),
    TaskType.REGRESSION: (Modality.VALUE, 0.5),
    TaskType.SEMANTIC_SEGMENTATION: (Modality.MASK, "images/0.png"),
}


def base_description(kind: TaskType) -> dict[str, Any]:
    """Return a description as mml writes it, of four images."""
    key, label = _KINDS[kind]
    samples = {f"s{number}": {"image": f"images/{number}.png", key.value: label} for number in range(4)}
    return {
        "name": TASK,
        "task_type": kind.value,
        "description": "made to be broken",
        "license": "MIT",
        "keywords": ["animals"],
        "means": [0.5, 0.5, 0.5],
        "stds": [0.25, 0.25, 0.25],
        "sizes": {"min_height": 8, "max_height": 8, "min_width": 8, "max_width": 8},
        "modalities": {"image": "png", key.value: "int"},
        "idx_to_class": {"0": "cat", "1": "dog"},
        "class_occ": {"cat": 0, "dog": 4},
        "train_folds": [["s0"], ["s1"]],
        "train_samples": {name: samples[name] for name in ("s0", "s1")},
        "test_samples": {"s2": samples["s2"]},
        "unlabeled_samples": {"s3": {"image": "images/3.png"}},
    }


@st.composite
def descriptions(draw: Callable[[st.SearchStrategy[Any]], Any]) -> bytes:
    """Return the bytes of a description file that may be anything from untouched to noise."""
    value = base_description(draw(st.sampled_from(sorted(_KINDS))))
    data = json.dumps(mutated(draw, value, draw(st.integers(0, 4))), ensure_ascii=draw(st.booleans())).encode()
    return torn(draw, data) if draw(st.integers(0, 9)) == 0 else data


class DescriptionUser:
    """Uses a description as the listing, the picture and the loading of a task do.

    Args:
        world: where; gets the images.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.folder = world.data / "tasks" / TASK
        (self.folder / "images").mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (8, 8), (number * 60, 0, 0)).save(self.folder / "images" / f"{number}.png")

    def put(self, data: bytes) -> None:
        """Make it the task's description."""
        (self.folder / DESCRIPTION_FILE).write_bytes(data)
        (self.folder.parent / ".index.json").unlink(missing_ok=True)

    def use(self, data: bytes) -> None:
        """Use it.

        Raises:
            MMLError: it can't be used.
        """
        self.put(data)
        index = TaskIndex(self.world.data)
        assert [name for name, _ in index.headers()] == [TASK]
        index.counts(TASK)
        MMLFileManager.clear_instance()
        manager: MMLFileManager = MMLFileManager(self.world.data, self.world.results / "default")
        struct = StructTracker(manager).get(TASK)
        images = TaskImages(struct, Preprocessing(8, 8))
        images.digest()
        images.gather(range(len(images)))
        for samples in sample_tables(struct.description)[:2]:
            encode_labels(list(samples.values()), struct)
        draw_grid([(name, [self.folder / "images" / "0.png"]) for name in struct.idx_to_class.values()][:4], 2, 16)


# --- journals


def base_events(world: World) -> list[Event]:
    """Return the events of a run in which everything happened."""
    steps = [StepRecord("work", [TASK, 0]), StepRecord("work", [TASK, 1]), StepRecord("work", [TASK, 2], [0])]
    text = "default/NOOP/fuzzed/text_0_0001.txt"
    model = ModelStorage(
        task=TASK, fold=0, parameters=world.results / text, created=datetime(2026, 1, 1, tzinfo=UTC), performance=0.5
    )
    roots = PathRoots(world.results, world.data)
    change = {TASK: {"paths": {"text_0": text}, "models": [record_builtins(model, roots)]}}
    grown = [StepRecord("work", [TASK, 100]), StepRecord("rest", [100], [])]
    scrap = f"default/{RUNS_FOLDER}/{RUN}/temp/0.txt"
    return [
        Opened(time=1.7e9, pid=7, host="here", command=["mml"], mode="noop", tasks=[TASK], versions={"mml": "1"}),
        PathAnnounced(time=1.7e9, path="default/PLOTS/hooks/before_run_0001.txt", key="plots", hook="preparation"),
        Planned(time=1.7e9, steps=steps, reused={"all": "default/all.json"}),
        Started(time=1.7e9, step=0),
        PathAnnounced(time=1.7e9, path=text, key="noop_text", step=0),
        PathAnnounced(time=1.7e9, path=scrap, key="temp", step=0),
        Done(time=1.7e9, step=0, seconds=0.5, tasks=change, value=[0.5, {"$float": "nan"}], grown=grown),
        Started(time=1.7e9, step=1),
        PathAnnounced(time=1.7e9, path="default/NOOP/fuzzed/text_1_0001.txt", key="noop_text", step=1),
        Failed(time=1.7e9, step=1, error="boom", traceback="errors/1.txt"),
        Skipped(time=1.7e9, step=2, needs=1),
        Stopped(time=1.7e9, step=1, signal="SIGTERM"),
        Finishing(time=1.7e9, value={"a": 1}),
        Finished(time=1.7e9, seconds=1.5, value={"a": 1}),
    ]


def journal_line(event: Any) -> bytes:
    """Return the line of an event with a checksum that fits, whatever the event says."""
    body = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")[:-1]
    return b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))


@st.composite
def journals(draw: Callable[[st.SearchStrategy[Any]], Any], lines: list[Any]) -> bytes:
    """Return the bytes of a journal: events left out, repeated, exchanged or changed, or bytes of it."""
    kept = draw(st.lists(st.sampled_from(range(len(lines))), max_size=len(lines))) if draw(st.booleans()) else None
    events = [lines[number] for number in (range(draw(st.integers(1, len(lines)))) if kept is None else sorted(kept))]
    if events and draw(st.integers(0, 9)):
        place = draw(st.sampled_from(range(len(events))))
        events[place] = mutated(draw, events[place], draw(st.integers(1, 2)))
    data = b"".join(map(journal_line, events))
    return torn(draw, data) if draw(st.integers(0, 9)) == 0 else data


class JournalUser:
    """Uses a journal as lists of runs, and the start of `continue`, do.

    Args:
        world: where; gets a run folder, a task, and the files that the journal names.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        DescriptionUser(world).put(json.dumps(base_description(TaskType.CLASSIFICATION)).encode())
        MMLFileManager.clear_instance()
        self.manager: MMLFileManager = MMLFileManager(world.data, world.results / "default")
        self.folder = world.results / "default" / RUNS_FOLDER / RUN
        (self.folder / "temp").mkdir(parents=True)
        (self.folder / CONFIG_FILE).write_text("mode: {id: noop}\n")
        self.lines: list[Any] = [msgspec.json.decode(encode_line(event)) for event in base_events(world)]
        for line in self.lines:
            del line["crc"]

    def put(self, data: bytes) -> None:
        """Make it the journal of the run."""
        (self.folder / "journal.jsonl").write_bytes(data)

    def use(self, data: bytes) -> None:
        """Use it.

        Raises:
            MMLError: it can't be used.
        """
        self.put(data)
        list_runs(self.world.results)  # a damaged one is listed as such
        record = RunRecord(read_events(self.folder / "journal.jsonl")[0])
        manager, roots = self.manager, self.manager.roots
        manager.open_run(self.folder)
        tracker = StructTracker(manager)
        for done in [record.initial, *(event.tasks for event in record.done.values())]:
            tracker.replay(done)
        tracker.get(TASK)
        for text in [*record.unfinished_paths(), *record.repeated_paths(), *record.paths_of_kind("temp")]:
            manager.remove_half_written(roots.to_path(text))


# --- trying


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _HangError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fault_of(use: Fuzzed, data: bytes, root: Path) -> str | None:
    """Use an input; return what went wrong, None when it ended in a result or a clear error.

    Args:
        use: uses it.
        data: the input.
        root: the world; nothing but what lies in `data` and `results` may be touched.
    """
    before = canaries(root)
    fault = None
    try:
        with _alarm():
            use(data)
    except MMLError as error:
        fault = None if str(error).strip() else "an error without a word"
    except _HangError:
        fault = f"hangs for more than {_SECONDS} s"
    except Exception as error:  # noqa: BLE001 - any other error is the finding
        fault = f"{type(error).__name__}: {error}"
    return fault if canaries(root) == before else f"{fault or ''} files outside were touched".strip()


def canaries(root: Path) -> dict[str, bytes]:
    """Return what lies around the data and the results, and precious files beside those of a run."""
    around = [path for path in root.iterdir() if path.name not in ("data", "results", "output.txt", "home")]
    inside = [*root.glob(f"results/{_CANARY}"), *root.glob(f"results/*/{_CANARY}"), *root.glob(f"data/{_CANARY}")]
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in (*around, *inside)}


def make_world(root: Path) -> World:
    """Make a world with precious files in and around it."""
    world = World.make(root)
    (world.results / "default").mkdir()
    for place in (world.root, world.results, world.results / "default", world.data):
        (place / _CANARY).write_text(_CANARY)
    return world


def try_inputs(strategy: st.SearchStrategy[bytes], use: Fuzzed, world: World, points: int, drawn: int) -> list[Loss]:
    """Try inputs one after the other, and return those that broke the promise.

    Args:
        strategy: makes them.
        use: uses one.
        world: where.
        points: how many.
        drawn: seed.
    """
    losses: list[Loss] = []
    left = points

    @seed(drawn)
    @settings(
        max_examples=points,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def attempt(data: bytes) -> None:
        nonlocal left
        left -= 1
        if fault := fault_of(use, data, world.root):
            losses.append(Loss(data, fault))

    # Examples run out early when hypothesis thinks that it has seen all; another seed shows it more.
    while left > 0:
        attempt()
        drawn += 1
        attempt = seed(drawn)(attempt)
    return losses


def _through_cli(
    server: ForkServer, world: World, put: Callable[[bytes], None], inputs: list[bytes], words: list[str]
) -> list[Loss]:
    """Give inputs to the real command; it has to end with a clear error, or well."""
    losses = []
    for data in inputs:
        put(data)
        world.output.unlink(missing_ok=True)
        ended = server.run(world, words)
        said = world.output.read_text(errors="replace")
        if ended.hung or ended.code not in (0, 1, 2) or "Traceback" in said:
            losses.append(Loss(data, f"mml {' '.join(words)} ended with {ended.code}: {said[-2000:]}"))
    return losses


def run(options: Options) -> list[Row]:
    """Try task descriptions and journals."""
    points = options.points or (QUICK_POINTS if options.quick else POINTS)
    logging.getLogger("mml").setLevel(logging.ERROR)  # warnings of thousands of inputs
    each = _EACH_OF_CLI_QUICK if options.quick else _EACH_OF_CLI
    server = ForkServer(light=True)
    try:
        return [
            _row("task descriptions", _fuzz_descriptions, options, points, each, server),
            _row("journals", _fuzz_journals, options, points, each, server),
        ]
    finally:
        server.close()
        MMLFileManager.clear_instance()


def _row(
    what: str,
    fuzz: Callable[[World, int, int, int, ForkServer], list[Loss]],
    options: Options,
    points: int,
    each: int,
    server: ForkServer,
) -> Row:
    world = make_world(options.folder / what.replace(" ", "_"))
    losses = fuzz(world, points, options.seed, each, server)
    for number, loss in enumerate(losses):
        (world.root / f"loss_{number}.bin").write_bytes(loss.data)
        (world.root / f"loss_{number}.txt").write_text(loss.fault)
    kinds = sorted({loss.fault.partition("\n")[0][:80] for loss in losses})
    note = "; ".join(kinds[:3]) or f"a result or a clear error; {points // each:,} of them given to the command itself"
    if not losses:
        shutil.rmtree(world.root)
    return Row(f"fuzzed {what}", points, points - len(losses), 0, 0, note)


def _fuzz_descriptions(world: World, points: int, drawn: int, each: int, server: ForkServer) -> list[Loss]:
    user, seen = DescriptionUser(world), _Sample(points // each, drawn)
    losses = try_inputs(descriptions(), lambda data: user.use(seen.take(data)), world, points, drawn)
    return losses + _through_cli(server, world, user.put, seen.kept, ["info", f"task={TASK}"])


def _fuzz_journals(world: World, points: int, drawn: int, each: int, server: ForkServer) -> list[Loss]:
    user, seen = JournalUser(world), _Sample(points // each, drawn)
    losses = try_inputs(journals(user.lines), lambda data: user.use(seen.take(data)), world, points, drawn)
    return losses + _through_cli(server, world, user.put, seen.kept, ["info"])


class _Sample:
    """Some of many inputs, each with the same chance."""

    def __init__(self, size: int, drawn: int) -> None:
        self.kept: list[bytes] = []
        self._size, self._seen, self._random = size, 0, random.Random(drawn)

    def take(self, data: bytes) -> bytes:
        """Maybe keep an input, and return it."""
        self._seen += 1
        if len(self.kept) < self._size:
            self.kept.append(data)
        else:
            with suppress(IndexError):
                self.kept[self._random.randrange(self._seen)] = data
        return data
