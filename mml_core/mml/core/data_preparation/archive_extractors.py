"""Unpacking archives that nobody has vouched for: nothing leaves the folder, and no link gets in."""

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from mml.core.scripts.exceptions import TaskDataError
from mml.report.tables import list_text

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def is_archive(path: Path) -> bool:
    """Tell whether `unpack_files` can unpack a file, by its name."""
    return path.name.lower().endswith((*_TAR_SUFFIXES, ".zip", ".deb"))


def unpack_files(archive: Path, target: Path) -> None:
    """Unpack a zip, tar or Debian archive.

    Args:
        archive: the file.
        target: an existing folder for what is in it.

    Raises:
        TaskDataError: it is damaged, of another kind, or holds a name that leads elsewhere, or a link.
    """
    name = archive.name.lower()
    try:
        if name.endswith(".zip"):
            _unpack_zip(archive, target)
        elif name.endswith(_TAR_SUFFIXES):
            _unpack_tar(archive, target)
        elif name.endswith(".deb"):
            _unpack_deb(archive, target)
        else:
            msg = f"{archive} can't be unpacked: only zip, tar and deb archives can."
            raise TaskDataError(msg)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError) as error:
        msg = f"Archive {archive} can't be unpacked: {error}."
        raise TaskDataError(msg) from error


def _unpack_zip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        infos = file.infolist()
        links = [info.filename for info in infos if (info.external_attr >> 16) & 0o170000 == 0o120000]
        _refuse_unsafe(archive, [info.filename for info in infos], links)
        file.extractall(target)


def _unpack_tar(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as file:
        members = file.getmembers()
        odd = [member.name for member in members if not (member.isfile() or member.isdir())]
        _refuse_unsafe(archive, [member.name for member in members], odd)
        file.extractall(target, members, filter="data")


def _unpack_deb(archive: Path, target: Path) -> None:
    """Unpack with dpkg-deb, which needs no rights and refuses names that lead elsewhere."""
    tool = shutil.which("dpkg-deb")
    if tool is None:
        msg = f"{archive} can't be unpacked: the program dpkg-deb is missing."
        raise TaskDataError(msg)
    done = subprocess.run([tool, "-x", str(archive), str(target)], capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"Archive {archive} can't be unpacked: {done.stderr.strip()}."
        raise TaskDataError(msg)


def _refuse_unsafe(archive: Path, names: list[str], odd: list[str]) -> None:
    outside = [name for name in names if _leads_elsewhere(name)]
    if outside or odd:
        shown = list_text([*outside, *odd])
        msg = f"Archive {archive} is not unpacked: it holds absolute names, '..', links or devices ({shown})."
        raise TaskDataError(msg)


def _leads_elsewhere(name: str) -> bool:
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    return posix.is_absolute() or bool(windows.drive) or ".." in posix.parts or ".." in windows.parts
