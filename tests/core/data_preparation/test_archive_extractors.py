import errno
import gzip
import io
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from mml.core.data_preparation.archive_extractors import Allowance, is_archive, unpack_files, unpack_gzip
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


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_tar_that_ends_between_two_files_is_refused(tmp_path: Path, target: Path, name: str) -> None:
    whole = make_tar(tmp_path / "whole.tar", "x.txt", "y.txt", "z.txt").read_bytes()
    cut = whole[: 4 * 512]  # two files of a header and a block each
    (tmp_path / name).write_bytes(gzip.compress(cut) if name.endswith("gz") else cut)
    with pytest.raises(TaskDataError, match="its end is missing"):
        unpack_files(tmp_path / name, target)
    assert found(target) == []


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


def test_a_debian_package_keeps_its_links_and_devices_to_itself(tmp_path: Path, target: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("this system has no dpkg-deb")
    root = tmp_path / "package"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n"
    )
    (root / "usr").mkdir()
    (root / "usr" / "data.txt").write_text("content")
    (root / "usr" / "same.txt").hardlink_to(root / "usr" / "data.txt")
    (root / "usr" / "link").symlink_to("/etc")
    os.mkfifo(root / "usr" / "pipe")
    subprocess.run(["dpkg-deb", "-b", str(root), str(tmp_path / "a.deb")], check=True, capture_output=True)
    unpack_files(tmp_path / "a.deb", target)
    assert found(target) == ["usr/data.txt", "usr/same.txt"]
    assert sorted(path.name for path in target.rglob("*")) == ["data.txt", "same.txt", "usr"]


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


def test_an_encrypted_zip_is_refused_before_anything_is_written(tmp_path: Path, target: Path) -> None:
    path = make_zip(tmp_path / "a.zip", "x.txt", "y.txt")
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = data.rfind(mark)
        data[place + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(TaskDataError, match="it is encrypted"):
        unpack_files(path, target)
    assert found(target) == []


def test_entries_of_a_zip_that_share_their_bytes_are_refused(tmp_path: Path, target: Path) -> None:
    path = make_zip(tmp_path / "a.zip", "x.txt", "y.txt")
    data = bytearray(path.read_bytes())
    second = data.rfind(b"PK\1\2")
    data[second + 42 : second + 46] = (5).to_bytes(4, "little")  # where its bytes begin: inside of the first
    path.write_bytes(data)
    with pytest.raises(TaskDataError, match=r"entries overlap \(y.txt\), so it is a trap"):
        unpack_files(path, target)
    assert found(target) == []


def bomb(path: Path, size: int) -> Path:
    """Write an archive with a file of so many zeros, without ever holding them."""
    zeros = bytes(1 << 20)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("x", "w", force_zip64=True) as entry:
            for _ in range(size >> 20):
                entry.write(zeros)
        return path
    info = tarfile.TarInfo("x")
    info.size = size
    with gzip.open(path, "wb") as packed:
        if path.name.endswith(".tar.gz"):
            packed.write(info.tobuf())
        for _ in range(size >> 20):
            packed.write(zeros)
    return path


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_bomb_is_refused_before_anything_is_written(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("mml.core.data_preparation.archive_extractors._ALLOWED_BYTES", 1 << 20)
    with pytest.raises(TaskDataError, match=r"would grow to more than .* as no pictures do"):
        unpack_files(bomb(tmp_path / name, 64 << 20), target)
    assert found(target) == []


def test_a_bomb_that_is_packed_by_itself_stops_at_what_is_allowed(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mml.core.data_preparation.archive_extractors._ALLOWED_BYTES", 1 << 20)
    with pytest.raises(TaskDataError, match="would grow"):
        unpack_gzip(bomb(tmp_path / "a.gz", 64 << 20), target / "a")
    assert (target / "a").stat().st_size < 32 << 20


def test_files_without_number_are_a_bomb_too(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mml.core.data_preparation.archive_extractors._ALLOWED_BYTES", 1 << 20)
    with pytest.raises(TaskDataError, match="would grow"):
        unpack_files(make_tar(tmp_path / "a.tar.gz", *(f"{number:05}" for number in range(5000))), target)
    assert found(target) == []


def test_a_header_without_measure_is_not_read_into_memory(tmp_path: Path, target: Path) -> None:
    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.XHDTYPE, 64 << 20
    with gzip.open(tmp_path / "a.tar.gz", "wb") as packed:
        packed.write(info.tobuf())
        packed.write(bytes(64 << 20))
    with pytest.raises(TaskDataError, match="a header of 67.1 MB"):
        unpack_files(tmp_path / "a.tar.gz", target)


def test_what_the_disk_can_not_hold_is_refused(tmp_path: Path, target: Path) -> None:
    allowance = Allowance(make_zip(tmp_path / "a.zip"), target)
    allowance._most = 10**18
    with pytest.raises(TaskDataError, match="too full"):
        allowance.take_files([10**17])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.zip", b"PK\5\6" + bytes(8) + b"\xff" * 8 + bytes(2)),
        ("a.tar.gz", gzip.compress(b"x" * 600, mtime=0)[:-9] + b"wrong sum"),
        ("a.tar.xz", b"\xfd7zXZ\0no"),
        ("a.tar.bz2", b"BZh9no"),
        ("a.tar", b""),
    ],
)
def test_whatever_the_damage_it_is_one_kind_of_error(tmp_path: Path, target: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(TaskDataError, match="can't be unpacked: .+"):
        unpack_files(tmp_path / name, target)


def test_a_zip_packed_in_an_unknown_way_is_refused(tmp_path: Path, target: Path) -> None:
    path = make_zip(tmp_path / "a.zip", "x.txt")
    data = bytearray(path.read_bytes())
    data[8], data[data.rfind(b"PK\1\2") + 10] = 99, 99
    path.write_bytes(data)
    with pytest.raises(TaskDataError, match="can't be unpacked: .*compression"):
        unpack_files(path, target)


def test_a_damaged_gzip_is_refused(tmp_path: Path, target: Path) -> None:
    (tmp_path / "a.gz").write_bytes(b"no gzip")
    with pytest.raises(TaskDataError, match="can't be unpacked: .*gzip"):
        unpack_gzip(tmp_path / "a.gz", target / "a")


def test_a_file_and_a_folder_of_one_name_are_damage(tmp_path: Path, target: Path) -> None:
    with pytest.raises(TaskDataError, match="can't be unpacked"):
        unpack_files(make_zip(tmp_path / "a.zip", "x", "x/y"), target)


def test_errors_of_the_disk_are_left_to_who_unpacks(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", "x.txt")
    path.unlink()
    with pytest.raises(TaskDataError, match="can't be unpacked"):
        unpack_files(path, tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    make_zip(path, "x.txt")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(zipfile.ZipFile, "extractall", full)
        unpack_files(path, tmp_path)
