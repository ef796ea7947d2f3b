"""The published network, FSIDFusion (Wan, Cheng, Wang and Gao), read from top to bottom.

It takes a pair apart into what both images share (structure) and what is specific to each (detail), fuses
shared and specific features each in its own way, and decodes them. Nothing is down-sampled: features are
(B, 64, H, W). In medical pairs MRI takes the visible place, and CT, PET or SPECT the infrared one.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsidfusion.network.blocks import (
    Bottleneck,
    CouplingNode,
    Gate,
    TransformerBlock,
    full_precision,
    in_bands,
)
from fsidfusion.network.statistics import Statistics


class Features(NamedTuple):
    """What the encoder finds in a pair; each (B, C, H, W)."""

    shared: Tensor  # what both images show, after their interaction
    infrared_specific: Tensor
    visible_specific: Tensor


class FSIDFusion(nn.Module):
    """Fuse infrared and visible images, all (B, 1, H, W) in 0..1, H and W at least 2.

    Its three parts are those that the published training optimises apart. For speed, put it into
    ``torch.channels_last`` memory and run it under ``torch.autocast`` in bfloat16 where the device computes
    in it.
    """

    architecture = "fsidfusion"
    size_multiple = 1
    minimum_size = 2  # the reflection padding of the couplings needs two pixels
    has_global_statistics = True

    def __init__(self, channels: int = 64, blocks: int = 4) -> None:
        """``channels`` of all features, a multiple of 16; ``blocks`` of Restormer in encoder and decoder."""
        super().__init__()
        if channels < 16 or channels % 16 or blocks < 1:
            raise ValueError(
                f"channels {channels} should be a multiple of 16, and blocks {blocks} at least 1"
            )
        self.config = {"channels": channels, "blocks": blocks}
        self.encoder = Encoder(channels, blocks)
        self.specific_fusion = nn.Sequential(*(CouplingNode(channels) for _ in range(4)))
        self.decoder = Decoder(channels, blocks)
        # how far an output pixel sees, attention matrices and the gate's average aside; 33 as published:
        # embedding 1, Restormer block 2, specific branch and its fusion 7 nodes of 2, output 2
        self.tile_overlap = 1 + 2 * blocks + 14 + 2 * blocks + 2

    def forward(self, infrared: Tensor, visible: Tensor, statistics: Statistics | None = None) -> Tensor:
        """The fused image (B, 1, H, W), 0..1 (before any mapping to the output range).

        ``statistics`` records what is taken from the whole image, or replays it for a tile.
        """
        features = self.features(infrared, visible, statistics)
        return self.decoder(features.shared, self.fuse_specific(features), visible, statistics)

    def reconstruct(self, infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Both images decoded again, each from the shared features and its own specific ones."""
        shared, infrared_specific, visible_specific = self.features(infrared, visible)
        specific = torch.cat((infrared_specific, visible_specific))  # (2B, C, H, W)
        images = self.decoder(torch.cat((shared, shared)), specific, torch.cat((infrared, visible)))
        infrared_hat, visible_hat = images.chunk(2)
        return infrared_hat, visible_hat

    def fuse_and_reconstruct(self, infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The fused image and both reconstructions, decoded as one batch."""
        features = self.features(infrared, visible)
        specific = torch.cat(
            (self.fuse_specific(features), features.infrared_specific, features.visible_specific)
        )
        shared, skip = features.shared.repeat(3, 1, 1, 1), torch.cat((visible, infrared, visible))
        fused, infrared_hat, visible_hat = self.decoder(shared, specific, skip).chunk(3)
        return fused, infrared_hat, visible_hat

    def features(self, infrared: Tensor, visible: Tensor, statistics: Statistics | None = None) -> Features:
        """Take a pair apart; each of the features is (B, C, H, W)."""
        return self.encoder(infrared, visible, statistics)

    def fuse_specific(self, features: Features) -> Tensor:
        """The specific features of the fused image, (B, C, H, W)."""
        return self.specific_fusion(features.visible_specific + features.infrared_specific)


class Encoder(nn.Module):
    """One encoder for both modalities, then for each a shared (structure) and a specific (detail) branch."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(TransformerBlock(channels, heads=8) for _ in range(blocks))
        self.infrared_shared = TransformerBlock(channels, heads=8, dense=True)
        self.visible_shared = TransformerBlock(channels, heads=8, dense=True)
        self.infrared_specific = nn.Sequential(*(CouplingNode(channels) for _ in range(3)))
        self.visible_specific = nn.Sequential(*(CouplingNode(channels) for _ in range(3)))
        self.interaction = Interaction(channels)

    def forward(self, infrared: Tensor, visible: Tensor, statistics: Statistics | None = None) -> Features:
        """Take a pair of images (B, 1, H, W) apart."""
        x = torch.cat((infrared, visible))  # (2B, 1, H, W): both modalities as one batch
        with full_precision(x):
            x = self.embedding(x.to(self.embedding.weight.dtype))  # (2B, C, H, W)
        for block in self.blocks:
            x = block(x, statistics and statistics.of_modalities(2))
        infrared, visible = x.chunk(2)  # (B, C, H, W) each
        shared = self.interaction(
            self.infrared_shared(infrared, statistics), self.visible_shared(visible, statistics), statistics
        )
        return Features(shared, self.infrared_specific(infrared), self.visible_specific(visible))


class Interaction(nn.Module):
    """Cross-modality feature interaction: the shared features are coupled, then joined by a gate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.infrared_in, self.visible_in, self.infrared_out, self.visible_out = (
            TransformerBlock(channels, heads=2, dense=True) for _ in range(4)
        )
        self.phi, self.rho, self.eta = (Bottleneck(channels) for _ in range(3))
        self.gate = Gate(channels)
        # published checkpoints hold this layer though nothing passes it: kept so that they can be written
        # again
        self.unused_mix = nn.Conv2d(2 * channels, 2 * channels, 1).requires_grad_(False)

    def forward(self, infrared: Tensor, visible: Tensor, statistics: Statistics | None = None) -> Tensor:
        """The shared features of both modalities, (B, C, H, W) each, as one (B, C, H, W)."""
        a = self.infrared_in(infrared, statistics)
        b = self.visible_in(visible, statistics)
        b = in_bands(self._couple_visible, 1, (a, b))
        a = in_bands(self._couple_infrared, 1, (a, b))
        return self.gate(self.infrared_out(a, statistics), self.visible_out(b, statistics), statistics)

    def _couple_visible(self, a: Tensor, b: Tensor) -> Tensor:
        return b + self.phi(a)

    def _couple_infrared(self, a: Tensor, b: Tensor) -> Tensor:
        return a * self.rho(b).exp() + self.eta(b)


class Decoder(nn.Module):
    """Restormer blocks and two convolutions from features back to an image, as a change to a skip image."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.merge = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.blocks = nn.ModuleList(TransformerBlock(channels, heads=8) for _ in range(blocks))
        self.reduce = nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False)
        self.output = nn.Conv2d(channels // 2, 1, 3, padding=1, bias=False)

    def forward(
        self, shared: Tensor, specific: Tensor, skip: Tensor, statistics: Statistics | None = None
    ) -> Tensor:
        """Decode (B, C, H, W) features with the skip image (B, 1, H, W) to an image (B, 1, H, W), 0..1."""
        x = in_bands(self._merge, 0, (shared, specific)).to(shared.dtype)
        for block in self.blocks:
            x = block(x, statistics)
        return torch.sigmoid(in_bands(self._to_image, 2, (x,)) + skip)

    def _merge(self, shared: Tensor, specific: Tensor) -> Tensor:
        return self.merge(torch.cat((shared, specific), 1))

    def _to_image(self, x: Tensor) -> Tensor:
        with full_precision(x):
            return self.output(F.leaky_relu(self.reduce(x), 0.01))
