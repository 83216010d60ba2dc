"""Real images for tests and benchmarks: Fashion-MNIST from Debian's package, fetched once per machine."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import platformdirs
from filelock import FileLock

PACKAGE = "dataset-fashion-mnist"
# Where the package keeps its files, below the root of the system or of the folder it was unpacked into.
INSIDE = Path("usr/share/datasets/fashion-mnist")
# Found when this module is imported, before a test gives its process another home.
CACHE = platformdirs.user_cache_path("mml-tests")


class NoAptError(RuntimeError):
    """This system has no apt-get, so the package can't be fetched."""


def fashion_mnist_idx(cache: Path = CACHE) -> Path:
    """Return a folder with the four IDX files of Fashion-MNIST (`*-ubyte.gz`, 60,000 and 10,000 images of 28 x 28).

    Processes that ask at the same time fetch it once; nobody sees a part of it.

    Raises:
        NoAptError: there is no apt-get on this system.
        subprocess.CalledProcessError: the package could not be fetched; apt-get has said why.
    """
    if (Path("/") / INSIDE).is_dir():
        return Path("/") / INSIDE
    target = cache / "fashion-mnist"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "fashion-mnist.lock"):
        if not target.is_dir():
            if shutil.which("apt-get") is None:
                msg = f"apt-get is needed to fetch {PACKAGE}, and this system has none"
                raise NoAptError(msg)
            _fetch(cache, target)
    return target


def _fetch(cache: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as name:
        scratch = Path(name)
        try:
            _apt(scratch, "download", PACKAGE)
        except subprocess.CalledProcessError:
            # No package lists, or old ones: fetch lists of our own, which needs no rights.
            _apt(scratch, "update")
            _apt(scratch, "download", PACKAGE)
        (package,) = scratch.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", str(package), str(scratch / "root")], check=True)
        (scratch / "root" / INSIDE).rename(target)


def _apt(scratch: Path, *args: str) -> None:
    """Run apt-get in `scratch`, with package lists of its own there once `update` has been run."""
    lists = scratch / "lists"
    options = ["-o", "APT::Sandbox::User=root"]  # the sandbox user may not write here
    if lists.exists() or "update" in args:
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        (scratch / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        options += ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={scratch / 'cache'}"]
    subprocess.run(["apt-get", "-qq", *options, *args], cwd=scratch, check=True)
