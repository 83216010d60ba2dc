"""Unpacking archives that nobody has vouched for: nothing leaves the folder, no link gets in, no bomb goes off."""

import bz2
import errno
import gzip
import lzma
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from mml.core.data_preparation.disk import blocks, check_space
from mml.core.scripts.exceptions import TaskDataError
from mml.report.tables import list_text, size_text

_PACKED: dict[str, Callable[[Path], Any]] = {
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tar.xz": lzma.open,
}
_TAR_SUFFIXES = (".tar", *_PACKED)
# What an archive may grow to: this many bytes, or this many times its own size if that is more. Deflate makes at most
# 1,032 of one byte, of zeros; pictures, and files that were packed twice, grow by far less than a tenth of that.
_ALLOWED_BYTES, _ALLOWED_GROWTH = 10**9, 100
# Longest single read of a packed tar: no header is longer, and a header is read into memory at once.
_LONGEST_READ = 1 << 22
_CHUNK = 1 << 20
_LINK, _KIND = 0o120000, 0o170000
_ENCRYPTED = 1  # flag of a zip entry
_ZIP_HEADER = 30  # bytes in front of an entry, its name left out
# Of the machine, not of the archive: whoever unpacks explains them.
_OF_THE_DISK = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EACCES", "EPERM", "EROFS", "EIO", "EMFILE", "ENFILE")
)


def is_archive(path: Path) -> bool:
    """Tell whether `unpack_files` can unpack a file, by its name."""
    return path.name.lower().endswith((*_TAR_SUFFIXES, ".zip", ".deb"))


def unpack_files(archive: Path, target: Path) -> None:
    """Unpack a zip, tar or Debian archive.

    Args:
        archive: the file.
        target: an existing folder for what is in it.

    Raises:
        TaskDataError: it is damaged, encrypted or of another kind, would grow without measure, or holds a name that
            leads elsewhere, or a link.
        OSError: the disk refuses.
    """
    name = archive.name.lower()
    with _explained(archive):
        if name.endswith(".zip"):
            _unpack_zip(archive, target)
        elif name.endswith(_TAR_SUFFIXES):
            _unpack_tar(archive, target)
        elif name.endswith(".deb"):
            _unpack_deb(archive, target)
        else:
            msg = f"{archive} can't be unpacked: only zip, tar and deb archives can."
            raise TaskDataError(msg)


def unpack_gzip(packed: Path, target: Path) -> None:
    """Unpack a file that is packed by itself.

    Args:
        packed: the file.
        target: the file to write.

    Raises:
        TaskDataError: it is damaged, or would grow without measure.
        OSError: the disk refuses.
    """
    allowance = Allowance(packed, target.parent)
    with _explained(packed), gzip.open(packed) as source, target.open("wb") as file:
        while data := source.read(_CHUNK):
            allowance.take(len(data))
            file.write(data)


class Allowance:
    """How much an archive may grow to; what takes more is a bomb, or too much for the disk.

    Args:
        archive: the file.
        target: folder that it is unpacked into.
    """

    def __init__(self, archive: Path, target: Path) -> None:
        self._archive, self._target = archive, target
        self._most = max(_ALLOWED_BYTES, _ALLOWED_GROWTH * archive.stat().st_size)
        self._taken = 0

    def take(self, size: int) -> None:
        """Take a number of bytes.

        Raises:
            TaskDataError: it is too much, all in all.
        """
        self._taken += size
        if self._taken > self._most:
            msg = (
                f"Archive {self._archive} is not unpacked: its {size_text(self._archive.stat().st_size)} would grow to "
                f"more than {size_text(self._most)}, as no pictures do. If you trust it, unpack it by hand."
            )
            raise TaskDataError(msg)

    def take_files(self, sizes: Iterable[int]) -> None:
        """Take files of these sizes, and the space on the disk that the smallest needs, too.

        Raises:
            TaskDataError: it is too much, all in all, or for the disk.
        """
        for size in sizes:
            self.take(max(blocks(size), blocks(1)))
        check_space(self._target, self._taken)


@contextmanager
def _explained(archive: Path) -> Iterator[None]:
    """Make one kind of error of all that damaged bytes make decoders raise."""
    try:
        yield
    except TaskDataError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise
        msg = f"Archive {archive} can't be unpacked: {str(error) or type(error).__name__}."
        raise TaskDataError(msg) from error


def _unpack_zip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        infos = file.infolist()
        links = [info.filename for info in infos if (info.external_attr >> 16) & _KIND == _LINK]
        _refuse_unsafe(archive, [info.filename for info in infos], links)
        if any(info.flag_bits & _ENCRYPTED for info in infos):
            msg = f"Archive {archive} can't be unpacked: it is encrypted. Unpack it by hand, with its password."
            raise TaskDataError(msg)
        _refuse_overlaps(archive, infos)
        # An entry is never unpacked beyond the size that it says.
        Allowance(archive, target).take_files(info.file_size for info in infos)
        file.extractall(target)


def _refuse_overlaps(archive: Path, infos: Iterable[zipfile.ZipInfo]) -> None:
    """Refuse entries that share their bytes: many large files out of the same few bytes."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            msg = f"Archive {archive} is not unpacked: its entries overlap ({info.filename}), so it is a trap."
            raise TaskDataError(msg)
        end = info.header_offset + _ZIP_HEADER + info.compress_size


def _unpack_tar(archive: Path, target: Path, *, within: bool = False) -> None:
    """Unpack a tar; `within` is the one of a package, whose links and devices are for a system and are left out."""
    with _open_tar(archive) as file:
        members = list(_checked_members(archive, file, target))
        kept = [member for member in members if member.isfile() or member.isdir() or (within and member.islnk())]
        odd = [] if within else [member.name for member in members if not (member.isfile() or member.isdir())]
        _refuse_unsafe(archive, [member.name for member in members], odd)
        file.extractall(target, kept, filter="data")


def _checked_members(archive: Path, file: tarfile.TarFile, target: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the members, each checked before what follows it is unpacked to be looked at."""
    allowance = Allowance(archive, target)
    for member in file:
        allowance.take_files([member.size])
        yield member
    # Every tar ends with a block of zeros, which has been read by now.
    if file.fileobj.tell() <= file.offset:
        msg = "its end is missing"
        raise tarfile.ReadError(msg)


@contextmanager
def _open_tar(archive: Path) -> Iterator[tarfile.TarFile]:
    opener = next((opener for suffix, opener in _PACKED.items() if archive.name.lower().endswith(suffix)), None)
    if opener is None:
        with tarfile.open(archive, "r:") as file:
            yield file
        return
    with opener(archive) as unpacked, tarfile.open(fileobj=_ShortReads(unpacked), mode="r:") as file:  # type: ignore[call-overload] # what tarfile uses of a file
        yield file


class _ShortReads:
    """An unpacked tar that is never read into memory at large, whatever sizes its headers say."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.seek, self.tell = self._read, file.seek, file.tell
        self._file = file

    def _read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_READ:
            msg = f"a header of {size_text(size)}"
            raise tarfile.ReadError(msg)
        return self._file.read(size)


def _unpack_deb(archive: Path, target: Path) -> None:
    """Unpack the tar inside a package."""
    tool = shutil.which("dpkg-deb")
    if tool is None:
        msg = f"{archive} can't be unpacked: the program dpkg-deb is missing."
        raise TaskDataError(msg)
    allowance = Allowance(archive, target)
    with tempfile.TemporaryDirectory(prefix=".deb.", dir=target) as folder:
        inner = Path(folder) / "data.tar"
        command = [tool, "--fsys-tarfile", str(archive)]
        with inner.open("wb") as file, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tar:
            try:
                _copy(tar, file, allowance)
            except BaseException:
                tar.kill()
                raise
            fault = tar.stderr.read().decode(errors="replace").strip() if tar.stderr else ""
        if tar.returncode:
            msg = f"Archive {archive} can't be unpacked: {fault}."
            raise TaskDataError(msg)
        _unpack_tar(inner, target, within=True)


def _copy(source: "subprocess.Popen[bytes]", file: IO[bytes], allowance: Allowance) -> None:
    stream: Any = source.stdout
    while data := stream.read(_CHUNK):
        allowance.take(len(data))
        file.write(data)


def _refuse_unsafe(archive: Path, names: list[str], odd: list[str]) -> None:
    outside = [name for name in names if _leads_elsewhere(name)]
    if outside or odd:
        shown = list_text([*outside, *odd])
        msg = f"Archive {archive} is not unpacked: it holds absolute names, '..', links or devices ({shown})."
        raise TaskDataError(msg)


def _leads_elsewhere(name: str) -> bool:
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    return posix.is_absolute() or bool(windows.drive) or ".." in posix.parts or ".." in windows.parts
