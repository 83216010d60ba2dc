"""DSetCreator: fetches the files of a data set and lays them out for the creators of its tasks."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_preparation.archive_extractors import is_archive, unpack_files, unpack_gzip
from mml.core.data_preparation.data_archive import DataArchive, DataKind
from mml.core.data_preparation.disk import disk_errors
from mml.core.data_preparation.downloads import Check, checksum_check, fetch
from mml.core.scripts.exceptions import MMLMisconfigurationException

_UNPACKED = "data"


class DSetCreator:
    """The files of one data set. For creator functions of plugins, hence it finds the file manager by itself.

    Args:
        dset_name: name of the data set, also of its folder below the downloads.
        download_path: where fetched files go; by default the file manager's folder for downloads.

    Attributes:
        archives: all files fetched or found so far.
    """

    def __init__(self, dset_name: str, download_path: Path | None = None) -> None:
        self.dset_name = dset_name
        if download_path is None:
            manager: MMLFileManager = MMLFileManager.instance()
            with disk_errors(manager.data_path):
                download_path = manager.get_download_path(dset_name)
        self.download_path = download_path
        self.archives: list[DataArchive] = []

    def download(
        self,
        url: str | Sequence[str],
        file_name: str,
        data_kind: DataKind,
        sha256: str | None = None,
        check: Check | None = None,
    ) -> Path:
        """Fetch a file, unless it was fetched before, and return its path.

        Args:
            url: its address, or several of the same file.
            file_name: what it is called here.
            data_kind: what it holds.
            sha256: its checksum, as hexadecimal digits.
            check: another way to tell that it is the file wanted: raises `ValueError` if not.

        Raises:
            DownloadError: no address works, or what comes is not the file wanted.
        """
        urls = [url] if isinstance(url, str) else list(url)
        accept = check or (checksum_check(sha256) if sha256 else _accept)
        path = fetch(urls, self.download_path / file_name, accept)
        self.archives.append(DataArchive(path, data_kind))
        return path

    def verify_pre_download(self, file_name: str, data_kind: DataKind, instructions: str) -> Path:
        """Find a file that the user has to fetch, and return its path.

        Args:
            file_name: what it is called.
            data_kind: what it holds.
            instructions: how to fetch it, for the user.

        Raises:
            MMLMisconfigurationException: it is not there; holds the instructions.
        """
        path = self.download_path / file_name
        if not path.is_file():
            msg = f"Data set '{self.dset_name}' needs {path}, which is not there. {' '.join(instructions.split())}"
            raise MMLMisconfigurationException(msg)
        self.archives.append(DataArchive(path, data_kind))
        return path

    def unpack_and_store(self) -> Path:
        """Unpack all files, each below a folder named by its kind, and return the folder of these.

        What was unpacked before is kept, if it was unpacked whole.

        Raises:
            TaskDataError: an archive can't be unpacked, or the disk is full.
        """
        root = self.download_path / _UNPACKED
        with disk_errors(self.download_path):
            for archive in self.archives:
                _unpack(archive, root / archive.kind)
        return root


def _unpack(archive: DataArchive, folder: Path) -> None:
    """Unpack a file over what an interrupted attempt may have left; a mark says when it is whole."""
    mark = folder / f".{archive.path.name}.unpacked"
    if mark.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if is_archive(archive.path):
        unpack_files(archive.path, folder)
    elif archive.path.suffix == ".gz":
        unpack_gzip(archive.path, folder / archive.path.stem)
    else:
        shutil.copyfile(archive.path, folder / archive.path.name)
    mark.touch()


def _accept(_: Path) -> None:
    """Accept any file."""
