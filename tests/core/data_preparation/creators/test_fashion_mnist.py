import gzip
import hashlib
import os
import shutil
from pathlib import Path

import pytest

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_loading.task_attributes import License
from mml.core.data_preparation.creators import fashion_mnist
from mml.core.data_preparation.creators.fashion_mnist import CHECKSUMS, check_file, create_dset, create_fashion_mnist
from mml.core.data_preparation.downloads import DownloadError
from mml.core.data_preparation.options import CreateOptions
from mml.core.data_preparation.sources.idx import IDX_FILES
from mml.core.scripts.exceptions import TaskDataError
from tests.core.data_preparation.make_sources import idx_folder

APT = """#!/bin/sh
echo "$*" >> {folder}/calls
case "$*" in *download*) {download} ;; esac
{last}
"""


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands for upstream, with small files, and let the creator know their checksums."""
    folder = idx_folder(tmp_path / "upstream", train=40, test=10, classes=10, end=".gz")
    sums = {
        name: hashlib.sha256(gzip.decompress((folder / f"{name}.gz").read_bytes())).hexdigest() for name in IDX_FILES
    }
    monkeypatch.setattr(fashion_mnist, "CHECKSUMS", sums)
    monkeypatch.setattr(fashion_mnist, "MIRRORS", (folder.as_uri(),))
    MMLFileManager(tmp_path / "data", tmp_path / "results" / "p")
    return folder


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "MIRRORS", ((tmp_path / "gone").as_uri(),))


def fake_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, download: str, last: str = "exit 0") -> Path:
    """Put an apt-get of our own into the PATH; return the file that it notes its calls in."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "apt-get").write_text(APT.format(folder=tools, download=download, last=last))
    (tools / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return tools / "calls"


def package_command(tmp_path: Path, files: Path) -> str:
    """Return the shell command that leaves a Debian package with some files in the current folder."""
    root = tmp_path / "package"
    shutil.copytree(files, root / "usr/share/datasets/fashion-mnist")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n"
    )
    return f"dpkg-deb -b {root} dataset.deb > /dev/null"


@pytest.mark.usefixtures("upstream")
def test_the_files_are_fetched_from_upstream_and_verified(tmp_path: Path) -> None:
    folder = create_dset()
    assert folder == tmp_path / "data" / "downloads" / "fashion_mnist"
    assert {path.name for path in folder.iterdir() if path.suffix == ".gz"} == {f"{name}.gz" for name in IDX_FILES}


def test_what_was_fetched_is_not_fetched_again(upstream: Path) -> None:
    folder = create_dset()
    shutil.rmtree(upstream)
    assert create_dset() == folder


def test_without_upstream_debians_package_is_taken(
    upstream: Path, offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("this system has no dpkg-deb")
    calls = fake_apt(tmp_path, monkeypatch, package_command(tmp_path, upstream))
    folder = create_dset()
    assert (folder / f"{IDX_FILES[0]}.gz").is_file()
    assert [path.name for path in folder.iterdir() if path.name.startswith(".apt")] == []
    assert len(calls.read_text().splitlines()) == 1


def test_without_package_lists_own_ones_are_fetched(
    upstream: Path, offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("this system has no dpkg-deb")
    command = package_command(tmp_path, upstream)
    calls = fake_apt(tmp_path, monkeypatch, f'case "$*" in *Dir::State*) {command} ;; *) exit 100 ;; esac')
    create_dset()
    assert [line.split()[-1] for line in calls.read_text().splitlines()] == [
        "dataset-fashion-mnist",
        "update",
        "dataset-fashion-mnist",
    ]


@pytest.mark.usefixtures("upstream", "offline")
def test_without_any_network_the_folder_and_its_files_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_apt(tmp_path, monkeypatch, "true", last='echo "E: no such host" >&2; exit 100')
    with pytest.raises(DownloadError) as raised:
        create_dset()
    message = str(raised.value)
    assert "Debian's package: E: no such host" in message
    assert "mode.source=<folder>" in message
    assert all(f"{name}.gz" in message for name in IDX_FILES)


@pytest.mark.usefixtures("upstream", "offline")
def test_a_silent_failure_of_apt_is_told_by_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apt(tmp_path, monkeypatch, "true", last="exit 7")
    with pytest.raises(DownloadError, match="apt-get update failed with code 7"):
        create_dset()


@pytest.mark.usefixtures("upstream", "offline")
def test_an_apt_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "_APT_SECONDS", 0.2)
    fake_apt(tmp_path, monkeypatch, "true", last="exec sleep 60")
    with pytest.raises(DownloadError, match=r"apt-get update gave no answer within 0\.2 s"):
        create_dset()


@pytest.mark.usefixtures("upstream", "offline")
def test_a_machine_without_apt_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadError, match="there is no apt-get on this machine"):
        create_dset()


@pytest.mark.usefixtures("upstream", "offline")
def test_a_package_with_other_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("this system has no dpkg-deb")
    other = idx_folder(tmp_path / "other", train=4, end=".gz")
    fake_apt(tmp_path, monkeypatch, package_command(tmp_path, other))
    with pytest.raises(DownloadError, match="SHA-256 of its content is"):
        create_dset()


def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"x" * 1000)[:-9])
    with pytest.raises(ValueError, match="damaged"):
        check_file(tmp_path / "x.gz", "00")


@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_folder_of_the_user_is_taken_as_it_is(tmp_path: Path, end: str) -> None:
    creator = create_fashion_mnist(idx_folder(tmp_path / "idx", train=40, test=10, classes=10, end=end))
    (tmp_path / "task").mkdir()
    task = creator.build(tmp_path / "task", CreateOptions(), lambda _: None)
    assert task.idx_to_class[9] == "Ankle boot"
    assert (len(task.train_samples), len(task.test_samples), task.license) == (40, 10, License.MIT)


def test_a_folder_without_the_files_is_refused_with_their_names(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match=", ".join(IDX_FILES)):
        create_fashion_mnist(tmp_path)


def test_the_checksums_are_those_of_the_real_files(fashion_mnist_idx: Path) -> None:
    for name in IDX_FILES[1:]:
        check_file(fashion_mnist_idx / f"{name}.gz", CHECKSUMS[name])
