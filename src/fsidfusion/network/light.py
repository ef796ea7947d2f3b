"""The light network: the published idea at a two-hundredth of its cost, for real time on a laptop.

Both modalities pass one shared stem at half resolution; their features are split into a shared and a specific
half; the shared halves interact through an affine coupling, as in the published network; a few residual
convolutions decode all of them to a change of the pixel-wise maximum. Convolutions only: no attention, no
statistics of the whole image, so that tiles are exact and every runtime is fast.

An overview at an eighth of the size sees regions: how far visible light is veiled, which is undone before the
fusion, and where infrared shows a target, which is set off from its surroundings after it.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsidfusion.network.blocks import full_precision, within

CELL = 8  # pixels along a side of what the overview sees as one
MOST_COVER = 0.8  # of what a veil may hide, 1 - t: the gain is at most 5
SLOPE = 0.1  # of the leaky rectifiers; with plain ones the change of the maximum tends to die at its start


class LightFusion(nn.Module):
    """Fuse infrared and visible images, (B, 1, H, W) each, 0..1, H and W multiples of ``size_multiple``.

    50 k parameters and 3.85 GMAC for a 480x640 pair without an overview, 89 k and 4.04 with 32 channels.
    """

    architecture = "fsidfusion-light"
    has_global_statistics = False

    def __init__(self, channels: int = 16, width: int = 32, blocks: int = 2, overview: int = 0) -> None:
        """``channels`` (even) of each modality; ``width`` and residual ``blocks`` of the decoder; channels of
        the ``overview``, 0: none."""
        super().__init__()
        self.config = {"channels": channels, "width": width, "blocks": blocks, "overview": overview}
        self.emphasis = 1.0  # of targets, 0..1; 0 leaves their levels to the fusion
        self.stem = nn.Conv2d(4, channels, 3, padding=1)
        self.interaction = Coupling(channels // 2)
        self.merge = nn.Conv2d(2 * channels, width, 3, padding=1)
        self.decoder = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.output = nn.Conv2d(width, 4, 3, padding=1)
        # each 3x3 convolution sees two pixels further: stem, coupling 2, merge, blocks, output
        self.tile_overlap = 2 * (1 + 2 + 1 + 2 * blocks + 1)
        self.size_multiple = self.minimum_size = 2  # pixel-unshuffle
        self.overview = Overview(overview) if overview else None
        if self.overview is not None:
            self.tile_overlap += self.overview.reach
            self.size_multiple = self.minimum_size = CELL
        nn.init.normal_(self.output.weight, std=0.01)  # start near the pixel-wise maximum

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """The fused image (B, 1, H, W), nominally 0..1: a change of the maximum may leave it a little."""
        with full_precision(infrared):  # rounding pixels to bfloat16 would alone cost up to 5 grey levels
            merged, pair, seen = self.merged(infrared, visible)
        change = self.decode(merged)
        with full_precision(infrared):
            return self.compose(change.to(infrared.dtype), pair, seen)

    def merged(
        self, infrared: Tensor, visible: Tensor
    ) -> "tuple[Tensor, tuple[Tensor, Tensor], Seen | None]":
        """What is decoded, (B, width, H/2, W/2); both images unshuffled, (B, 4, H/2, W/2), the visible one
        without its veil; and what the overview sees."""
        first, second = _unshuffled(infrared, visible)
        seen = None if self.overview is None else self.overview(first, second)
        if seen is not None:
            second = within((second - seen.veil) * seen.gain, 0, 1)
        return self.merge(self._interact(first, second)), (first, second), seen

    def compose(self, change: Tensor, pair: tuple[Tensor, Tensor], seen: "Seen | None") -> Tensor:
        """From the change of the maximum, (B, 4, H/2, W/2), to the fused image, (B, 1, H, W)."""
        infrared = pair[0]
        fused = torch.maximum(*pair) + change
        if seen is not None and self.emphasis:
            share = self.emphasis * within(infrared * seen.slope + seen.offset, 0, 1)
            fused = fused + share * (infrared * seen.texture + seen.level - fused)
        return F.pixel_shuffle(fused, 2)

    def features(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Shared and specific features of both images after their interaction, (B, 2C, H/2, W/2).

        Of the visible image as it is, veil and all.
        """
        return self._interact(*_unshuffled(infrared, visible))

    def _interact(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """``features`` of unshuffled images, (B, 4, H/2, W/2) each."""
        stem = F.leaky_relu(self.stem(torch.cat((infrared, visible))), SLOPE)
        infrared_features, visible_features = stem.chunk(2)
        infrared_shared, infrared_specific = infrared_features.chunk(2, 1)  # (B, C/2, H/2, W/2) each
        visible_shared, visible_specific = visible_features.chunk(2, 1)
        infrared_shared, visible_shared = self.interaction(infrared_shared, visible_shared)
        return torch.cat((infrared_shared, visible_shared, infrared_specific, visible_specific), 1)

    def decode(self, x: Tensor) -> Tensor:
        """From merged features (B, width, H/2, W/2) to the change of the maximum, (B, 4, H/2, W/2)."""
        x = self.decoder(F.leaky_relu(x, SLOPE))  # (B, width, H/2, W/2)
        return self.output(F.leaky_relu(x, SLOPE))


def _unshuffled(infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Both images, (B, 1, H, W) each, as (B, 4, H/2, W/2): four pixels in a column."""
    first, second = F.pixel_unshuffle(torch.cat((infrared, visible)), 2).chunk(2)
    return first, second


class Seen(NamedTuple):
    """What the overview sees, as local linear models at half the size, (B, 1, H/2, W/2) each."""

    veil: Tensor  # light that veils the visible image V; without it V is gain (V - veil)
    gain: Tensor  # 1 where it is clear
    slope: Tensor  # clip(slope I + offset) is 1 on targets of the infrared image I, 0 elsewhere
    offset: Tensor
    texture: Tensor  # targets are shown as texture I + level
    level: Tensor


class Overview(nn.Module):
    """A look at both images at an eighth of their size: mean, extremes and deviation of cells of 8x8 pixels.

    Its answers are local linear models, smooth between cells; applied to the full images they follow their
    edges (as in guided filtering: He et al., 2013). A veil is what haze does to light: V = J t + A (1 - t)
    (Koschmieder), so that J = gain (V - veil), with the gain 1 / t and the veil A (1 - t).
    """

    dilations = (1, 2, 4, 2)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(8, channels, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=d, dilation=d) for d in self.dilations
        )
        self.answer = nn.Conv2d(channels, 6, 1)
        nn.init.zeros_(self.answer.weight)  # start without veil and targets
        self.answer.bias = nn.Parameter(torch.tensor([0.0, 0.0, 0.0, -0.02, 0.0, 0.8]))
        # one cell for each step of a dilated convolution, one for what lies between cells, one for the own
        self.reach = CELL * (1 + sum(self.dilations) + 2)

    def forward(self, infrared: Tensor, visible: Tensor) -> Seen:
        """Of unshuffled images, (B, 4, H/2, W/2) each, H and W multiples of 8."""
        pair = torch.cat((infrared, visible))  # (2B, 4, H/2, W/2)
        mean = F.avg_pool2d(pair.mean(1, keepdim=True), CELL // 2)  # (2B, 1, H/8, W/8)
        square = F.avg_pool2d(pair.square().mean(1, keepdim=True), CELL // 2)
        highest = F.max_pool2d(pair.amax(1, keepdim=True), CELL // 2)
        lowest = -F.max_pool2d(-pair.amin(1, keepdim=True), CELL // 2)
        deviation = (square - mean * mean).clamp_min(1e-6).sqrt()
        x = torch.cat((mean, highest, lowest, 4 * deviation), 1) * 4 - 1  # (2B, 4, H/8, W/8)
        x = F.leaky_relu(self.look(torch.cat(x.chunk(2), 1)), SLOPE)
        for layer in self.layers:
            x = x + F.leaky_relu(layer(x), SLOPE)
        x = F.interpolate(self.answer(x), scale_factor=CELL // 2, mode="bilinear", align_corners=False)
        veil, cover, slope, offset, texture, level = x.chunk(6, 1)  # (B, 1, H/2, W/2) each
        gain = 1 / (1 - within(cover, 0, MOST_COVER))
        return Seen(within(veil, 0, 1), gain, 10 * slope, 10 * offset, texture, level)


class Coupling(nn.Module):
    """Affine coupling of two feature maps: b += phi(a); a = a * exp(tanh(rho(b))) + eta(b). Invertible."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.phi, self.rho, self.eta = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) each, in and out."""
        b = b + self.phi(a)
        a = a * torch.exp(torch.tanh(self.rho(b))) + self.eta(b)
        return a, b

    def inverse(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """What went into ``forward``."""
        a = (a - self.eta(b)) * torch.exp(-torch.tanh(self.rho(b)))
        return a, b - self.phi(a)


class Residual(nn.Module):
    """x + conv(act(conv(x))), both 3x3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x + self.second(F.leaky_relu(self.first(x), SLOPE))
