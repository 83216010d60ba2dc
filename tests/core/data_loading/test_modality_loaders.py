from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch._utils import ExceptionWrapper

from mml.core.data_loading.modality_loaders import (
    UNREADABLE,
    Preprocessing,
    UnreadableFileError,
    encode_labels,
    file_of,
    file_path,
    image_paths,
    load_image,
    load_mask,
    open_image,
)
from mml.core.data_loading.task_attributes import Modality, TaskType
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.exceptions import TaskDataError
from tests.support.tasks import make_struct


def gradient(height: int, width: int) -> np.ndarray[Any, Any]:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), 0 * x + 128], axis=-1).astype(
        np.uint8
    )


def saved(path: Path, array: np.ndarray[Any, Any], **options: Any) -> str:
    Image.fromarray(array).save(path, **options)
    return str(path)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_an_image_of_the_right_size_is_read_as_it_is(tmp_path: Path, suffix: str) -> None:
    array = gradient(6, 9)
    image = load_image(saved(tmp_path / f"a.{suffix}", array), Preprocessing(6, 9))
    np.testing.assert_array_equal(image, array.transpose(2, 0, 1))


def test_a_colour_image_becomes_grey_by_luma(tmp_path: Path) -> None:
    array = gradient(6, 9)
    image = load_image(saved(tmp_path / "a.png", array), Preprocessing(6, 9, "L"))
    assert image.shape == (1, 6, 9)
    np.testing.assert_allclose(image[0], array @ [0.299, 0.587, 0.114], atol=1)


def test_a_grey_image_becomes_three_equal_channels(tmp_path: Path) -> None:
    image = load_image(saved(tmp_path / "a.png", gradient(6, 9)[..., 0]), Preprocessing(6, 9))
    assert image.shape == (3, 6, 9)
    assert (image == image[:1]).all()


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "YCbCr"])
def test_every_kind_of_image_becomes_colours(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode in {"CMYK", "YCbCr"} else "a.png")
    Image.fromarray(gradient(6, 9)).convert("RGB").convert("L" if mode == "LA" else "RGB").convert(mode).save(path)
    assert load_image(str(path), Preprocessing(6, 9)).shape == (3, 6, 9)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 257, 65535]], dtype=np.uint16), [0, 1, 255]),
        (np.array([[0, 100, 255]], dtype=np.int32), [0, 100, 255]),
        (np.array([[0, 257, 65535]], dtype=np.int32), [0, 1, 255]),
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0.0, 99.6, 300.0]], dtype=np.float32), [0, 100, 255]),
    ],
)
def test_deep_greys_are_scaled_and_not_cut_off(
    tmp_path: Path, array: np.ndarray[Any, Any], expected: list[int]
) -> None:
    image = load_image(saved(tmp_path / "a.tif", array), Preprocessing(1, 3, "L"))
    assert image[0, 0].tolist() == expected


@pytest.mark.parametrize(("fit", "corner"), [("stretch", True), ("crop", False), ("pad", False)])
def test_images_of_another_shape_are_made_to_fit(tmp_path: Path, fit: str, corner: bool) -> None:
    array = np.zeros((10, 40, 3), dtype=np.uint8)
    array[:, :10] = 255
    image = load_image(saved(tmp_path / "a.png", array), Preprocessing(20, 20, fit=fit, interpolation="nearest"))
    assert image.shape == (3, 20, 20)
    assert (image[0, 0, 0] == 255) == corner
    assert (image.max() == 255) == (fit != "crop")


def test_a_jpeg_is_read_at_reduced_scale_and_looks_the_same(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", gradient(512, 512), quality=95)
    image = load_image(path, Preprocessing(64, 64)).astype(int)
    np.testing.assert_allclose(image, gradient(64, 64).transpose(2, 0, 1), atol=8)


def test_a_jpeg_of_the_right_size_is_decoded_in_full(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", gradient(64, 64), quality=95)
    with Image.open(path) as opened:
        expected = np.asarray(opened)
    np.testing.assert_array_equal(load_image(path, Preprocessing(64, 64)), expected.transpose(2, 0, 1))


def test_a_strict_reader_refuses_another_size_and_names_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", gradient(6, 9))
    with pytest.raises(ValueError, match="6 x 9 pixels instead of 6 x 6"):
        load_image(path, Preprocessing(6, 6, strict=True))


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UNREADABLE):
        load_image(str(path), Preprocessing(6, 6))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_file_that_was_cut_off_is_unreadable(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    path = Path(saved(tmp_path / f"a.{suffix}", rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UNREADABLE):
        load_image(str(path), Preprocessing(64, 64))


def test_masks_keep_their_class_indices_when_resized(tmp_path: Path) -> None:
    mask = np.zeros((8, 8), dtype=np.uint8)
    mask[4:] = 7
    result = load_mask(saved(tmp_path / "m.png", mask), Preprocessing(4, 4))
    assert result.dtype == np.int64
    np.testing.assert_array_equal(result, [[0] * 4] * 2 + [[7] * 4] * 2)


def test_open_image_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match="gone.png in task 'a' can't be read: it does not exist"):
        open_image(str(tmp_path / "gone.png"), "a")


def test_what_is_told_of_an_unreadable_file_names_file_sample_task_and_fix() -> None:
    text = str(UnreadableFileError.of("/x/y.png", "mine", OSError("broken data stream"), "sample_7"))
    for part in (
        "/x/y.png",
        "sample_7",
        "mine",
        "broken data stream",
        "mode.overwrite=true",
        "mode.skip_unreadable=true",
    ):
        assert part in text


def test_an_error_without_a_text_is_named_by_its_kind() -> None:
    assert "EOFError" in str(UnreadableFileError.of("/x/y.png", "mine", EOFError()))


def test_an_error_from_a_worker_tells_the_same_as_one_from_here() -> None:
    error = UnreadableFileError.of("/x/y.png", "mine", OSError("broken"))
    try:
        raise error
    except UnreadableFileError:
        wrapper = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(UnreadableFileError) as caught:
        wrapper.reraise()
    assert str(caught.value) == str(error)
    assert isinstance(caught.value, TaskDataError)


def test_files_are_relative_to_the_task_or_absolute() -> None:
    assert file_path(Path("/data/tasks/a"), "images/1.png") == "/data/tasks/a/images/1.png"
    assert file_path(Path("/data/tasks/a"), "/photos/1.png") == "/photos/1.png"


def test_a_sample_without_a_file_is_named() -> None:
    with pytest.raises(TaskDataError, match="task 'a' has no image"):
        file_of({Modality.CLASS: 1}, Modality.IMAGE, "a")


def test_image_paths_go_through_train_test_and_unlabeled_samples(tmp_path: Path) -> None:
    names = [Path(path).name for path in image_paths(make_struct(tmp_path, "a", classes=1, per_class=2, unlabeled=1))]
    assert names == ["train_0000.png", "train_0001.png", "test_0000.png", "unlabeled_0000.png"]


def labels_of(struct: TaskStruct) -> Any:
    return encode_labels(list(struct.description.train_samples.values()), struct)


def test_classes_become_integers(tmp_path: Path) -> None:
    labels = labels_of(make_struct(tmp_path, "a", classes=3, per_class=2))
    assert (labels.dtype, labels.tolist()) == (np.int64, [0, 1, 2, 0, 1, 2])


def test_several_classes_become_ones_among_zeros(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "a", classes=3, per_class=1, task_type=TaskType.MULTILABEL_CLASSIFICATION)
    labels = labels_of(struct)
    assert (labels.dtype, labels.tolist()) == (np.float32, [[1, 0, 0], [1, 1, 0], [1, 0, 1]])


def test_values_become_floats(tmp_path: Path) -> None:
    labels = labels_of(make_struct(tmp_path, "a", classes=2, per_class=1, task_type=TaskType.REGRESSION))
    assert (labels.dtype, labels.tolist()) == (np.float32, [0, 0.5])


def test_masks_are_files_and_not_encoded(tmp_path: Path) -> None:
    assert labels_of(make_struct(tmp_path, "a", per_class=1, task_type=TaskType.SEMANTIC_SEGMENTATION)) is None


@pytest.mark.parametrize("label", [3, -1, "cat", [0], 1.0])
def test_a_label_that_is_no_class_is_named(tmp_path: Path, label: Any) -> None:
    struct = make_struct(tmp_path, "a", classes=3, per_class=1)
    with pytest.raises(TaskDataError, match="known are 0 to 2"):
        encode_labels([{Modality.CLASS: label}], struct)


def test_a_missing_label_is_named(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "a", per_class=1)
    with pytest.raises(TaskDataError, match="has no class"):
        encode_labels([{Modality.IMAGE: "a.png"}], struct)


@pytest.mark.parametrize("value", ["1.5", [1.5], True])
def test_a_label_that_is_no_number_is_refused(tmp_path: Path, value: Any) -> None:
    struct = make_struct(tmp_path, "a", classes=2, per_class=1, task_type=TaskType.REGRESSION)
    with pytest.raises(TaskDataError, match="Task 'a' has labels that are no numbers: "):
        encode_labels([{Modality.VALUE: 0.5}, {Modality.VALUE: value}], struct)


def test_a_picture_is_no_mask(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "picture.png")
    with pytest.raises(ValueError, match="one number per pixel, and this is an image of mode RGB"):
        load_mask(str(tmp_path / "picture.png"), Preprocessing(4, 4))
