import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_preparation.sources.idx import is_idx_name, read_idx, read_idx_folder
from mml.core.scripts.exceptions import TaskDataError
from tests.core.data_preparation.make_sources import idx_folder, write_idx

VALUES = np.arange(24, dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train-images-idx3-ubyte", True),
        ("t10k-labels-idx1-ubyte.gz", True),
        ("train-images.idx3-ubyte", True),
        ("emnist-letters-test-images-idx3-ubyte.gz", True),
        ("validation-labels-idx1-ubyte", True),
        ("train-images.png", False),
        ("images-idx3-ubyte", False),
        ("retrain-images-idx3-ubyte", False),
    ],
)
def test_idx_files_are_told_by_their_names(name: str, expected: bool) -> None:
    assert is_idx_name(name) is expected


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("shape", [(24,), (2, 3, 4), (2, 2, 2, 3)])
def test_gzipped_and_raw_files_of_any_shape_are_read(tmp_path: Path, shape: tuple[int, ...], end: str) -> None:
    path = write_idx(tmp_path / f"train-images-idx3-ubyte{end}", VALUES.reshape(shape))
    assert np.array_equal(read_idx(path), VALUES.reshape(shape))


def test_a_gzipped_file_without_the_suffix_is_read(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "x.gz", VALUES).rename(tmp_path / "train-images-idx3-ubyte")
    assert np.array_equal(read_idx(path), VALUES)


def test_a_file_cut_short_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "x", VALUES.reshape(2, 3, 4))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(TaskDataError, match="header promises 24 bytes of values, and 19 follow"):
        read_idx(path)


def test_a_gzipped_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "x.gz", VALUES)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(TaskDataError, match=r"x\.gz can't be read"):
        read_idx(path)


@pytest.mark.parametrize("data", [b"", b"\0\0", b"<html>", b"\0\0\x08\0", b"\0\0\x08\x03\0\0"])
def test_other_files_are_refused_with_their_first_bytes(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(TaskDataError, match="is no IDX file: its first bytes are"):
        read_idx(tmp_path / "x")


def test_values_that_are_no_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match="type 0x0d; only unsigned bytes"):
        read_idx(write_idx(tmp_path / "x", VALUES.astype(">f4"), kind=0x0D))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match="can't be read"):
        read_idx(tmp_path / "x")


@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_folder_gives_both_splits_with_readable_ids(tmp_path: Path, end: str) -> None:
    found = read_idx_folder(idx_folder(tmp_path, train=12, test=3, end=end))
    assert [sample.split for sample in found.samples] == [DataSplit.TRAIN] * 12 + [DataSplit.TEST] * 3
    assert [found.samples[place].sample_id for place in (0, 11, 12)] == ["train-00", "train-11", "test-0"]
    assert [sample.label for sample in found.samples[:3]] == ["0", "1", "0"]
    assert isinstance(found.samples[0].image, np.ndarray)
    assert found.samples[0].image.shape == (4, 3)


def test_labels_are_named_by_the_classes_given(tmp_path: Path) -> None:
    found = read_idx_folder(idx_folder(tmp_path), ["boot", "bag", "hat"])
    assert found.samples[1].label == "bag"
    assert found.classes == ["boot", "bag", "hat"]


def test_a_label_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match="beyond the 2 classes known: 2"):
        read_idx_folder(idx_folder(tmp_path, classes=3), ["boot", "bag"])


def test_a_raw_file_goes_before_its_gzipped_twin(tmp_path: Path) -> None:
    idx_folder(tmp_path, train=4)
    idx_folder(tmp_path, train=8, end=".gz")
    assert len(read_idx_folder(tmp_path).samples) == 14


def test_validation_files_are_a_split_of_their_own(tmp_path: Path) -> None:
    idx_folder(tmp_path)
    write_idx(tmp_path / "val-images-idx3-ubyte", VALUES.reshape(2, 3, 4))
    write_idx(tmp_path / "val-labels-idx1-ubyte", np.array([0, 1], dtype=np.uint8))
    splits = [sample.split for sample in read_idx_folder(tmp_path).samples]
    assert splits.count(DataSplit.VAL) == 2


@pytest.mark.parametrize(("channels", "shape"), [(1, (3, 4)), (3, (3, 4, 3))])
def test_images_may_have_channels(tmp_path: Path, channels: int, shape: tuple[int, ...]) -> None:
    write_idx(tmp_path / "train-images-idx4-ubyte", np.zeros((2, 3, 4, channels), dtype=np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array([0, 1], dtype=np.uint8))
    image = read_idx_folder(tmp_path).samples[0].image
    assert isinstance(image, np.ndarray)
    assert image.shape == shape


@pytest.mark.parametrize(("missing", "there"), [("labels-idx1", "images"), ("images-idx3", "labels")])
def test_half_a_pair_is_refused_with_what_is_missing(tmp_path: Path, missing: str, there: str) -> None:
    idx_folder(tmp_path)
    (tmp_path / f"train-{missing}-ubyte").unlink()
    with pytest.raises(TaskDataError, match=rf"{missing.split('-')[0]} that belong to .*train-{there}.* is missing"):
        read_idx_folder(tmp_path)


def test_a_folder_without_training_files_is_refused_with_the_names_wanted(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match=r"train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images"):
        read_idx_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("train-labels-idx1-ubyte", np.zeros(3, dtype=np.uint8), "holds 20 images, and .* 3 labels"),
        ("train-labels-idx1-ubyte", np.zeros((20, 2), dtype=np.uint8), "one number per image"),
        ("train-images-idx3-ubyte", np.zeros((20, 2), dtype=np.uint8), r"has the shape \(20, 2\)"),
        ("train-images-idx3-ubyte", np.zeros((20, 2, 2, 2), dtype=np.uint8), r"has the shape \(20, 2, 2, 2\)"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, name: str, values: np.ndarray, reason: str) -> None:
    idx_folder(tmp_path)
    write_idx(tmp_path / name, values)
    with pytest.raises(TaskDataError, match=reason):
        read_idx_folder(tmp_path)


def test_a_packed_file_is_unpacked_no_further_than_its_header_promises(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\1" + (5).to_bytes(4) + bytes(64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(TaskDataError, match="promises 5 bytes of values, and 1,0"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_packed_file_that_promises_without_measure_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\3" + b"\xff" * 12 + bytes(64 << 20)))
    with pytest.raises(TaskDataError, match="would grow"):
        read_idx(path)
