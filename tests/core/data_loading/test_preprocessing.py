import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig
from PIL import Image

from mml.core.data_loading.preprocessing import image_shape, resolve_preprocessing
from mml.core.data_loading.task_attributes import RGBInfo, Sizes, TaskType
from mml.core.data_loading.task_description import DESCRIPTION_FILE, TaskDescription, store_description
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.exceptions import MMLMisconfigurationException, TaskDataError, UnknownNameError
from tests.support.tasks import data_config, make_struct


def config(**keys: Any) -> DictConfig:
    cfg = data_config()
    cfg.preprocessing.update(keys)
    return cfg


@pytest.fixture
def struct(tmp_path: Path) -> TaskStruct:
    return make_struct(tmp_path, "shapes", size=(20, 30), per_class=2)


def test_images_of_one_size_keep_it(struct: TaskStruct) -> None:
    assert image_shape(struct, config()) == (3, 20, 30)


def test_images_of_several_sizes_become_224(struct: TaskStruct) -> None:
    struct.header.sizes = Sizes(20, 21, 30, 30)
    assert image_shape(struct, config()) == (3, 224, 224)


def test_images_of_one_large_size_become_224(struct: TaskStruct) -> None:
    struct.header.sizes = Sizes(3000, 3000, 4000, 4000)
    assert image_shape(struct, config()) == (3, 224, 224)


def test_without_a_known_size_the_first_image_tells(struct: TaskStruct) -> None:
    struct.header.sizes = None
    assert image_shape(struct, config()) == (3, 20, 30)


@pytest.mark.parametrize(("size", "shape"), [(64, (3, 64, 64)), ([32, 48], (3, 32, 48)), ([16], (3, 16, 16))])
def test_a_size_can_be_asked_for(struct: TaskStruct, size: Any, shape: tuple[int, int, int]) -> None:
    assert image_shape(struct, config(size=size)) == shape


@pytest.mark.parametrize("size", [0, -3, [1, 2, 3], "big", 2.5, [10, 0], True])
def test_a_size_that_can_not_be_used_is_refused_with_the_choices(struct: TaskStruct, size: Any) -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"null, keep, a number of pixels, or \[height, width\]"):
        image_shape(struct, config(size=size))


def test_keep_takes_images_of_one_size_however_large(struct: TaskStruct) -> None:
    struct.header.sizes = Sizes(3000, 3000, 4000, 4000)
    preprocessing = resolve_preprocessing(struct, data_config(preprocessing="none"))
    assert (preprocessing.height, preprocessing.width, preprocessing.strict) == (3000, 4000, True)


def test_keep_refuses_images_of_several_sizes_and_names_them(struct: TaskStruct) -> None:
    struct.header.sizes = Sizes(20, 40, 30, 30)
    with pytest.raises(MMLMisconfigurationException, match="shapes has 20 x 30 to 40 x 30 pixels"):
        image_shape(struct, config(size="keep"))


def test_grey_images_need_one_channel(tmp_path: Path) -> None:
    assert image_shape(make_struct(tmp_path, "grey", mode="L"), config()) == (1, 16, 16)


def test_grey_images_stored_as_colours_need_one_channel(struct: TaskStruct) -> None:
    struct.header.means, struct.header.stds = RGBInfo(0.5, 0.5, 0.5), RGBInfo(0.1, 0.1, 0.1)
    assert image_shape(struct, config())[0] == 1


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_without_statistics_the_files_tell_the_channels(tmp_path: Path, mode: str, channels: int) -> None:
    struct = make_struct(tmp_path, "plain", mode=mode, per_class=20)
    struct.header.means = None
    assert image_shape(struct, config())[0] == channels


def test_one_coloured_file_among_those_looked_at_needs_three_channels(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "mixed", mode="L", per_class=4)
    struct.header.stds = None
    Image.new("RGB", (16, 16)).save(struct.folder / "images" / "train_0003.png")
    assert image_shape(struct, config())[0] == 3


@pytest.mark.parametrize(("mode", "channels"), [("rgb", 3), ("grayscale", 1)])
def test_the_number_of_channels_can_be_asked_for(struct: TaskStruct, mode: str, channels: int) -> None:
    assert image_shape(struct, config(mode=mode))[0] == channels


@pytest.mark.parametrize(
    ("key", "value", "near"),
    [("mode", "greyscale", "grayscale"), ("fit", "padd", "pad"), ("interpolation", "linear", "bilinear")],
)
def test_an_unknown_value_is_refused_with_the_nearest(struct: TaskStruct, key: str, value: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=f"preprocessing.{key} '{value}'.*'{near}'"):
        resolve_preprocessing(struct, config(**{key: value}))


def test_tasks_that_are_loaded_together_share_one_shape(tmp_path: Path, struct: TaskStruct) -> None:
    grey = make_struct(tmp_path, "grey", mode="L", size=(20, 30))
    small = make_struct(tmp_path, "small", mode="L", size=(8, 8))
    assert image_shape([grey, struct], config()) == (3, 20, 30)
    assert image_shape([grey, small], config()) == (1, 224, 224)


def test_the_shipped_option_for_pretrained_networks_gives_224_in_colour(tmp_path: Path) -> None:
    grey = make_struct(tmp_path, "grey", mode="L")
    assert image_shape(grey, data_config(preprocessing="resize_224")) == (3, 224, 224)


def test_without_a_configuration_the_defaults_hold(struct: TaskStruct) -> None:
    assert resolve_preprocessing(struct) == resolve_preprocessing(struct, config())


def test_a_missing_first_image_is_named(struct: TaskStruct) -> None:
    struct.header.sizes = None
    (struct.folder / "images" / "train_0000.png").unlink()
    with pytest.raises(TaskDataError, match="train_0000.png.*does not exist"):
        image_shape(struct, config())


def test_importing_the_module_imports_no_torch() -> None:
    code = "import sys, mml.core.data_loading.preprocessing as p; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_task_without_samples_is_refused(tmp_path: Path) -> None:
    description = TaskDescription(name="empty", task_type=TaskType.CLASSIFICATION)
    store_description(description, tmp_path / "empty" / DESCRIPTION_FILE)
    empty = TaskStruct(description.header(), tmp_path / "empty")
    with pytest.raises(TaskDataError, match="Task 'empty' has no samples"):
        resolve_preprocessing(empty, config())
