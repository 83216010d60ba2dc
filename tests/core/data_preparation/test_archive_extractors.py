import io
import shutil
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from mml.core.data_preparation.archive_extractors import is_archive, unpack_files
from mml.core.scripts.exceptions import TaskDataError

UNSAFE = ["/etc/evil", "../evil", "a/../../evil", "..\\evil", "C:\\evil"]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def make_zip(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "content")
    return path


def make_tar(path: Path, *names: str, kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, f"w:{path.suffix[1:] if path.suffix != '.tar' else ''}") as file:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = "/etc/passwd" if kind != tarfile.REGTYPE else ""
            info.size = len(b"content") if kind == tarfile.REGTYPE else 0
            file.addfile(info, io.BytesIO(b"content"))
    return path


def found(target: Path) -> list[str]:
    return sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "A.TGZ", "a.tar.xz", "a.deb"])
def test_archives_are_told_by_their_names(name: str) -> None:
    assert is_archive(Path(name))


@pytest.mark.parametrize("name", ["a.gz", "a.png", "zip", "a.7z"])
def test_other_files_are_no_archives(name: str) -> None:
    assert not is_archive(Path(name))


def test_a_zip_is_unpacked(tmp_path: Path, target: Path) -> None:
    unpack_files(make_zip(tmp_path / "a.zip", "x.txt", "sub/y.txt"), target)
    assert found(target) == ["sub/y.txt", "x.txt"]
    assert (target / "x.txt").read_text() == "content"


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_a_tar_is_unpacked(tmp_path: Path, target: Path, name: str) -> None:
    unpack_files(make_tar(tmp_path / name, "x.txt", "sub/y.txt"), target)
    assert found(target) == ["sub/y.txt", "x.txt"]


@pytest.mark.parametrize("name", UNSAFE)
def test_names_that_lead_elsewhere_keep_a_zip_from_being_unpacked(tmp_path: Path, target: Path, name: str) -> None:
    with pytest.raises(TaskDataError, match="is not unpacked.*evil"):
        unpack_files(make_zip(tmp_path / "a.zip", "good.txt", name), target)
    assert found(target) == []


@pytest.mark.parametrize("name", UNSAFE)
def test_names_that_lead_elsewhere_keep_a_tar_from_being_unpacked(tmp_path: Path, target: Path, name: str) -> None:
    with pytest.raises(TaskDataError, match="is not unpacked.*evil"):
        unpack_files(make_tar(tmp_path / "a.tar", "good.txt", name), target)
    assert found(target) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_keep_a_tar_from_being_unpacked(tmp_path: Path, target: Path, kind: bytes) -> None:
    with pytest.raises(TaskDataError, match="links or devices"):
        unpack_files(make_tar(tmp_path / "a.tar", "link", kind=kind), target)
    assert list(target.iterdir()) == []


def test_links_keep_a_zip_from_being_unpacked(tmp_path: Path, target: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(TaskDataError, match="links"):
        unpack_files(tmp_path / "a.zip", target)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_a_damaged_archive_is_refused(tmp_path: Path, target: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b not an archive")
    with pytest.raises(TaskDataError, match="can't be unpacked"):
        unpack_files(tmp_path / name, target)


def test_a_tar_cut_short_is_refused(tmp_path: Path, target: Path) -> None:
    path = make_tar(tmp_path / "a.tar.gz", *(f"{number}.txt" for number in range(100)))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(TaskDataError, match="can't be unpacked"):
        unpack_files(path, target)


def test_another_kind_of_file_is_refused(tmp_path: Path, target: Path) -> None:
    with pytest.raises(TaskDataError, match="only zip, tar and deb"):
        unpack_files(tmp_path / "a.7z", target)


def test_a_debian_package_is_unpacked(tmp_path: Path, target: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("this system has no dpkg-deb")
    root = tmp_path / "package"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n"
    )
    (root / "data.txt").write_text("content")
    subprocess.run(["dpkg-deb", "-b", str(root), str(tmp_path / "a.deb")], check=True, capture_output=True)
    unpack_files(tmp_path / "a.deb", target)
    assert found(target) == ["data.txt"]


def test_a_damaged_debian_package_is_refused(tmp_path: Path, target: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("this system has no dpkg-deb")
    (tmp_path / "a.deb").write_bytes(b"no package")
    with pytest.raises(TaskDataError, match="can't be unpacked: .*dpkg-deb"):
        unpack_files(tmp_path / "a.deb", target)


def test_without_dpkg_a_debian_package_is_refused(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TaskDataError, match="dpkg-deb is missing"):
        unpack_files(tmp_path / "a.deb", target)
