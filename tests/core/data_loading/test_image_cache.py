import errno
import logging
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mml.core.data_loading import image_cache
from mml.core.data_loading.image_cache import CachedImages, ImageCache, TaskImages, decoded_chunks, open_images
from mml.core.data_loading.modality_loaders import Preprocessing
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.exceptions import TaskDataError
from mml.core.scripts.progress import RunProgress
from tests.support.tasks import make_struct

PREPROCESSING = Preprocessing(16, 16)
QUIET = RunProgress(enabled=False)


@pytest.fixture
def struct(tmp_path: Path) -> TaskStruct:
    return make_struct(tmp_path, "a", per_class=4, unlabeled=2)


@pytest.fixture
def images(struct: TaskStruct) -> TaskImages:
    return TaskImages(struct, PREPROCESSING)


@pytest.fixture
def cache(tmp_path: Path, images: TaskImages) -> ImageCache:
    return ImageCache(tmp_path, images)


def every(images: TaskImages) -> Any:
    return images.gather(np.arange(len(images)))


def touch_later(path: Path) -> None:
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10**9))


def open_as(images: TaskImages, data_dir: Path, cache: str = "auto", limit_gb: float = 2.0) -> Any:
    return open_images(data_dir, images, cache=cache, limit_gb=limit_gb, progress=QUIET, workers=0)


def test_images_are_numbered_through_train_test_and_unlabeled_samples(images: TaskImages) -> None:
    assert images.ids == [f"train_{i:04}" for i in range(12)] + [f"test_{i:04}" for i in range(6)] + [
        f"unlabeled_{i:04}" for i in range(2)
    ]
    assert images.shape == (20, 3, 16, 16)
    assert images.decoded_bytes == 20 * 3 * 16 * 16


def test_the_cache_holds_the_pixels_of_the_files(cache: ImageCache, images: TaskImages) -> None:
    cached = cache.open(QUIET)
    np.testing.assert_array_equal(cached.gather(np.arange(20)), every(images))


def test_rows_come_in_the_order_asked_for(cache: ImageCache, images: TaskImages) -> None:
    rows = np.array([7, 3, 3, 19])
    np.testing.assert_array_equal(cache.open(QUIET).gather(rows), every(images)[rows])


def test_a_batch_may_be_changed_without_changing_the_cache(cache: ImageCache) -> None:
    cached = cache.open(QUIET)
    cached.gather(np.array([0]))[:] = 0
    assert cached.gather(np.array([0])).any()


def test_worker_processes_decode_the_same(
    cache: ImageCache, images: TaskImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cache, "WORTH_WORKERS", 0)
    monkeypatch.setattr(image_cache, "CHUNK_BYTES", 3 * 3 * 16 * 16)
    chunks = list(decoded_chunks(images, workers=2))
    assert len(chunks) == 7
    np.testing.assert_array_equal(np.concatenate(chunks), every(images))
    np.testing.assert_array_equal(cache.open(QUIET, workers=2).gather(np.arange(20)), every(images))


def test_building_leaves_the_randomness_of_the_training_alone(
    cache: ImageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cache, "WORTH_WORKERS", 0)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    cache.open(QUIET, workers=2)
    assert torch.equal(torch.rand(3), expected)


def test_a_valid_cache_is_not_built_again(cache: ImageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.open(QUIET)
    state = (cache.folder / "images.npy").stat()
    cache.open(QUIET)
    assert (cache.folder / "images.npy").stat() == state


def test_nothing_unfinished_is_left_beside_the_cache(cache: ImageCache) -> None:
    cache.open(QUIET)
    assert {path.name for path in cache.folder.iterdir()} <= {"images.npy", "record.json", "build.lock"}


def test_a_changed_image_makes_the_cache_stale(cache: ImageCache, struct: TaskStruct, images: TaskImages) -> None:
    before = cache.open(QUIET).gather(np.arange(20))
    file = struct.folder / "images" / "train_0000.png"
    shutil.copy(struct.folder / "images" / "train_0001.png", file)
    touch_later(file)
    after = cache.open(QUIET).gather(np.arange(20))
    np.testing.assert_array_equal(after, every(images))
    assert (after[0] != before[0]).any()


def test_a_moved_data_folder_keeps_its_cache(cache: ImageCache, struct: TaskStruct, tmp_path: Path) -> None:
    cache.open(QUIET)
    for name in ("tasks", "cache"):
        (tmp_path / "new").mkdir(exist_ok=True)
        shutil.move(tmp_path / name, tmp_path / "new" / name)
    moved = TaskStruct(struct.header, tmp_path / "new" / "tasks" / "a")
    there = ImageCache(tmp_path / "new", TaskImages(moved, PREPROCESSING))
    state = (there.folder / "images.npy").stat()
    there.open(QUIET)
    assert (there.folder / "images.npy").stat() == state


def test_a_copied_cache_with_new_time_stamps_is_valid(cache: ImageCache) -> None:
    cache.open(QUIET)
    file = cache.folder / "images.npy"
    touch_later(file)
    state = file.stat()
    cache.open(QUIET)
    assert file.stat() == state


def flip_a_byte(folder: Path) -> None:
    file = folder / "images.npy"
    content = bytearray(file.read_bytes())
    content[-100] ^= 255
    file.write_bytes(content)
    touch_later(file)


def cut_off(folder: Path) -> None:
    file = folder / "images.npy"
    file.write_bytes(file.read_bytes()[:-100])


def remove_images(folder: Path) -> None:
    (folder / "images.npy").unlink()


def remove_record(folder: Path) -> None:
    (folder / "record.json").unlink()


def spoil_record(folder: Path) -> None:
    (folder / "record.json").write_text("{'version'")


def make_record_older(folder: Path) -> None:
    file = folder / "record.json"
    file.write_text(file.read_text().replace('"version":1', '"version":0'))


@pytest.mark.parametrize(
    "damage", [flip_a_byte, cut_off, remove_images, remove_record, spoil_record, make_record_older]
)
def test_a_damaged_cache_is_built_again(cache: ImageCache, images: TaskImages, damage: Any) -> None:
    cache.open(QUIET)
    damage(cache.folder)
    np.testing.assert_array_equal(cache.open(QUIET).gather(np.arange(20)), every(images))
    assert cache._valid(images.digest())


@pytest.mark.parametrize("name", [".images.12345", ".record.json.abcdefgh.tmp"])
def test_what_a_killed_run_left_is_removed(cache: ImageCache, name: str) -> None:
    cache.folder.mkdir(parents=True)
    left = cache.folder / name
    left.write_bytes(b"half")
    cache.open(QUIET)
    assert not left.exists()


def test_each_preprocessing_has_a_cache_of_its_own(tmp_path: Path, struct: TaskStruct) -> None:
    folders = {ImageCache(tmp_path, TaskImages(struct, Preprocessing(*size))).folder for size in [(16, 16), (8, 8)]}
    assert len(folders) == 2
    assert all(folder.parent == tmp_path / "cache" and folder.name.startswith("a-") for folder in folders)


def test_a_cache_is_pickled_by_its_path(cache: ImageCache) -> None:
    cached = cache.open(QUIET)
    text = pickle.dumps(cached)
    assert len(text) < 1000
    np.testing.assert_array_equal(pickle.loads(text).gather(np.arange(3)), cached.gather(np.arange(3)))


BUILD = """
import sys
from pathlib import Path
import numpy as np
from mml.core.data_loading.image_cache import ImageCache, TaskImages
from mml.core.data_loading.modality_loaders import Preprocessing
from mml.core.data_loading.task_description import load_description
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.progress import RunProgress
data = Path(sys.argv[1])
folder = data / "tasks" / "a"
struct = TaskStruct(load_description(folder / "task.json").header(), folder)
images = TaskImages(struct, Preprocessing(16, 16))
print("ready", flush=True)
sys.stdin.readline()
cached = ImageCache(data, images).open(RunProgress(enabled=False))
rows = np.arange(len(images))
print((cached.gather(rows) == images.gather(rows)).all())
"""


def test_runs_that_build_at_the_same_moment_all_get_the_cache(struct: TaskStruct, tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUILD, str(tmp_path)]
    runs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()
    for run in runs:
        out, err = run.communicate(timeout=60)
        assert out == "True\n", err


def test_a_missing_image_is_named_before_anything_is_decoded(cache: ImageCache, struct: TaskStruct) -> None:
    (struct.folder / "images" / "test_0002.png").unlink()
    with pytest.raises(TaskDataError, match="test_0002.png of sample 'test_0002' in task 'a'.*does not exist"):
        cache.open(QUIET)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_named_and_nothing_unfinished_is_left(
    cache: ImageCache, struct: TaskStruct, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(image_cache, "WORTH_WORKERS", 0)
    (struct.folder / "images" / "train_0002.png").write_bytes(b"")
    with pytest.raises(TaskDataError, match="sample 'train_0002' in task 'a'"):
        cache.open(QUIET, workers=workers)
    assert {path.name for path in cache.folder.iterdir()} <= {"build.lock"}


def test_small_sets_are_cached_by_themselves(images: TaskImages, tmp_path: Path) -> None:
    assert isinstance(open_as(images, tmp_path), CachedImages)


def test_large_sets_are_decoded_on_demand(images: TaskImages, tmp_path: Path) -> None:
    assert open_as(images, tmp_path, limit_gb=1e-6) is images
    assert isinstance(open_as(images, tmp_path, "always", limit_gb=1e-6), CachedImages)


def test_never_means_never(images: TaskImages, tmp_path: Path) -> None:
    assert open_as(images, tmp_path, "never") is images
    assert not (tmp_path / "cache").exists()


def test_a_task_without_images_needs_no_cache(struct: TaskStruct, tmp_path: Path) -> None:
    for table in (
        struct.description.train_samples,
        struct.description.test_samples,
        struct.description.unlabeled_samples,
    ):
        table.clear()
    empty = TaskImages(struct, PREPROCESSING)
    assert open_as(empty, tmp_path, "always") is empty


def test_an_unwritable_place_is_told_and_training_goes_on(
    images: TaskImages, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("no folder")
    with caplog.at_level(logging.WARNING):
        assert open_as(images, tmp_path) is images
    assert "sampling.cache=never" in caplog.text


def test_a_full_disk_is_told_and_training_goes_on(
    images: TaskImages, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cache, "DISK_RESERVE", 2**62)
    with caplog.at_level(logging.WARNING):
        assert open_as(images, tmp_path) is images
    assert os.strerror(errno.ENOSPC) in caplog.text


FILL = """
import resource
import sys
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
from mml.core.data_loading.image_cache import open_images
source = open_images(data, images, cache="always", limit_gb=1, progress=RunProgress(enabled=False), workers=0)
print(type(source).__name__, sorted(path.name for path in data.glob("cache/*/*")))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")
def test_a_file_that_can_not_be_written_to_its_end_leaves_nothing_and_training_goes_on(
    struct: TaskStruct, tmp_path: Path
) -> None:
    code = BUILD.split("print")[0] + FILL
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout == "TaskImages ['build.lock']\n", done.stderr
    assert "sampling.cache=never" in done.stderr


def test_an_image_can_be_missing_or_damaged_on_demand_too(images: TaskImages, struct: TaskStruct) -> None:
    (struct.folder / "images" / "train_0001.png").unlink()
    assert images.gather(np.array([0, 2])).shape == (2, 3, 16, 16)
    with pytest.raises(TaskDataError, match="sample 'train_0001'"):
        images.gather(np.array([0, 1]))
