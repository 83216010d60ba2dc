"""Fashion-MNIST: 60,000 grey images of clothes to train with and 10,000 to test, 28 x 28 pixels."""

import gzip
import hashlib
import logging
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

from mml.core.data_loading.task_attributes import Keyword, License
from mml.core.data_preparation.archive_extractors import unpack_files
from mml.core.data_preparation.data_archive import DataKind
from mml.core.data_preparation.downloads import DownloadError
from mml.core.data_preparation.dset_creator import DSetCreator
from mml.core.data_preparation.registry import register_dsetcreator, register_taskcreator
from mml.core.data_preparation.sources.idx import IDX_FILES, read_idx_folder
from mml.core.data_preparation.task_creator import TaskCreator

logger = logging.getLogger(__name__)

DSET_NAME = "fashion_mnist"
CLASSES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
)
# SHA-256 of the unpacked files: those of upstream and those in Debian are packed differently.
CHECKSUMS = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
DEBIAN_PACKAGE = "dataset-fashion-mnist"
_DEBIAN_FOLDER = "usr/share/datasets/fashion-mnist"
_APT_SECONDS = 120


@register_dsetcreator(dset_name=DSET_NAME)
def create_dset() -> Path:
    """Fetch the four files, from upstream or else from Debian's archive, and return their folder.

    Raises:
        DownloadError: neither is in reach; says what to do.
    """
    dset = DSetCreator(DSET_NAME)
    try:
        for name in IDX_FILES:
            _fetch(dset, name)
    except DownloadError as error:
        logger.info("%s Trying Debian's package %s.", error, DEBIAN_PACKAGE)
        fault = _fetch_debian(dset.download_path)
        if fault:
            msg = (
                f"Fashion-MNIST could not be fetched: {error} Debian's package: {fault}. Without a network, put "
                f"{', '.join(f'{name}.gz' for name in IDX_FILES)} (or the same files unpacked) into a folder and give "
                "it with mode.source=<folder>."
            )
            raise DownloadError(msg) from error
    return dset.download_path


@register_taskcreator(task_name="fashion_mnist", dset_name=DSET_NAME)
def create_fashion_mnist(dset_path: Path) -> TaskCreator:
    """Return the creator of the task, from a folder with the four IDX files, gzipped or raw."""
    creator = TaskCreator(
        dset_path,
        "fashion_mnist",
        desc="Images of articles from Zalando, a more demanding stand-in for MNIST.",
        ref="H. Xiao, K. Rasul, R. Vollgraf (2017): Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine "
        "Learning Algorithms. arXiv:1708.07747.",
        url="https://github.com/zalandoresearch/fashion-mnist",
        instr=f"{MIRRORS[0]}, or Debian's package {DEBIAN_PACKAGE}",
        lic=License.MIT,
        release="2017",
        keywords=[Keyword.CLOTHES],
    )
    creator.use_collection(read_idx_folder(dset_path, CLASSES))
    return creator


def check_file(path: Path, expected: str) -> None:
    """Make sure that a gzipped file holds what it should.

    Args:
        path: the file.
        expected: SHA-256 of what it unpacks to.

    Raises:
        ValueError: it does not.
    """
    try:
        with gzip.open(path) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, EOFError, zlib.error) as error:
        msg = f"it is damaged ({error})"
        raise ValueError(msg) from error
    if found != expected:
        msg = f"the SHA-256 of its content is {found}, not {expected}"
        raise ValueError(msg)


def _fetch(dset: DSetCreator, name: str) -> None:
    dset.download(
        [f"{mirror}/{name}.gz" for mirror in MIRRORS],
        file_name=f"{name}.gz",
        data_kind=DataKind.MIXED,
        check=lambda path: check_file(path, CHECKSUMS[name]),
    )


def _fetch_debian(folder: Path) -> str | None:
    """Fetch the files with apt, which needs no rights for that; return why it did not work, None if it did."""
    if shutil.which("apt-get") is None:
        return "there is no apt-get on this machine"
    with tempfile.TemporaryDirectory(prefix=".apt.", dir=folder) as name:
        scratch = Path(name)
        if _apt(scratch, [], "download", DEBIAN_PACKAGE):
            # The machine's list of packages is missing or old, and only root may renew it: fetch one of our own.
            (scratch / "lists" / "partial").mkdir(parents=True)
            own = [f"Dir::State::Lists={scratch / 'lists'}", f"Dir::Cache={scratch / 'cache'}"]
            fault = _apt(scratch, own, "update") or _apt(scratch, own, "download", DEBIAN_PACKAGE)
            if fault:
                return fault
        unpack_files(next(scratch.glob("*.deb")), scratch)
        return _take_over(scratch / _DEBIAN_FOLDER, folder)


def _apt(scratch: Path, options: list[str], *command: str) -> str | None:
    """Run apt-get in a folder; return why it failed, None if it did not."""
    options = ["Acquire::Retries=0", "Acquire::http::Timeout=5", "APT::Sandbox::User=root", *options]
    words = ["apt-get", "-qq", *(word for option in options for word in ("-o", option)), *command]
    try:
        done = subprocess.run(words, cwd=scratch, capture_output=True, text=True, timeout=_APT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"apt-get {command[0]} gave no answer within {_APT_SECONDS} s"
    if done.returncode == 0:
        return None
    return " ".join(done.stderr.split())[-300:] or f"apt-get {command[0]} failed with code {done.returncode}"


def _take_over(unpacked: Path, folder: Path) -> str | None:
    """Move the four files into place once all have been checked."""
    try:
        for name in IDX_FILES:
            check_file(unpacked / f"{name}.gz", CHECKSUMS[name])
    except ValueError as error:
        return str(error)
    for name in IDX_FILES:
        (unpacked / f"{name}.gz").replace(folder / f"{name}.gz")
    return None
