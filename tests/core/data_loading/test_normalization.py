from pathlib import Path

import pytest
import torch

from mml.core.data_loading.normalization import IMAGENET_MEANS, IMAGENET_STDS, Normalizer, create_normalizer
from mml.core.data_loading.task_attributes import RGBInfo
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from tests.support.tasks import data_config, make_struct


def pixels(channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (4, channels, 5, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_bytes_become_normalised_floats() -> None:
    images = pixels()
    means, stds = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.6, 0.7])
    expected = (images / 255 - means.reshape(3, 1, 1)) / stds.reshape(3, 1, 1)
    result = Normalizer((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))(images)
    assert result.dtype is torch.float32
    torch.testing.assert_close(result, expected)


def test_floats_are_taken_as_values_from_0_to_1_and_left_alone() -> None:
    images = pixels() / 255
    before = images.clone()
    torch.testing.assert_close(Normalizer((0.5,) * 3, (0.25,) * 3)(images), (before - 0.5) / 0.25)
    assert torch.equal(images, before)


def test_images_that_are_all_alike_stay_finite() -> None:
    assert Normalizer((0.5,), (0.0,))(pixels(1)).isfinite().all()


def test_a_task_is_normalised_by_its_own_statistics(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "a")
    assert struct.means is not None
    mean_pixel = (torch.tensor(struct.means.get_rgb()) * 255).round().to(torch.uint8).reshape(1, 3, 1, 1)
    assert create_normalizer(data_config(), struct, 3)(mean_pixel).abs().max() < 0.05


@pytest.mark.parametrize(
    ("kind", "means", "stds"), [("none", (0,) * 3, (1,) * 3), ("imagenet", IMAGENET_MEANS, IMAGENET_STDS)]
)
def test_other_statistics_can_be_chosen(
    tmp_path: Path, kind: str, means: tuple[float, ...], stds: tuple[float, ...]
) -> None:
    cfg = data_config()
    cfg.augmentations.normalization = kind
    images = pixels()
    torch.testing.assert_close(
        create_normalizer(cfg, make_struct(tmp_path, "a"), 3)(images), Normalizer(means, stds)(images)
    )


def test_one_channel_is_normalised_by_the_grey_of_three(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "a")
    struct.header.means, struct.header.stds = RGBInfo(1.0, 0.0, 0.0), RGBInfo(0.5, 0.5, 0.5)
    result = create_normalizer(data_config(), struct, 1)(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
    torch.testing.assert_close(result, torch.full((1, 1, 2, 2), -0.299 / 0.5))


def test_an_unknown_normalisation_is_refused_with_the_choices(tmp_path: Path) -> None:
    cfg = data_config()
    cfg.augmentations.normalization = "imagnet"
    with pytest.raises(UnknownNameError, match="Did you mean 'imagenet'"):
        create_normalizer(cfg, make_struct(tmp_path, "a"), 3)


def test_a_task_without_statistics_is_refused_with_the_fix(tmp_path: Path) -> None:
    struct = make_struct(tmp_path, "a")
    struct.header.means = None
    with pytest.raises(MMLMisconfigurationException, match="augmentations.normalization=imagenet"):
        create_normalizer(data_config(), struct, 3)
