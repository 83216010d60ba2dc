"""TinyModel: a small convolutional network that learns small images well within minutes on a CPU."""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from mml.core.models.torch_base import BaseModel

# Up to this side in pixels -> how many times smaller the stem makes it.
_REDUCTIONS = ((16, 1), (64, 2), (160, 4))
_LARGEST_REDUCTION = 8


class TinyModel(BaseModel):
    """A stem and two stages of convolutions at growing width, each with a residual block (He et al. 2015).

    With a width of 32 it has 0.27 million parameters and, on grey images of 28 pixels, 5.9 million multiplications.

    Args:
        in_chans: channels of the images.
        image_size: height and width in pixels; the shorter one decides how much the stem reduces them.
        width: W; the stem has W/2 channels, the stages have 2 W and 4 W.
        drop_rate: share of features dropped before the heads, 0 to 1.
        channels_last: see `BaseModel`.
    """

    def __init__(
        self,
        *,
        in_chans: int,
        image_size: tuple[int, int],
        width: int = 32,
        drop_rate: float = 0.0,
        channels_last: bool = True,
    ) -> None:
        narrow = max(1, width // 2)
        backbone = nn.Sequential(
            *_stem(in_chans, narrow, reduction(min(image_size))),
            _conv(narrow, 2 * width, stride=2),
            _Residual(2 * width),
            _conv(2 * width, 4 * width, stride=2),
            _Residual(4 * width),
            _GlobalMean(),
            nn.Dropout(drop_rate),
        )
        super().__init__(backbone, 4 * width, channels_last=channels_last)


def reduction(side: int) -> int:
    """Return how many times smaller the stem makes images of `side` pixels."""
    return next((factor for limit, factor in _REDUCTIONS if side <= limit), _LARGEST_REDUCTION)


def _stem(inputs: int, outputs: int, factor: int) -> list[nn.Module]:
    """Return a convolution at full detail and a maximum of its neighbours, which beats a strided convolution."""
    if factor == 1:
        return [_conv(inputs, outputs)]
    stride = factor // 2
    return [_conv(inputs, outputs, kernel=max(3, 2 * stride - 1), stride=stride), nn.MaxPool2d(2, ceil_mode=True)]


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """Adds what one convolution makes of the features to the features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        return features + functional.relu(self.norm(self.conv(features)), inplace=True)


class _GlobalMean(nn.Module):
    """Averages over all positions; unlike adaptive pooling its gradient is deterministic on a GPU."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.mean(features, dim=(2, 3))
