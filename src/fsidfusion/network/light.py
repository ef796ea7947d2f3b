"""The light network: the published idea at a two-hundredth of its cost, for real time on a laptop.

Both modalities pass one shared stem at half resolution; their features are split into a shared and a specific
half; the shared halves interact through an affine coupling, as in the published network; a few residual
convolutions decode all of them to a change of the pixel-wise maximum. Convolutions only: no attention, no
statistics of the whole image, so that tiles are exact and every runtime is fast.

An overview at an eighth of the size sees regions: how far visible light is veiled, which is undone before the
fusion but for the sky, and where infrared shows a target, which is set off from its surroundings after it.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsidfusion.network.blocks import full_precision, within

CELL = 8  # pixels along a side of what the overview sees as one
MOST_COVER = 0.8  # of what a veil may hide, 1 - t: the gain is at most 5
AGREED = 17  # cells along a side over which veil and cover are averaged in use, not in training
VEIL_MARGIN, COVER_MARGIN = 0.06, 0.35
LEAST_GROUND = 0.1  # share of cells around, other than the sky, that can agree by themselves
STEEP = 10  # of the answers that tell sky and targets, so that their weights are like the others
SLOPE = 0.1  # of the leaky rectifiers; with plain ones the change of the maximum tends to die at its start


class LightFusion(nn.Module):
    """Fuse infrared and visible images, (B, 1, H, W) each, 0..1, H and W multiples of ``size_multiple``.

    50 k parameters and 3.85 GMAC for a 480x640 pair by default; as shipped for infrared, with an overview of
    32 channels and a merge of 1x1, 78 k and 3.28.
    """

    architecture = "fsidfusion-light"
    has_global_statistics = False

    def __init__(
        self, channels: int = 16, width: int = 32, blocks: int = 2, overview: int = 0, merge: int = 3
    ) -> None:
        """``channels`` (even) of each modality; ``width`` and residual ``blocks`` of the decoder; channels of
        the ``overview``, 0: none; side of the ``merge`` convolution, 1 or 3."""
        super().__init__()
        self.config = {
            "channels": channels,
            "width": width,
            "blocks": blocks,
            "overview": overview,
            "merge": merge,
        }
        self.emphasis = 1.0  # of targets, 0..1; 0 leaves their levels to the fusion
        self.stem = nn.Conv2d(4, channels, 3, padding=1)
        self.interaction = Coupling(channels // 2)
        self.merge = nn.Conv2d(2 * channels, width, merge, padding=merge // 2)
        self.decoder = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.output = nn.Conv2d(width, 4, 3, padding=1)
        # each 3x3 convolution sees two pixels further: stem, coupling 2, merge, blocks, output
        self.tile_overlap = 2 * (1 + 2 + merge // 2 + 2 * blocks + 1)
        self.size_multiple = self.minimum_size = 2  # pixel-unshuffle
        self.overview = Overview(overview) if overview else None
        if self.overview is not None:
            self.tile_overlap += self.overview.reach
            self.size_multiple = self.minimum_size = 2 * CELL
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
        first, second = (F.pixel_unshuffle(image, 2) for image in (infrared, visible))
        seen = None if self.overview is None else self.overview(first, second)
        if seen is not None:
            second = seen.clear(first, second)
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
        return self._interact(*(F.pixel_unshuffle(image, 2) for image in (infrared, visible)))

    def _interact(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """``features`` of unshuffled images, (B, 4, H/2, W/2) each."""
        infrared_shared, infrared_specific = self.apart(infrared)
        visible_shared, visible_specific = self.apart(visible)
        infrared_shared, visible_shared = self.interaction(infrared_shared, visible_shared)
        return torch.cat((infrared_shared, visible_shared, infrared_specific, visible_specific), 1)

    def apart(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The shared and the specific features of one unshuffled image, (B, C/2, H/2, W/2) each."""
        shared, specific = F.leaky_relu(self.stem(image), SLOPE).chunk(2, 1)
        return shared, specific

    def decode(self, x: Tensor) -> Tensor:
        """From merged features (B, width, H/2, W/2) to the change of the maximum, (B, 4, H/2, W/2)."""
        x = self.decoder(F.leaky_relu(x, SLOPE))  # (B, width, H/2, W/2)
        return self.output(F.leaky_relu(x, SLOPE))


class Seen(NamedTuple):
    """What the overview sees, as local linear models at half the size, (B, 1, H/2, W/2) each."""

    veil: Tensor  # light that veils the visible image V; without it V is gain (V - veil)
    gain: Tensor  # 1 where it is clear
    cold: Tensor  # clip(cold I + sky) is 1 where infrared I shows the sky, which stays as it is, 0 elsewhere
    sky: Tensor
    slope: Tensor  # clip(slope I + offset) is 1 on targets of the infrared image I, 0 elsewhere
    offset: Tensor
    texture: Tensor  # targets are shown as texture I + level
    level: Tensor

    def clear(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """The visible image without its veil but for the sky; unshuffled images, (B, 4, H/2, W/2) each."""
        change = within((visible - self.veil) * self.gain, 0, 1) - visible
        return visible + (1 - within(infrared * self.cold + self.sky, 0, 1)) * change


class Overview(nn.Module):
    """A look at both images at an eighth and a sixteenth of their size: mean, extremes, deviation of cells.

    Its answers are local linear models, smooth between cells; applied to the full images they follow their
    edges (as in guided filtering: He et al., 2013). A veil is what haze does to light: V = J t + A (1 - t)
    (Koschmieder), so that J = gain (V - veil), with the gain 1 / t and the veil A (1 - t).
    """

    dilations = (1, 2, 2)

    def __init__(self, channels: int) -> None:
        """``channels`` (even) at a sixteenth of the size, half as many at an eighth."""
        super().__init__()
        near = channels // 2
        self.look = _replicating(8, near)
        self.wide = _replicating(near, channels, stride=2)
        self.around = nn.ModuleList(_replicating(channels, channels, d) for d in self.dilations)
        self.narrow = nn.Conv2d(channels, near, 1)
        self.settle = _replicating(near, near)
        self.answer = nn.Conv2d(near, 8, 1)
        nn.init.zeros_(self.answer.weight)  # start without veil, sky and targets
        self.answer.bias = nn.Parameter(torch.tensor([0.0, 0.0, 0.0, -0.02, 0.0, -0.02, 0.0, 0.8]))
        # pixels seen: own cell and next, 3x3 twice; next wide cell, strided and dilated 3x3
        self.reach = CELL * (4 + AGREED // 2) + 2 * CELL * (1 + sum(self.dilations))

    def forward(self, infrared: Tensor, visible: Tensor) -> Seen:
        """Of unshuffled images, (B, 4, H/2, W/2) each, H and W multiples of 16."""
        cells, level = self.cells(infrared, visible)
        return self.spread(cells if self.training else self.agreed(cells, level))

    def cells(self, infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """What each cell answers for itself, (B, 8, H/8, W/8), and its infrared level, (B, 1, H/8, W/8)."""
        half = (image.mean(1, keepdim=True) for image in (infrared, visible))
        pair = torch.cat(tuple(half), 1)  # (B, 2, H/2, W/2)
        side = CELL // 2
        mean, square = F.avg_pool2d(pair, side), F.avg_pool2d(pair * pair, side)  # (B, 2, H/8, W/8)
        highest, lowest = F.max_pool2d(pair, side), -F.max_pool2d(-pair, side)
        deviation = (square - mean * mean).clamp_min(1e-6).sqrt()
        x = torch.cat((mean, highest, lowest, 4 * deviation), 1) * 4 - 1
        x = F.leaky_relu(self.look(x), SLOPE)  # (B, C/2, H/8, W/8)
        y = F.leaky_relu(self.wide(x), SLOPE)  # (B, C, H/16, W/16)
        for layer in self.around:
            y = y + F.leaky_relu(layer(y), SLOPE)
        x = x + F.interpolate(self.narrow(y), scale_factor=2, mode="bilinear", align_corners=False)
        return self.answer(x + F.leaky_relu(self.settle(x), SLOPE)), mean[:, :1]

    def agreed(self, cells: Tensor, level: Tensor) -> Tensor:
        """``cells`` with what those around agree on for veil and cover, less a margin; the sky has no say.

        A flat gray road looks like fog for itself; a mean that is wider than such doubts, and the margin, let
        clear scenes be. The margin of the cover also keeps the gain low where little is seen: what is left
        there is darker than the scene and calm, not its amplified noise.
        """
        haze, cold, sky = cells[:, :2], cells[:, 2:3], cells[:, 3:4]
        ground = 1 - within(STEEP * (level * cold + sky), 0, 1)
        wide = torch.cat((haze.clamp_min(0) * ground, ground), 1)
        wide = F.avg_pool2d(F.pad(wide, (AGREED // 2,) * 4, mode="replicate"), AGREED, 1)
        mean = wide[:, :2] / wide[:, 2:].clamp_min(LEAST_GROUND)
        return torch.cat((mean[:, :1] - VEIL_MARGIN, mean[:, 1:] - COVER_MARGIN, cells[:, 2:]), 1)

    def spread(self, cells: Tensor) -> Seen:
        """From answers of cells, (B, 8, H/8, W/8), to local linear models, smooth between the cells."""
        veil, cover, models, shown = cells.split((1, 1, 4, 2), 1)
        gain = 1 / (1 - within(cover, 0, MOST_COVER))
        answers = torch.cat((within(veil, 0, 1), gain, STEEP * models, shown), 1)
        return Seen(*F.interpolate(answers, scale_factor=CELL // 2, mode="bilinear").chunk(8, 1))


def _replicating(inputs: int, outputs: int, dilation: int = 1, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that repeats the edge instead of seeing darkness beyond it."""
    return nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, padding_mode="replicate")


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
