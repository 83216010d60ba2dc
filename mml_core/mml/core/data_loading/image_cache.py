"""Decoded images of a task in one memory-mapped file, so that an epoch costs a copy instead of thousands of decodings.

The cache is derived data: `<data>/cache/<task>-<digest of preprocessing>/images.npy`. A missing, stale or damaged one
is built anew, and it can be deleted at any time.
"""

import errno
import hashlib
import logging
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
from filelock import FileLock

from mml.core.data_loading.modality_loaders import (
    UNREADABLE,
    Preprocessing,
    UInt8Array,
    UnreadableFileError,
    file_of,
    file_path,
    load_image,
    sample_tables,
)
from mml.core.data_loading.task_attributes import Modality
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.utils import atomic_write, fsync_folder, unfinished_writes

logger = logging.getLogger(__name__)

CACHE_FOLDER = "cache"
IMAGES_FILE, RECORD_FILE, LOCK_FILE = "images.npy", "record.json", "build.lock"
BEING_BUILT = ".images."  # how the name of an unfinished file begins
CHUNK_BYTES = 4 * 2**20  # decoded images per message of a worker process
DISK_RESERVE = 2**28  # bytes that the cache leaves free for checkpoints and logs
WORTH_WORKERS = 2000  # images; fewer are decoded before workers have started
WAIT_SECONDS = 1800  # for another run that builds the same cache
FORMAT = 1


class ImageSource(Protocol):
    """Where decoded images come from."""

    def gather(self, rows: npt.NDArray[np.int64]) -> UInt8Array:
        """Return the images of these rows: images x channels x height x width."""


class TaskImages:
    """The image files of a task, one row each: train, test, unlabeled samples. Decodes on demand.

    Args:
        struct: the task.
        preprocessing: what happens to each image.

    Raises:
        TaskDataError: a sample has no image.
    """

    def __init__(self, struct: TaskStruct, preprocessing: Preprocessing) -> None:
        self.task, self.folder, self.preprocessing = struct.name, struct.folder, preprocessing
        self.ids: list[str] = []
        self.names: list[str] = []
        for samples in sample_tables(struct.description):
            self.ids.extend(samples)
            self.names.extend(file_of(sample, Modality.IMAGE, struct.name) for sample in samples.values())

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Images, channels, height, width."""
        return (len(self.names), *self.preprocessing.shape)

    @property
    def decoded_bytes(self) -> int:
        """Size of all images when decoded."""
        return int(np.prod(self.shape, dtype=np.int64))

    def gather(self, rows: npt.NDArray[np.int64] | Sequence[int]) -> UInt8Array:
        """Decode the images of these rows.

        Raises:
            UnreadableFileError: a file is missing or damaged; names it, the sample and the task.
        """
        batch = np.empty((len(rows), *self.preprocessing.shape), dtype=np.uint8)
        for position, row in enumerate(rows):
            try:
                batch[position] = load_image(self._path(row), self.preprocessing)
            except UNREADABLE as error:
                raise self._unreadable(row, error) from error
        return batch

    def digest(self) -> str:
        """Return a digest of the files' names, sizes and time stamps: another one means other pixels.

        Raises:
            UnreadableFileError: a file is missing.
        """
        digest = hashlib.blake2b(digest_size=16)
        for row, name in enumerate(self.names):
            try:
                stat = os.stat(self._path(row))  # noqa: PTH116 # a Path per image is slow
            except OSError as error:
                raise self._unreadable(row, error) from error
            digest.update(b"%d %d %s\n" % (stat.st_size, stat.st_mtime_ns, name.encode()))
        return digest.hexdigest()

    def _path(self, row: int) -> str:
        return file_path(self.folder, self.names[row])

    def _unreadable(self, row: int, error: BaseException) -> UnreadableFileError:
        return UnreadableFileError.of(self._path(row), self.task, error, self.ids[row])


class CachedImages:
    """The decoded images of a task, mapped into memory; pickled by path, so that workers map the same pages.

    Args:
        path: an `.npy` file of uint8, images x channels x height x width.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A plain array view: the memmap class costs more per batch than the copy.
        self._array: UInt8Array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))

    def __reduce__(self) -> tuple[type["CachedImages"], tuple[Path]]:
        return CachedImages, (self.path,)

    def gather(self, rows: npt.NDArray[np.int64]) -> UInt8Array:
        """Copy the images of these rows: images x channels x height x width."""
        batch: UInt8Array = self._array[rows]
        return batch


class CacheRecord(msgspec.Struct, frozen=True):
    """What the images file was made of, and how to tell whether it still is what was written.

    Attributes:
        version: of this format.
        content: digest of the image files.
        size: of the images file, in bytes.
        mtime_ns: of the images file.
        checksum: CRC-32 of the images file.
    """

    version: int
    content: str
    size: int
    mtime_ns: int
    checksum: int


class ImageCache:
    """The cache of one task for one preprocessing.

    Args:
        data_dir: the data root.
        images: what is cached.
    """

    def __init__(self, data_dir: Path, images: TaskImages) -> None:
        key = repr((FORMAT, images.preprocessing)).encode()
        name = f"{images.task}-{hashlib.blake2b(key, digest_size=6).hexdigest()}"
        self.folder = data_dir / CACHE_FOLDER / name
        self.images = images
        self._file = self.folder / IMAGES_FILE
        self._record_file = self.folder / RECORD_FILE

    def open(self, progress: RunProgress, workers: int = 0) -> CachedImages:
        """Open the cache, after building it if it is missing, stale or damaged.

        Args:
            progress: shows the building.
            workers: processes that decode.

        Raises:
            UnreadableFileError: an image is missing or damaged.
            OSError: the cache can't be written, or another run has been building it for too long.
            NotImplementedError: the file system has no locks.
        """
        content = self.images.digest()
        if not self._valid(content):
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / LOCK_FILE, timeout=WAIT_SECONDS):
                if not self._valid(content):  # another run may just have built it
                    self._build(content, progress, workers)
        return CachedImages(self._file)

    def _valid(self, content: str) -> bool:
        try:
            record = msgspec.json.decode(self._record_file.read_bytes(), type=CacheRecord)
            stat = self._file.stat()
        except (OSError, ValueError):
            return False
        if (record.version, record.content, record.size) != (FORMAT, content, stat.st_size):
            return False
        # A copied data folder has new time stamps, and so has a damaged file: the bytes decide.
        return record.mtime_ns == stat.st_mtime_ns or record.checksum == _checksum(self._file)

    def _build(self, content: str, progress: RunProgress, workers: int) -> None:
        for left in [*self.folder.glob(f"{BEING_BUILT}*"), *unfinished_writes(self._record_file)]:
            left.unlink()  # of a run that was killed; a living one would hold the lock
        beside = self.folder / f"{BEING_BUILT}{os.getpid()}"
        if shutil.disk_usage(self.folder).free < self.images.decoded_bytes + DISK_RESERVE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))
        logger.info("Decoding %s images of task %s into %s.", f"{len(self.images):,}", self.images.task, self.folder)
        try:
            checksum = self._write(beside, progress, workers)
            stat = beside.stat()
            beside.replace(self._file)
        finally:
            beside.unlink(missing_ok=True)
        fsync_folder(self.folder)
        with atomic_write(self._record_file) as file:
            file.write(msgspec.json.encode(CacheRecord(FORMAT, content, stat.st_size, stat.st_mtime_ns, checksum)))

    def _write(self, path: Path, progress: RunProgress, workers: int) -> int:
        """Write all images in row order; return the checksum of the file."""
        label = f"decoding {self.images.task}"
        header = {"descr": "|u1", "fortran_order": False, "shape": self.images.shape}
        with path.open("w+b") as file, progress.task(label, len(self.images), unit="images") as task:
            np.lib.format.write_array_header_1_0(file, header)
            file.seek(0)
            checksum = zlib.crc32(file.read())
            for chunk in decoded_chunks(self.images, workers):
                file.write(chunk.data)
                checksum = zlib.crc32(chunk.data, checksum)
                task.advance(len(chunk))
            file.flush()
            os.fsync(file.fileno())
        return checksum


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            checksum = zlib.crc32(block, checksum)
    return checksum


def decoded_chunks(images: TaskImages, workers: int) -> Iterator[UInt8Array]:
    """Decode all images in row order, a few megabytes at a time, in worker processes when that pays.

    Raises:
        UnreadableFileError: a file is missing or damaged.
    """
    rows = max(1, CHUNK_BYTES // max(1, images.decoded_bytes // max(1, len(images))))
    chunks = [range(start, min(start + rows, len(images))) for start in range(0, len(images), rows)]
    if workers < 2 or len(images) < WORTH_WORKERS:
        for chunk in chunks:
            yield images.gather(chunk)
        return
    import torch
    from torch.utils.data import DataLoader  # its workers notice when the parent was killed

    from mml.core.data_loading.samplers import ignore_interrupts

    loader: DataLoader[Any] = DataLoader(
        _Chunks(images, chunks),  # type: ignore[arg-type] # any object with a length and items is a dataset
        batch_size=None,
        num_workers=min(workers, len(chunks)),
        worker_init_fn=ignore_interrupts,
        generator=torch.Generator(),  # without its own it draws from that of the training
    )
    for tensor in loader:
        yield tensor.numpy()


class _Chunks:
    """A dataset whose items are chunks of decoded images."""

    def __init__(self, images: TaskImages, chunks: Sequence[range]) -> None:
        self.images, self.chunks = images, chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, index: int) -> Any:
        import torch

        return torch.from_numpy(self.images.gather(self.chunks[index]))


def open_images(
    data_dir: Path, images: TaskImages, *, cache: str, limit_gb: float, progress: RunProgress, workers: int
) -> ImageSource:
    """Return the quickest source of a task's images that the machine allows.

    Args:
        data_dir: the data root.
        images: the files.
        cache: `"auto"` (when it is small enough), `"always"` or `"never"`.
        limit_gb: size of the decoded images, in gigabytes, up to which `"auto"` keeps them.
        progress: shows the building.
        workers: processes that decode.

    Raises:
        UnreadableFileError: an image is missing or damaged.
    """
    if cache == "never" or not len(images) or (cache == "auto" and not _affordable(images.decoded_bytes, limit_gb)):
        return images
    stored = ImageCache(data_dir, images)
    try:
        return stored.open(progress, workers)
    except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
        with suppress(OSError):
            stored.folder.rmdir()  # only if it is empty
        logger.warning(
            "The decoded images of task %s can't be kept in %s (%s): every epoch decodes them again. Free some space, "
            "make the folder writable, or set sampling.cache=never to be silent about it.",
            *(images.task, stored.folder, error),
        )
        return images


def _affordable(size: int, limit_gb: float) -> bool:
    """Tell whether so many bytes are below the limit and half of the memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return size <= min(limit_gb * 1e9, memory / 2)
