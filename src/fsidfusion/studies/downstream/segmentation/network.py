"""The segmenter: a small U-Net with residual blocks, 1 M parameters, the same for every input."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from fsidfusion.errors import InputError, ModelError
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.text import reason
from fsidfusion.network.checkpoint import to_bytes
from fsidfusion.studies.downstream.segmentation.classes import Classes, parse_classes

WIDTHS = (24, 48, 96, 128)  # channels at 1/2, 1/4, 1/8 and 1/16 of the resolution


def _conv(inside: int, outside: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU; (B, inside, H, W) -> (B, outside, H / stride, W / stride)."""
    convolution = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """x + two convolutions of x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same."""
        return F.relu(x + self.second(self.first(x)))


class Segmenter(nn.Module):
    """Encoder to 1/16 with the mean of the whole frame added there, decoder to 1/2, logits at full size."""

    def __init__(self, channels: int, classes: int) -> None:
        """For frames of ``channels`` and so many ``classes``."""
        super().__init__()
        self.channels, self.classes = channels, classes
        w1, w2, w3, w4 = WIDTHS
        self.down2 = nn.Sequential(_conv(w1, w2, stride=2), Residual(w2))
        self.down3 = nn.Sequential(_conv(w2, w3, stride=2), Residual(w3))
        self.down4 = nn.Sequential(_conv(w3, w4, stride=2), Residual(w4))
        self.frame = nn.Linear(w4, w4)
        self.up3, self.up2, self.up1 = _conv(w4 + w3, w3), _conv(w3 + w2, w2), _conv(w2 + w1, 2 * w1)
        self.head = nn.Conv2d(2 * w1, classes, 1)
        self.stem = _conv(channels, w1, stride=2)  # last: a seed draws the same for the rest at any channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) in 0..1, sides multiples of 16, to logits (B, classes, H, W) float32."""
        x1 = self.stem(x - 0.4)  # (B, 24, H/2, W/2); the mean level of pictures is near 0.4
        x2 = self.down2(x1)  # (B, 48, H/4, W/4)
        x3 = self.down3(x2)  # (B, 96, H/8, W/8)
        x4 = self.down4(x3)  # (B, 128, H/16, W/16)
        x4 = x4 + self.frame(x4.mean((2, 3)))[..., None, None]
        y = self.up3(torch.cat((_double(x4), x3), 1))
        y = self.up2(torch.cat((_double(y), x2), 1))
        y = self.head(self.up1(torch.cat((_double(y), x1), 1)))  # (B, classes, H/2, W/2)
        return F.interpolate(y.float(), scale_factor=2.0, mode="bilinear")


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def save_segmenter(path: Path, network: Segmenter, classes: Classes, trained_on: str) -> None:
    """Write a network, its classes and its input's name as one safetensors file, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    metadata = {"kind": "segmenter", "classes": json.dumps(classes.record()), "input": trained_on}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as stream:
            stream.write(to_bytes(network.state_dict(), metadata))
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}); choose another place") from error


def load_segmenter(path: Path, device: torch.device) -> tuple[Segmenter, Classes, str]:
    """Read what :func:`save_segmenter` wrote: the network in evaluation mode, its classes, its input's name.

    Raises:
        InputError: the file is missing, damaged or holds something else.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        if metadata.get("kind") != "segmenter":
            raise KeyError("another kind of weights")
        classes = parse_classes(json.loads(metadata["classes"]), str(path))
        network = Segmenter(tensors["stem.0.weight"].shape[1], len(classes))
        network.load_state_dict(tensors)
        source = metadata["input"]
    except Exception as error:  # an untrusted file: whatever its loader raises, the file is what is wrong
        raise ModelError(
            f"{path} is no segmenter ({reason(error)}); give weights that 'fsidfusion segment train' wrote"
        ) from error
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval(), classes, source
