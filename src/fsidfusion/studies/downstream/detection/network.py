"""The detector: a light residual network with one grid of cells, without anchors.

For every cell of four pixels it says how likely the centre of an object of each class lies there, and how far
the sides of the object are (Zhou et al., "Objects as points", 2019; Tian et al., "FCOS", 2019).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_unshuffle, relu

from fsidfusion.studies.downstream.detection.targets import decode

STRIDE = 4  # pixels of a cell's side
_RARE = 0.01  # likelihood of an object at any cell before training (focal loss)


class Residual(nn.Module):
    """Two convolutions around which their input is led."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = convolution(channels, channels), convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return x + self.second(relu(self.first(x)))


class Detector(nn.Module):
    """From frames to the likelihood and the sides of objects at every cell.

    Attributes:
        mean: (C,) of the training frames, 0..255.
        deviation: (C,) standard deviation of the training frames.
    """

    architecture = "detector"
    mean: Tensor
    deviation: Tensor

    def __init__(self, classes: int, channels: int = 3, width: int = 16) -> None:
        """Fresh weights from torch's random state.

        Args:
            classes: number of classes.
            channels: of the frames.
            width: channels of the first layer; 16 makes 0.8 million weights.
        """
        super().__init__()
        self.config = {"classes": classes, "channels": channels, "width": width}
        w = width
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.quarter = _stage(4 * channels, 2 * w, 1)
        self.eighth = _stage(2 * w, 4 * w, 1)
        self.sixteenth = _stage(4 * w, 8 * w, 2)
        self.sides = nn.ModuleList(convolution(n * w, 2 * w, size=1) for n in (2, 4, 8))
        self.merge = nn.ModuleList(convolution(2 * w, 2 * w) for _ in range(2))
        self.head = nn.Sequential(convolution(2 * w, 2 * w), nn.ReLU(inplace=True))
        self.heat = _output(2 * w, classes, math.log(_RARE / (1 - _RARE)))
        self.box = _output(2 * w, 4, 1.0)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Look at frames.

        Args:
            frames: (B, C, H, W) in 0..255; H and W multiples of 16.

        Returns:
            logits (B, classes, H/4, W/4) and corners (B, 4, H/4, W/4) in pixels, float32.
        """
        x = (frames - self.mean[:, None, None]) / self.deviation[:, None, None]
        quarter = self.quarter(pixel_unshuffle(x, 2))  # (B, 2w, H/4, W/4)
        eighth = self.eighth(quarter)  # (B, 4w, H/8, W/8)
        x = self.sides[2](self.sixteenth(eighth))  # (B, 2w, H/16, W/16)
        for finer, side, merge in ((eighth, self.sides[1], 1), (quarter, self.sides[0], 0)):
            x = interpolate(x, scale_factor=2.0, mode="nearest") + side(finer)
            x = relu(self.merge[merge](relu(x)))
        x = self.head(x)
        return self.heat(x).float(), decode(self.box(x).float(), STRIDE)


def convolution(given: int, made: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    """A convolution and its batch normalisation."""
    return nn.Sequential(nn.Conv2d(given, made, size, stride, size // 2, bias=False), nn.BatchNorm2d(made))


def _stage(given: int, made: int, blocks: int) -> nn.Sequential:
    """Half the resolution, then residual blocks."""
    return nn.Sequential(
        convolution(given, made, 2),
        nn.ReLU(inplace=True),
        *(Residual(made) for _ in range(blocks)),
        nn.ReLU(inplace=True),
    )


def _output(given: int, made: int, start: float) -> nn.Conv2d:
    """The last layer of a head; before training it says ``start`` on average."""
    layer = nn.Conv2d(given, made, 1)
    nn.init.constant_(layer.bias, start)  # type: ignore[arg-type]
    return layer
