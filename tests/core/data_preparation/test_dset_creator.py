import gzip
import hashlib
import zipfile
from pathlib import Path

import pytest

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_preparation.data_archive import DataKind
from mml.core.data_preparation.downloads import DownloadError
from mml.core.data_preparation.dset_creator import DSetCreator
from mml.core.scripts.exceptions import MMLMisconfigurationException, TaskDataError


@pytest.fixture
def creator(tmp_path: Path) -> DSetCreator:
    (tmp_path / "downloads").mkdir()
    return DSetCreator("shapes", tmp_path / "downloads")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "remote.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/1.txt", "one")
    return path


def test_files_go_below_the_data_folder_by_default(tmp_path: Path) -> None:
    MMLFileManager(tmp_path / "data", tmp_path / "results" / "p")
    assert DSetCreator("shapes").download_path == tmp_path / "data" / "downloads" / "shapes"


def test_a_data_folder_that_can_not_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    MMLFileManager(tmp_path / "data", tmp_path / "results" / "p")
    with pytest.raises(TaskDataError, match="data folder can't be written"):
        DSetCreator("shapes")


def test_a_file_is_fetched_checked_and_unpacked_by_its_kind(creator: DSetCreator, archive: Path) -> None:
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    path = creator.download(archive.as_uri(), "shapes.zip", DataKind.TRAINING_DATA, sha256=sha256)
    assert path == creator.download_path / "shapes.zip"
    root = creator.unpack_and_store()
    assert (root / "training_data" / "a" / "1.txt").read_text() == "one"


def test_without_checksum_any_file_is_taken(creator: DSetCreator, archive: Path) -> None:
    assert creator.download([archive.as_uri()], "shapes.zip", DataKind.MIXED).is_file()


def test_a_file_that_is_not_the_one_wanted_is_refused(creator: DSetCreator, archive: Path) -> None:
    with pytest.raises(DownloadError, match="its sha256 is"):
        creator.download(archive.as_uri(), "shapes.zip", DataKind.MIXED, sha256="00")
    assert creator.archives == []


def test_a_check_of_its_own_decides(creator: DSetCreator, archive: Path) -> None:
    def refuse(path: Path) -> None:
        msg = f"{path.stat().st_size} bytes are too few"
        raise ValueError(msg)

    with pytest.raises(DownloadError, match="bytes are too few"):
        creator.download(archive.as_uri(), "shapes.zip", DataKind.MIXED, check=refuse)


def test_a_file_that_the_user_has_to_fetch_is_asked_for_with_instructions(creator: DSetCreator) -> None:
    instructions = "Get it\n    from https://example.org."
    with pytest.raises(MMLMisconfigurationException, match=r"shapes\.csv, which is not there\. Get it from https"):
        creator.verify_pre_download("shapes.csv", DataKind.TRAINING_LABELS, instructions)
    (creator.download_path / "shapes.csv").write_text("x")
    creator.verify_pre_download("shapes.csv", DataKind.TRAINING_LABELS, instructions)
    assert (creator.unpack_and_store() / "training_labels" / "shapes.csv").read_text() == "x"


def test_a_gzipped_file_is_unpacked_without_its_suffix(creator: DSetCreator) -> None:
    (creator.download_path / "labels.csv.gz").write_bytes(gzip.compress(b"x"))
    creator.verify_pre_download("labels.csv.gz", DataKind.TESTING_LABELS, "")
    assert (creator.unpack_and_store() / "testing_labels" / "labels.csv").read_bytes() == b"x"


def test_what_was_unpacked_is_kept_and_what_was_not_whole_is_done_again(creator: DSetCreator, archive: Path) -> None:
    creator.download(archive.as_uri(), "shapes.zip", DataKind.MIXED)
    file = creator.unpack_and_store() / "mixed" / "a" / "1.txt"
    file.write_text("changed")
    creator.unpack_and_store()
    assert file.read_text() == "changed"
    (file.parents[1] / ".shapes.zip.unpacked").unlink()
    creator.unpack_and_store()
    assert file.read_text() == "one"
