"""TinyModel: a small convolutional network that learns small images well within minutes on a CPU."""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from mml.core.models.torch_base import BaseModel

# Up to this side in pixels -> stride of the first convolution, so that 4 to 32 pixels remain after it.
_STEM_STRIDES = ((16, 1), (64, 2), (160, 4))
_LARGEST_STRIDE = 8


class TinyModel(BaseModel):
    """Three stages of convolutions at growing width, two of them with a residual block (He et al. 2015).

    With a width of 32 it has 0.28 million parameters and, on 28 pixels, 3.2 million multiplications per image.

    Args:
        in_chans: channels of the images.
        image_size: height and width in pixels; the first convolution's stride follows the shorter one.
        width: channels of the first stage; the later ones have two and four times as many.
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
        stride = stem_stride(min(image_size))
        backbone = nn.Sequential(
            _conv(in_chans, width, kernel=max(3, 2 * stride - 1), stride=stride),
            _conv(width, 2 * width, stride=2),
            _Residual(2 * width),
            _conv(2 * width, 4 * width, stride=2),
            _Residual(4 * width),
            _GlobalMean(),
            nn.Dropout(drop_rate),
        )
        super().__init__(backbone, 4 * width, channels_last=channels_last)


def stem_stride(side: int) -> int:
    """Return the stride of the first convolution for images of `side` pixels."""
    return next((stride for limit, stride in _STEM_STRIDES if side <= limit), _LARGEST_STRIDE)


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
