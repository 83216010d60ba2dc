import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mml.core.data_preparation.image_store import RECORDS_FILE, ImageJob, ImageRecord, ImageStore
from mml.core.data_preparation.options import CopyMode
from mml.core.scripts.exceptions import TaskDataError
from tests.core.data_preparation.make_sources import write_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "task").mkdir()
    return tmp_path / "task"


def jobs_of(source: Path, count: int = 5) -> list[ImageJob]:
    return [
        ImageJob(f"s{number}", write_image(source / f"{number}.png", number), f"images/{number % 2}/s{number}.png")
        for number in range(count)
    ]


def pixel_jobs(count: int = 100) -> list[ImageJob]:
    images = np.random.default_rng(0).integers(0, 256, (count, 5, 4), dtype=np.uint8)
    return [ImageJob(f"p{number}", image, f"images/0/p{number}.png") for number, image in enumerate(images)]


def store(folder: Path, jobs: list[ImageJob], copy: CopyMode = CopyMode.COPY, workers: int = 2) -> list[ImageRecord]:
    return ImageStore(folder, copy, workers).store(jobs, lambda _: None)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in (folder / "images").rglob("*") if path.is_file())


def test_files_are_copied_byte_by_byte_and_measured(tmp_path: Path, folder: Path) -> None:
    jobs = jobs_of(tmp_path / "source")
    records = store(folder, jobs)
    assert [record.sample_id for record in records] == [job.sample_id for job in jobs]
    for job, record in zip(jobs, records, strict=True):
        assert isinstance(job.image, Path)
        assert (folder / record.path).read_bytes() == job.image.read_bytes()
        assert record.path == job.target
        assert record.stats is not None
        assert (record.stats.width, record.stats.height) == (6, 4)


def test_pixels_are_written_as_png(folder: Path) -> None:
    (job,) = pixel_jobs(1)
    (record,) = store(folder, [job], CopyMode.REFERENCE)
    with Image.open(folder / record.path) as image:
        assert np.array_equal(np.asarray(image), job.image)


def test_hard_links_are_the_same_file(tmp_path: Path, folder: Path) -> None:
    jobs = jobs_of(tmp_path / "source")
    for job, record in zip(jobs, store(folder, jobs, CopyMode.HARDLINK), strict=True):
        assert isinstance(job.image, Path)
        assert (folder / record.path).samefile(job.image)


def test_a_hard_link_goes_to_the_file_that_a_link_points_to(tmp_path: Path, folder: Path) -> None:
    original = write_image(tmp_path / "original.png")
    (tmp_path / "link.png").symlink_to(original)
    store(folder, [ImageJob("s", tmp_path / "link.png", "images/0/s.png")], CopyMode.HARDLINK)
    stored = folder / "images" / "0" / "s.png"
    assert not stored.is_symlink()
    assert stored.samefile(original)


def test_where_links_are_impossible_files_are_copied_and_counted(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    jobs = jobs_of(tmp_path / "source")
    target = ImageStore(folder, CopyMode.HARDLINK, 1)
    target.store(jobs, lambda _: None)
    assert target.linked_by_copy == len(jobs)
    assert len(files(folder)) == len(jobs)


def test_references_are_absolute_and_copy_nothing(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "here" / "x.png")
    monkeypatch.chdir(tmp_path)
    (record,) = store(folder, [ImageJob("s", Path("here/x.png"), "images/0/s.png")], CopyMode.REFERENCE)
    assert record.path == str(tmp_path / "here" / "x.png")
    assert not (folder / "images" / "0" / "s.png").exists()


def test_a_path_that_is_no_text_can_be_copied_but_not_referenced(tmp_path: Path, folder: Path) -> None:
    odd = write_image(tmp_path / "x.png").rename(tmp_path / "caf\udce9.png")
    job = ImageJob("s", odd, "images/0/s.png")
    assert store(folder, [job])[0].fault == ""
    assert "no UTF-8 text" in store(folder, [job], CopyMode.REFERENCE)[0].fault


@pytest.mark.parametrize("workers", [1, 4])
def test_an_unreadable_image_is_recorded_with_the_reason_and_leaves_no_file(
    tmp_path: Path, folder: Path, workers: int
) -> None:
    jobs = jobs_of(tmp_path / "source")
    (tmp_path / "source" / "1.png").write_bytes(b"")
    (tmp_path / "source" / "3.png").unlink()
    records = store(folder, jobs, workers=workers)
    assert [record.fault for record in records] == ["", "the file is empty", "", "No such file or directory", ""]
    assert files(folder) == ["images/0/s0.png", "images/0/s2.png", "images/0/s4.png"]


def test_a_pipe_is_no_image_and_is_not_waited_for(tmp_path: Path, folder: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert store(folder, [ImageJob("s", tmp_path / "pipe.png", "images/0/s.png")])[0].fault == "it is no file"


def test_every_image_is_counted_once(tmp_path: Path, folder: Path) -> None:
    counted: list[int] = []
    jobs = pixel_jobs(100)
    ImageStore(folder, CopyMode.COPY, 2).store(jobs, counted.append)
    assert sum(counted) == 100


def test_what_is_complete_is_not_done_again(folder: Path) -> None:
    jobs = pixel_jobs()
    first = store(folder, jobs)
    stamps = {name: (folder / name).stat().st_mtime_ns for name in files(folder)}
    second = ImageStore(folder, CopyMode.COPY, 2)
    assert second.store(jobs, lambda _: None) == first
    assert second.kept == len(jobs)
    assert {name: (folder / name).stat().st_mtime_ns for name in files(folder)} == stamps


def test_an_interruption_keeps_what_is_complete(folder: Path) -> None:
    jobs = pixel_jobs(400)
    done: list[int] = []

    def stop(number: int) -> None:
        done.append(number)
        if sum(done) > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ImageStore(folder, CopyMode.COPY, 2).store(jobs, stop)
    again = ImageStore(folder, CopyMode.COPY, 2)
    records = again.store(jobs, lambda _: None)
    assert 100 < again.kept < 400
    assert records == store(folder, jobs)
    assert len(files(folder)) == 400


@pytest.mark.parametrize("harm", ["torn file", "missing file", "no record", "torn record"])
def test_what_a_kill_left_half_done_is_done_again(folder: Path, harm: str) -> None:
    jobs = pixel_jobs(3)
    expected = store(folder, jobs)
    content = (folder / "images/0/p2.png").read_bytes()
    lines = (folder / RECORDS_FILE).read_bytes().splitlines(keepends=True)
    last = next(line for line in lines if b'"p2"' in line)
    rest = b"".join(line for line in lines if line != last)
    match harm:
        case "torn file":
            (folder / "images/0/p2.png").write_bytes(content[:20])
        case "missing file":
            (folder / "images/0/p2.png").unlink()
        case "no record":
            (folder / RECORDS_FILE).write_bytes(rest)
        case "torn record":
            (folder / RECORDS_FILE).write_bytes(rest + last[:-9])
    again = ImageStore(folder, CopyMode.COPY, 1)
    assert again.store(jobs, lambda _: None) == expected
    assert again.kept == 2
    assert (folder / "images/0/p2.png").read_bytes() == content


def test_a_source_that_changed_meanwhile_is_stored_anew(tmp_path: Path, folder: Path) -> None:
    jobs = jobs_of(tmp_path / "source")
    store(folder, jobs)
    write_image(tmp_path / "source" / "2.png", 200, size=(9, 9))
    again = ImageStore(folder, CopyMode.COPY, 1)
    records = again.store(jobs, lambda _: None)
    assert again.kept == 4
    assert records[2].stats is not None
    assert records[2].stats.width == 9
    assert (folder / "images/0/s2.png").read_bytes() == (tmp_path / "source" / "2.png").read_bytes()


def test_files_that_belong_to_no_image_any_more_are_removed(tmp_path: Path, folder: Path) -> None:
    jobs = jobs_of(tmp_path / "source")
    store(folder, jobs)
    store(folder, jobs[:3])
    assert files(folder) == ["images/0/s0.png", "images/0/s2.png", "images/1/s1.png"]


def test_linked_originals_survive_a_second_attempt(tmp_path: Path, folder: Path) -> None:
    jobs = jobs_of(tmp_path / "source")
    store(folder, jobs, CopyMode.HARDLINK)
    (folder / RECORDS_FILE).unlink()
    before = (tmp_path / "source" / "0.png").read_bytes()
    store(folder, jobs, CopyMode.COPY)
    assert (tmp_path / "source" / "0.png").read_bytes() == before


def test_too_little_space_is_refused_before_anything_is_written(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = jobs_of(tmp_path / "source")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 4 * 4096})())
    with pytest.raises(TaskDataError, match=r"20\.5 kB are needed and 16\.4 kB are free"):
        store(folder, jobs)
    assert not (folder / "images").exists()
    # Neither links nor references take room.
    for copy in (CopyMode.HARDLINK, CopyMode.REFERENCE):
        store(folder, jobs, copy)
    with pytest.raises(TaskDataError, match="are needed"):
        store(folder, pixel_jobs(5), CopyMode.REFERENCE)


def test_a_disk_that_gets_full_is_explained(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(TaskDataError, match="too full"):
        store(folder, jobs_of(tmp_path / "source"), CopyMode.HARDLINK)
