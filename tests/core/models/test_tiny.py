import pytest
import torch

from mml.core.models.tiny import TinyModel, reduction


@pytest.mark.parametrize(("side", "factor"), [(4, 1), (8, 1), (16, 1), (17, 2), (28, 2), (64, 2), (65, 4), (224, 8)])
def test_the_stem_leaves_few_positions(side: int, factor: int) -> None:
    assert reduction(side) == factor
    model = TinyModel(in_chans=1, image_size=(side, side), width=2).eval()
    images = torch.rand(1, 1, side, side)
    # Up to the first of the two stages: a convolution, and a maximum where there is something to reduce.
    stem = model.backbone[: 1 if factor == 1 else 2]
    assert stem(images).shape[-1] == -(-side // factor)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (28, 28), (33, 20), (64, 64), (100, 100), (224, 224)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_any_size_become_one_vector(size: tuple[int, int], channels: int) -> None:
    model = TinyModel(in_chans=channels, image_size=size, width=2).eval()
    assert model.forward_features(torch.rand(2, channels, *size)).shape == (2, model.num_features)


def test_it_is_small() -> None:
    assert 100_000 < TinyModel(in_chans=1, image_size=(28, 28)).count_parameters() < 300_000


def test_width_sets_the_features() -> None:
    assert TinyModel(in_chans=1, image_size=(28, 28), width=8).num_features == 32


def test_features_are_dropped_only_while_training() -> None:
    model = TinyModel(in_chans=1, image_size=(8, 8), width=4, drop_rate=0.9)
    images = torch.rand(4, 1, 8, 8)
    assert (model.train().forward_features(images) == 0).float().mean() > 0.5
    first, second = model.eval().forward_features(images), model.forward_features(images)
    assert torch.equal(first, second)


def test_it_learns_to_tell_stripes_apart() -> None:
    torch.manual_seed(0)
    stripes = torch.zeros(32, 1, 16, 16)
    stripes[:16, :, ::2] = 1
    stripes[16:, :, :, ::2] = 1
    target = torch.arange(32) // 16
    model = TinyModel(in_chans=1, image_size=(16, 16), width=4)
    head = torch.nn.Linear(model.num_features, 2)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=0.01)
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(head(model.forward_features(stripes)), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
