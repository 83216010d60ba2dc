"""Storing the images of a task under way: each is decoded, measured and stored once, and an interruption costs little.

A record of every image that is complete lies beside the images. What has no record is not trusted and done again.
"""

import errno
import os
import stat
import threading
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import msgspec
from PIL import Image

from mml.core.data_preparation.disk import blocks, check_space, disk_errors
from mml.core.data_preparation.images import Pixels, UnreadableImageError, decode_image, encode_png, image_suffixes
from mml.core.data_preparation.options import CopyMode
from mml.core.data_preparation.statistics import ImageStats, measure
from mml.core.scripts.utils import atomic_write

IMAGES_FOLDER = "images"
RECORDS_FILE = "images.jsonl"

# So few that a stop is obeyed soon, so many that handing them out costs nothing.
_CHUNK = 32
_PNG_OVERHEAD = 128
_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES})


class ImageJob(NamedTuple):
    """An image to store.

    Attributes:
        sample_id: of the sample.
        image: a file, or pixels.
        target: where it is stored, relative to the store's folder; unused for a file that is only referenced.
    """

    sample_id: str
    image: Path | Pixels
    target: str


class ImageRecord(msgspec.Struct, frozen=True, array_like=True):
    """An image that is complete, or can't be read.

    Attributes:
        sample_id: of the sample.
        path: of the stored image relative to the store's folder, or absolute when it is referenced.
        source: size and time stamp of the file, or checksum of the pixels, that it was made of.
        size: bytes of the stored image.
        stats: what it adds to the statistics; None if it can't be read.
        fault: why it can't be read, empty if it can.
    """

    sample_id: str
    path: str
    source: str
    size: int
    stats: ImageStats | None
    fault: str = ""


class ImageStore:
    """The images of one task, below a folder that belongs to this process alone.

    Args:
        folder: of the task under way; exists.
        copy: how images that are files get there; pixels are always written as PNG.
        workers: number of threads. Decoding, which takes most of the time, runs outside of Python's lock.

    Attributes:
        linked_by_copy: number of images that had to be copied because the disk allows no link.
        kept: number of images that an earlier attempt had completed.
    """

    def __init__(self, folder: Path, copy: CopyMode, workers: int) -> None:
        self.folder, self._copy, self._workers = folder, copy, workers
        self.linked_by_copy = 0
        self.kept = 0
        self._records_file = folder / RECORDS_FILE
        self._stopped = threading.Event()

    def store(self, jobs: Sequence[ImageJob], advance: Callable[[int], None]) -> list[ImageRecord]:
        """Store all images that are not stored yet.

        Args:
            jobs: what to store, with unique ids and targets.
            advance: is told how many images more are dealt with.

        Returns:
            A record per job, in the same order, also of those that can't be read.

        Raises:
            TaskDataError: the disk is full, or can't be written.
        """
        kept = self._take_over(jobs)
        self.kept = len(kept)
        advance(len(kept))
        missing = [job for job in jobs if job.sample_id not in kept]
        needed = sum(map(self._space, missing))
        check_space(self.folder, needed)
        with disk_errors(self.folder, needed), self._records_file.open("ab", buffering=0) as log:
            for folder in {(self.folder / job.target).parent for job in missing}:
                folder.mkdir(parents=True, exist_ok=True)
            for records in self._work(missing):
                log.write(b"".join(msgspec.json.encode(record) + b"\n" for record in records if not record.fault))
                kept.update((record.sample_id, record) for record in records)
                advance(len(records))
        return [kept[job.sample_id] for job in jobs]

    def _take_over(self, jobs: Sequence[ImageJob]) -> dict[str, ImageRecord]:
        """Return what an earlier attempt completed and still fits; remove all else that it left."""
        wanted = {job.sample_id: job for job in jobs}
        kept = {
            record.sample_id: record
            for record in _read_records(self._records_file)
            if record.sample_id in wanted and self._is_complete(record, wanted[record.sample_id])
        }
        paths = {record.path for record in kept.values()}
        with disk_errors(self.folder):
            for file in _files_below(self.folder / IMAGES_FOLDER):
                if file.relative_to(self.folder).as_posix() not in paths:
                    file.unlink()
            with atomic_write(self._records_file) as log:
                log.write(b"".join(msgspec.json.encode(record) + b"\n" for record in kept.values()))
        return kept

    def _is_complete(self, record: ImageRecord, job: ImageJob) -> bool:
        try:
            if record.path != self._stored_path(job) or record.source != _fingerprint(job.image):
                return False
            return (self.folder / record.path).stat().st_size == record.size
        except (OSError, UnreadableImageError):
            return False

    def _stored_path(self, job: ImageJob) -> str:
        referenced = self._copy is CopyMode.REFERENCE and isinstance(job.image, Path)
        return str(job.image.absolute()) if referenced and isinstance(job.image, Path) else job.target

    def _space(self, job: ImageJob) -> int:
        """Return the bytes on disk that an image will take."""
        if not isinstance(job.image, Path):
            return blocks(job.image.nbytes + _PNG_OVERHEAD)
        if self._copy is CopyMode.REFERENCE:
            return 0
        try:
            state = job.image.stat()
        except OSError:
            return 0
        linked = self._copy is CopyMode.HARDLINK and state.st_dev == self.folder.stat().st_dev
        return 0 if linked else blocks(state.st_size)

    def _work(self, jobs: Sequence[ImageJob]) -> Iterator[list[ImageRecord]]:
        """Yield the records of chunks of jobs as they get ready; when left early, wait for no more than one image."""
        with warnings.catch_warnings(), ThreadPoolExecutor(self._workers) as pool:
            # Set here, for all threads: Pillow warns of large images and odd metadata of files that decode well.
            warnings.simplefilter("ignore")
            image_suffixes()  # loads Pillow's formats, which threads would race for
            futures = [
                pool.submit(self._store_chunk, jobs[start : start + _CHUNK]) for start in range(0, len(jobs), _CHUNK)
            ]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                self._stopped.set()
                pool.shutdown(cancel_futures=True)

    def _store_chunk(self, jobs: Iterable[ImageJob]) -> list[ImageRecord]:
        records = []
        for job in jobs:
            if self._stopped.is_set():
                break
            records.append(self._store_one(job))
        return records

    def _store_one(self, job: ImageJob) -> ImageRecord:
        try:
            # Before reading: a file that changes meanwhile is then recorded as it was, and done again.
            source = _fingerprint(job.image)
            data, stats = _encoded(job.image)
        except UnreadableImageError as error:
            return ImageRecord(job.sample_id, "", "", 0, None, str(error))
        except OSError as error:
            return ImageRecord(job.sample_id, "", "", 0, None, error.strerror or str(error))
        path = self._stored_path(job)
        if path == job.target:
            self._write(job, data)
        elif not _is_utf8(path):
            return ImageRecord(job.sample_id, "", "", 0, None, "its path is no UTF-8 text, so copy it: mode.copy=copy")
        return ImageRecord(job.sample_id, path, source, len(data), stats)

    def _write(self, job: ImageJob, data: bytes) -> None:
        target = self.folder / job.target
        if self._copy is CopyMode.HARDLINK and isinstance(job.image, Path):
            try:
                target.hardlink_to(job.image.resolve())
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                self.linked_by_copy += 1
            else:
                return
        # Exclusive: what stands here might be a link to a file of the user.
        with target.open("xb") as file:
            file.write(data)


def _encoded(image: Path | Pixels) -> tuple[bytes, ImageStats]:
    """Return the bytes of an image file, and its statistics."""
    if isinstance(image, Path):
        data = image.read_bytes()
        return data, measure(decode_image(data))
    return encode_png(image), measure(Image.fromarray(image))


def _fingerprint(image: Path | Pixels) -> str:
    if isinstance(image, Path):
        state = image.stat()
        if not stat.S_ISREG(state.st_mode):
            msg = "it is no file"
            raise UnreadableImageError(msg)
        return f"{state.st_size}:{state.st_mtime_ns}"
    return f"{zlib.crc32(image.tobytes()):08x}"


def _read_records(path: Path) -> Iterator[ImageRecord]:
    """Yield the records of a file; lines that a kill or a power cut tore are passed over."""
    if not path.exists():
        return
    decoder = msgspec.json.Decoder(ImageRecord)
    for line in path.read_bytes().split(b"\n"):
        try:
            yield decoder.decode(line)
        except ValueError:
            continue


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _files_below(folder: Path) -> Iterator[Path]:
    for root, _, files in os.walk(folder):
        yield from (Path(root) / name for name in files)
